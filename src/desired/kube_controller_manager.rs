//! kube-controller-manager. It has no signer: no CA key lies on any host.

use super::DesiredError;
use super::input::Site;
use super::kubeconfig::Kubeconfig;
use super::part::{CIPHER_SUITES, LOCAL_URL, Part, System, certificate, key, pair, reads};
use crate::state::{Component, Content};

/// Length of a node's pod range; 254 pods are more than twice what kubelet allows.
const NODE_MASK: u8 = 24;

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::KubeControllerManager);
    let mut files = vec![
        ("ca.crt", certificate(&site.bundle.cluster_authority)),
        ("front-proxy-ca.crt", certificate(&site.bundle.front_proxy_authority)),
        ("service-account.key", key(&site.bundle.service_account.private)),
    ];
    files.extend(pair(["client.crt", "client.key"], &site.control_plane()?.controller_manager));
    let certificates = part.certificates(files);
    let kubeconfig = Kubeconfig {
        path: "/etc/kubernetes/controller-manager.conf",
        user: "system:kube-controller-manager",
        server: LOCAL_URL,
        certificates: &certificates,
    };
    let kubeconfig = kubeconfig.text()?;
    let folder = part.sealed(vec![("kubeconfig", kubeconfig.clone())]);
    part.copy("controller-manager.conf", Content::Text(kubeconfig));
    let system = System {
        component: Component::KubeControllerManager,
        image: &site.release.images.kube_controller_manager,
        entrypoint: "/usr/local/bin/kube-controller-manager".into(),
        arguments: arguments(site, &certificates, &folder),
        mounts: vec![reads(certificates), reads(folder)],
        stop_timeout_seconds: 10,
    };
    part.container = Some(system.spec(site)?);
    Ok(part)
}

fn arguments(site: &Site<'_>, certificates: &str, folder: &str) -> Vec<String> {
    let network = &site.cluster.network;
    let mask = NODE_MASK.max(network.pod_cidr.prefix_len());
    vec![
        "--bind-address=127.0.0.1".into(),
        "--secure-port=10257".into(),
        format!("--tls-cipher-suites={}", CIPHER_SUITES.join(",")),
        "--tls-min-version=VersionTLS12".into(),
        "--profiling=false".into(),
        format!("--kubeconfig={folder}/kubeconfig"),
        format!("--authentication-kubeconfig={folder}/kubeconfig"),
        format!("--authorization-kubeconfig={folder}/kubeconfig"),
        format!("--client-ca-file={certificates}/ca.crt"),
        format!("--requestheader-client-ca-file={certificates}/front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--leader-elect=true".into(),
        "--use-service-account-credentials=true".into(),
        // An account for each controller means some 150 requests before the first of them works: at the default of
        // 20 a second that alone is seven seconds, in every failover too.
        "--kube-api-qps=100".into(),
        "--kube-api-burst=200".into(),
        format!("--service-account-private-key-file={certificates}/service-account.key"),
        // Fills the ConfigMap kube-root-ca.crt of every namespace.
        format!("--root-ca-file={certificates}/ca.crt"),
        format!("--cluster-name={}", site.cluster.name),
        "--allocate-node-cidrs=true".into(),
        format!("--cluster-cidr={}", network.pod_cidr),
        format!("--node-cidr-mask-size={mask}"),
        format!("--service-cluster-ip-range={}", network.service_cidr),
        "--terminated-pod-gc-threshold=1000".into(),
    ]
}

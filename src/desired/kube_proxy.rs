//! kube-proxy: the one container with all privileges, because it writes the host's packet filter and `/proc/sys`.

use serde_json::{Map, Value, json};

use super::DesiredError;
use super::input::Site;
use super::kubeconfig::Kubeconfig;
use super::overlay::overlay;
use super::part::{PROXY_URL, Part, ROOT, System, certificate, pair, reads, writes, yaml};
use crate::state::{Component, Content};

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::KubeProxy);
    let mut files = vec![("ca.crt", certificate(&site.bundle.cluster_authority))];
    files.extend(pair(["client.crt", "client.key"], &site.identities.kube_proxy));
    let certificates = part.certificates(files);
    let kubeconfig = Kubeconfig {
        path: "/etc/kubernetes/proxy.conf",
        user: "system:kube-proxy",
        server: PROXY_URL,
        certificates: &certificates,
    };
    let kubeconfig = kubeconfig.text()?;
    // Two folders, because the one file names the other by a path that has the other's digest in it.
    let access = part.sealed(vec![("kubeconfig", kubeconfig.clone())]);
    let configuration = part.sealed(vec![("config.yaml", configuration(site, &access)?)]);
    part.copy("proxy.conf", Content::Text(kubeconfig));
    let system = System {
        component: Component::KubeProxy,
        image: &site.release.images.kube_proxy,
        entrypoint: "/usr/local/bin/kube-proxy".into(),
        arguments: vec![format!("--config={configuration}/config.yaml")],
        // `/run` for iptables' lock, which a mounted file could not share: its inode is gone after a reboot.
        mounts: vec![reads(certificates), reads(access), reads(configuration), writes("/run")],
        stop_timeout_seconds: 10,
    };
    let mut spec = system.spec(site)?;
    spec.privileged = true;
    // The image chooses between the two kinds of iptables by links that it rewrites at its start.
    spec.read_only_root = false;
    part.container = Some(spec);
    Ok(part)
}

fn configuration(site: &Site<'_>, access: &str) -> Result<String, DesiredError> {
    let mut wanted = site.release.configuration.kube_proxy.clone();
    overlay(&mut wanted, &base(site, access));
    overlay(&mut wanted, &site.cluster.kube_proxy_config);
    yaml(&format!("{ROOT}/kube-proxy/config.yaml"), &wanted)
}

fn base(site: &Site<'_>, access: &str) -> Map<String, Value> {
    let fields = [
        ("kind", json!("KubeProxyConfiguration")),
        ("bindAddress", json!("0.0.0.0")),
        ("clientConnection", json!({ "kubeconfig": format!("{access}/kubeconfig") })),
        ("clusterCIDR", json!(site.cluster.network.pod_cidr.to_string())),
        ("enableProfiling", json!(false)),
        ("healthzBindAddress", json!("127.0.0.1:10256")),
        ("hostnameOverride", json!(site.node.name.as_str())),
        ("metricsBindAddress", json!("127.0.0.1:10249")),
        // Always written: what an empty mode means changes with the minor.
        ("mode", json!("iptables")),
    ];
    fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
}

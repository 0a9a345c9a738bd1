//! kube-scheduler.

use super::DesiredError;
use super::input::Site;
use super::kubeconfig::Kubeconfig;
use super::part::{CIPHER_SUITES, LOCAL_URL, Part, System, certificate, pair, reads};
use crate::state::{Component, Content};

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::KubeScheduler);
    let mut files = vec![
        ("ca.crt", certificate(&site.bundle.cluster_authority)),
        ("front-proxy-ca.crt", certificate(&site.bundle.front_proxy_authority)),
    ];
    files.extend(pair(["client.crt", "client.key"], &site.control_plane()?.scheduler));
    let certificates = part.certificates(files);
    let kubeconfig = Kubeconfig {
        path: "/etc/kubernetes/scheduler.conf",
        user: "system:kube-scheduler",
        server: LOCAL_URL,
        certificates: &certificates,
    };
    let kubeconfig = kubeconfig.text()?;
    let folder = part.sealed(vec![("kubeconfig", kubeconfig.clone())]);
    part.copy("scheduler.conf", Content::Text(kubeconfig));
    let system = System {
        component: Component::KubeScheduler,
        image: &site.release.images.kube_scheduler,
        entrypoint: "/usr/local/bin/kube-scheduler".into(),
        arguments: arguments(&certificates, &folder),
        mounts: vec![reads(certificates), reads(folder)],
        stop_timeout_seconds: 10,
    };
    part.container = Some(system.spec(site)?);
    Ok(part)
}

fn arguments(certificates: &str, folder: &str) -> Vec<String> {
    vec![
        "--bind-address=127.0.0.1".into(),
        "--secure-port=10259".into(),
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
    ]
}

//! What hosts get so that their engines reach registries.

use std::collections::BTreeMap;

use provision::base::Secret;
use provision::cluster::{EngineProxy, PrivateRegistry, Supply};
use provision::desired::DesiredHost;
use provision::release::Catalog;
use provision::state::{Content, ImageReference, ImageStore};

use crate::desired::{ALL, cluster, rendered_with};

fn registry() -> PrivateRegistry {
    PrivateRegistry {
        host: "r.example:5000".into(),
        path: "team".into(),
        credentials: Some(("robot".into(), Secret::new("pass:word"))),
        is_default: true,
        mirrors: Vec::new(),
        ca_file: None,
        plain_http: false,
    }
}

fn mirror() -> PrivateRegistry {
    PrivateRegistry {
        host: "m.example".into(),
        path: String::new(),
        credentials: None,
        is_default: false,
        mirrors: vec!["docker.io".into(), "ghcr.io".into()],
        ca_file: None,
        plain_http: true,
    }
}

fn host(supply: Supply) -> DesiredHost {
    let mut cluster = cluster("v1.34.1", &[ALL]);
    cluster.supply = supply;
    let authorities = BTreeMap::from([("r.example:5000".to_owned(), "CERTIFICATE\n".to_owned())]);
    rendered_with(&cluster, &authorities).hosts.into_values().next().unwrap()
}

fn text(host: &DesiredHost, path: &str) -> String {
    let file = host.files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is not written"));
    match &file.content {
        Content::Text(text) => text.clone(),
        Content::Secret(secret) => {
            assert_eq!(file.mode, 0o600, "{path}");
            String::from_utf8(secret.expose().to_vec()).unwrap()
        }
        Content::Payload { .. } => panic!("{path} is no text"),
    }
}

#[test]
fn containerd_is_led_to_the_registry_that_stands_in_and_never_back() {
    let host = host(Supply { registries: vec![registry(), mirror()], ..Supply::default() });
    let of = |domain: &str| text(&host, &format!("/etc/containerd/certs.d/{domain}/hosts.toml"));
    let expected = "# Written by provision. Changes are found by the next `provision plan`.\n\
        server = \"https://r.example:5000/v2/team\"\n\n\
        [host.\"https://r.example:5000/v2/team\"]\n\
        capabilities = [\"pull\", \"resolve\"]\n\
        ca = \"/etc/containerd/certs.d/registry.k8s.io/ca.crt\"\n\
        override_path = true\n";
    assert_eq!(of("registry.k8s.io"), expected);
    assert!(of("ghcr.io").contains("server = \"http://m.example\""), "a mirror comes before the default registry");
    assert!(of("docker.io").contains("server = \"http://m.example\""));
    assert!(of("r.example:5000").contains("server = \"https://r.example:5000\"\n"), "its own names hold the path");
    assert_eq!(text(&host, "/etc/docker/certs.d/r.example:5000/ca.crt"), "CERTIFICATE\n");
}

#[test]
fn kubelet_gets_the_password_of_whoever_stands_in() {
    let host = host(Supply { registries: vec![registry(), mirror()], ..Supply::default() });
    let logins: serde_json::Value = serde_json::from_str(&text(&host, "/var/lib/kubelet/config.json")).unwrap();
    let names: Vec<&String> = logins["auths"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["r.example:5000", "registry.k8s.io"], "mirrors without a password need none");
    assert_eq!(logins["auths"]["registry.k8s.io"]["auth"], "cm9ib3Q6cGFzczp3b3Jk");
}

#[test]
fn without_registries_of_their_own_hosts_get_nothing() {
    let host = host(Supply::default());
    let foreign = ["/etc/docker/", "/etc/containerd/", "/var/lib/kubelet", "/etc/systemd/system/docker"];
    for path in host.files.iter().map(|file| &file.path).chain(host.merged_files.iter().map(|file| &file.path)) {
        let merged = ["/etc/docker/daemon.json", "/etc/containerd/config.toml"].contains(&path.as_str());
        assert!(merged || !foreign.iter().any(|folder| path.starts_with(folder)), "{path}");
    }
}

#[test]
fn engines_get_proxies_that_only_root_can_read_and_keep_the_cluster_out_of_them() {
    let proxy = EngineProxy {
        http: None,
        https: Some(Secret::new("http://u:p%40ss@proxy.example:3128")),
        exceptions: vec![".example".into()],
    };
    let host = host(Supply { engine_proxy: proxy, ..Supply::default() });
    for unit in ["docker.service", "containerd.service"] {
        let path = format!("/etc/systemd/system/{unit}.d/provision-proxy.conf");
        let file = host.merged_files.iter().find(|file| file.path == path).unwrap();
        assert_eq!((file.mode, file.unit.as_str()), (0o600, unit));
        let expected = "# Written by provision.\n[Service]\n\
            Environment=\"HTTPS_PROXY=http://u:p%%40ss@proxy.example:3128\"\n\
            Environment=\"NO_PROXY=.example,localhost,127.0.0.0/8,10.42.0.0/16,10.43.0.0/16,192.0.2.1,10.0.0.1\"\n";
        assert_eq!(file.wanted, expected);
    }
}

#[test]
fn dockers_images_are_renamed_and_those_of_pods_are_not() {
    let release = Catalog::shipped().unwrap().release(&cluster("v1.34.1", &[ALL]).version).unwrap();
    let own = ImageReference("elsewhere.example/etcd:1".into());
    let supply = Supply {
        registries: vec![registry(), mirror()],
        images: vec![("etcd".into(), own.clone())],
        ..Supply::default()
    };
    let images = supply.names(&release.images);
    assert_eq!(images.kube_apiserver.0, "r.example:5000/team/kube-apiserver:v1.34.1");
    assert_eq!(images.etcd, own);
    assert_eq!(images.coredns, release.images.coredns);
    let source = |image| supply.source(ImageStore::Containerd, image).0;
    assert_eq!(source(&images.coredns), "r.example:5000/team/coredns/coredns:v1.12.1");
    assert_eq!(source(&images.flannel), "m.example/flannel-io/flannel:v0.26.7");
}

//! The engines' proxies: drop-ins of their services, since Docker 20.10 takes them from its environment only.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::host::{MergeFormat, MergedFile};
use crate::base::Secret;
use crate::cluster::Cluster;

/// Drop-ins of the engines' services with their proxies, each with its service.
pub const PROXY_FILES: [(&str, &str); 2] = [
    ("/etc/systemd/system/docker.service.d/provision-proxy.conf", "docker.service"),
    ("/etc/systemd/system/containerd.service.d/provision-proxy.conf", "containerd.service"),
];

/// Nothing where `engine_proxy` is not set.
pub(super) fn files(cluster: &Cluster) -> Vec<MergedFile> {
    if !cluster.supply.engine_proxy.is_set() {
        return Vec::new();
    }
    let text = text(cluster);
    let file = |(path, unit): (&str, &str)| MergedFile {
        path: path.into(),
        format: MergeFormat::Whole,
        // Only root may read it: an address may hold a password.
        mode: 0o600,
        wanted: Value::String(text.clone()),
        unit: unit.into(),
    };
    PROXY_FILES.map(file).into()
}

fn text(cluster: &Cluster) -> String {
    let proxy = &cluster.supply.engine_proxy;
    let address = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
    let lines = [
        ("HTTP_PROXY", proxy.http.as_ref().map(address)),
        ("HTTPS_PROXY", proxy.https.as_ref().map(address)),
        ("NO_PROXY", Some(exceptions(cluster).join(","))),
    ];
    let mut text = "# Written by provision.\n[Service]\n".to_owned();
    for (name, value) in lines.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        text.push_str(&format!("Environment=\"{}\"\n", quoted(&format!("{name}={value}"))));
    }
    text
}

/// For a value in double quotes: systemd takes `%` for the beginning of a specifier, and backslashes as C does
/// (systemd.unit(5), systemd.syntax(7)).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}

/// What is written, then what is the cluster's own. The nodes come last: see [`only_nodes_differ`].
fn exceptions(cluster: &Cluster) -> Vec<String> {
    let network = &cluster.network;
    let mut exceptions = cluster.supply.engine_proxy.exceptions.clone();
    exceptions.extend(["localhost".to_owned(), "127.0.0.0/8".to_owned()]);
    exceptions.extend([network.pod_cidr, network.service_cidr].map(|range| range.to_string()));
    for node in &cluster.nodes {
        for address in node.address.parse::<Ipv4Addr>().into_iter().chain([node.internal_address]) {
            let address = address.to_string();
            if !exceptions.contains(&address) {
                exceptions.push(address);
            }
        }
    }
    exceptions
}

/// Whether two drop-ins say the same but for the addresses of nodes. A node that joins is no reason to restart engines
/// below running pods: it matters to them only if it is a registry too.
pub fn only_nodes_differ(existing: &str, wanted: &str) -> bool {
    without_nodes(existing).is_some_and(|text| Some(text) == without_nodes(wanted))
}

/// A drop-in without the addresses at the end of its list, which are those of nodes.
fn without_nodes(text: &str) -> Option<&str> {
    let mut rest = text.strip_suffix("\"\n")?;
    while let Some((before, last)) = rest.rsplit_once(',') {
        if last.parse::<Ipv4Addr>().is_err() {
            break;
        }
        rest = before;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_would_act_on_is_quoted() {
        assert_eq!(quoted(r#"http://u:p%40"\@proxy"#), r#"http://u:p%%40\"\\@proxy"#);
    }

    #[test]
    fn a_node_that_joins_is_no_other_proxy() {
        let file = |proxy: &str, list: &str| format!("Environment=\"A={proxy}\"\nEnvironment=\"NO_PROXY={list}\"\n");
        let one = file("p", ".example,10.43.0.0/16,10.0.0.1");
        assert!(only_nodes_differ(&one, &file("p", ".example,10.43.0.0/16,10.0.0.1,10.0.0.2")));
        assert!(!only_nodes_differ(&one, &file("q", ".example,10.43.0.0/16,10.0.0.1")));
        assert!(!only_nodes_differ(&one, &file("p", "10.9.9.9,.example,10.43.0.0/16,10.0.0.1")));
        assert!(!only_nodes_differ("", &one), "another text is no drop-in of ours");
    }
}

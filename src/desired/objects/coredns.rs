//! CoreDNS: names of services inside the cluster.

use serde_json::json;

use super::DesiredError;
use crate::cluster::{Cluster, Node};
use crate::desired::template::Template;
use crate::release::Release;
use crate::state::Object;

const COREDNS: Template =
    Template { name: "coredns/coredns.yaml", text: include_str!("../../../templates/coredns/coredns.yaml") };
const COREFILE: Template =
    Template { name: "coredns/Corefile", text: include_str!("../../../templates/coredns/Corefile") };
/// Taints of nodes without workloads, Kubernetes' words and RKE's.
const TOLERATED: [&str; 3] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/controlplane", "node-role.kubernetes.io/etcd"];

pub(super) fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    COREDNS.objects(&json!({
        "image": release.images.coredns.0,
        "corefile": corefile(&cluster.network.domain)?,
        "address": cluster.network.dns_ip,
        "replicas": replicas(cluster),
        "tolerated": TOLERATED,
    }))
}

/// The language of the Corefile has no quoting that would hold everywhere: a domain is letters, digits, dots and dashes.
fn corefile(domain: &str) -> Result<String, DesiredError> {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '.' || sign == '-';
    if domain.is_empty() || !domain.chars().all(is_plain) {
        return Err(DesiredError::Unwritable { template: COREFILE.name, value: domain.to_owned() });
    }
    COREFILE.render(&json!({ "domain": domain }))
}

/// Two where two workers can take one each. A replica that no node can take would never be ready.
fn replicas(cluster: &Cluster) -> usize {
    let places = cluster.nodes.iter().filter(|node| node.roles.worker && takes_coredns(node)).count();
    places.clamp(1, 2)
}

fn takes_coredns(node: &Node) -> bool {
    let keeps_out = |effect: &str| effect == "NoSchedule" || effect == "NoExecute";
    node.taints.iter().all(|taint| !keeps_out(&taint.effect) || TOLERATED.contains(&taint.key.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_cannot_leave_its_place() {
        let text = corefile("cluster.example").unwrap();
        assert!(text.contains("kubernetes cluster.example in-addr.arpa ip6.arpa {"), "{text}");
        for hostile in ["", "a b", "a\n}", "a{", "\"a\"", "a#b", "{$HOME}"] {
            assert!(corefile(hostile).is_err(), "{hostile:?}");
        }
    }
}

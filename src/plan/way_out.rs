//! What a host's addresses and routes will not carry. Warnings: hosts may reach what their routes do not show.

use crate::base::NodeName;
use crate::cluster::Node;
use crate::state::HostSnapshot;

use super::preflight::{PreflightFinding, Severity};
use super::{Input, runtime_steps};

/// Packages that are missing on hosts without a default route, and nodes whose address no interface of their host has.
/// Hosts in the order of the file.
pub fn way_out(input: &Input<'_>) -> Vec<PreflightFinding> {
    let mut findings = Vec::new();
    for node in &input.cluster.nodes {
        let (Some(snapshot), Some(wanted)) = (input.snapshot(&node.name), input.desired.hosts.get(&node.name)) else {
            continue;
        };
        findings.extend(packages(&node.name, snapshot, &runtime_steps::missing_packages(wanted, snapshot)));
        findings.extend(address(node, snapshot));
    }
    findings
}

fn packages(host: &NodeName, snapshot: &HostSnapshot, missing: &[String]) -> Option<PreflightFinding> {
    if missing.is_empty() || snapshot.facts.default_route {
        return None;
    }
    Some(PreflightFinding {
        host: host.clone(),
        code: "no-default-route",
        severity: Severity::Warning,
        message: format!("packages are missing and the host has no default route: {}", missing.join(", ")),
        hint: "if it reaches no mirror of its distribution, install them another way before you run `provision up`"
            .into(),
    })
}

fn address(node: &Node, snapshot: &HostSnapshot) -> Option<PreflightFinding> {
    let (wanted, addresses) = (node.internal_address, &snapshot.facts.addresses);
    if addresses.is_empty() || addresses.contains_key(&wanted) {
        return None;
    }
    let usable = addresses.iter().filter(|(address, _)| !address.is_loopback());
    let list: Vec<String> = usable.map(|(address, interface)| format!("{address} ({interface})")).collect();
    Some(PreflightFinding {
        host: node.name.clone(),
        code: "internal-address",
        severity: Severity::Warning,
        message: format!("no interface has the node's internal address {wanted}; there are {}", list.join(", ")),
        hint: "write in internal_address the one that other nodes reach, else kubelet and etcd cannot use it".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{FakeHost, FakeProcess};

    fn snapshot(default_route: bool) -> HostSnapshot {
        let mut snapshot = FakeHost::new(name(), &FakeProcess::new()).state();
        snapshot.facts.default_route = default_route;
        snapshot
    }

    fn name() -> NodeName {
        NodeName::new("h1").unwrap()
    }

    #[test]
    fn missing_packages_are_named_where_there_is_no_default_route() {
        let missing = ["docker.io".to_owned(), "socat".to_owned()];
        let finding = packages(&name(), &snapshot(false), &missing).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.to_string().contains("docker.io, socat"), "{finding}");
        assert_eq!(packages(&name(), &snapshot(true), &missing), None);
        assert_eq!(packages(&name(), &snapshot(false), &[]), None);
    }
}

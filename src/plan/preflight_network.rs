//! What of a host's network does not fit the cluster's, found before anything is changed.

use ipnet::Ipv4Net;

use crate::cluster::{Cluster, NetworkPlugin, Node, Overlay};
use crate::state::{HostSnapshot, Observed, ObservedHost};

use super::preflight::{PreflightFinding, Severity};

/// Interfaces that network plugins and kube-proxy make, ours and others: what they lead to are pods and Services.
const MADE_BY_PLUGINS: [&str; 9] =
    ["flannel", "cni", "cali", "vxlan.calico", "tunl", "cilium", "weave", "kube-ipvs", "veth"];
/// Where Felix answers probes on loopback, and what has that port once it runs.
const FELIX: (u16, &str) = (9099, "calico-node");

/// One host by itself.
pub(super) fn of_host(cluster: &Cluster, node: &Node, snapshot: &HostSnapshot) -> Vec<PreflightFinding> {
    let host = Host { cluster, node, snapshot };
    let mut findings = host.ranges();
    if let Some(overlay) = cluster.network.plugin.overlay() {
        findings.extend(host.overlay(overlay));
        findings.extend(host.ports(overlay));
    }
    findings
}

/// Hosts whose interfaces have different MTUs, where none is written: what a pod on one sends is lost on the way to another.
pub(super) fn among_hosts(cluster: &Cluster, observed: &Observed) -> Vec<PreflightFinding> {
    let Some(overlay) = cluster.network.plugin.overlay().filter(|_| cluster.network.mtu == 0) else {
        return Vec::new();
    };
    let mtus = cluster.nodes.iter().filter_map(|node| {
        let Some(ObservedHost::Reached(snapshot)) = observed.hosts.get(&node.name) else { return None };
        let host = Host { cluster, node, snapshot };
        Some((node, *snapshot.facts.links.get(host.interface(overlay)?)?))
    });
    let mtus: Vec<(&Node, u32)> = mtus.collect();
    let Some((smallest_on, smallest)) = mtus.iter().min_by_key(|(_, mtu)| *mtu).copied() else { return Vec::new() };
    let larger = mtus.iter().filter(|(_, mtu)| *mtu > smallest);
    let finding = |(node, mtu): &(&Node, u32)| PreflightFinding {
        host: node.name.clone(),
        code: "mtu-differs",
        severity: Severity::Warning,
        message: format!(
            "the interface between nodes has the MTU {mtu}, and that of {} has {smallest}",
            smallest_on.name
        ),
        hint: format!("give them the same, or write network.mtu: {}", smallest.saturating_sub(Overlay::ENCAPSULATION)),
    };
    larger.map(finding).collect()
}

struct Host<'a> {
    cluster: &'a Cluster,
    node: &'a Node,
    snapshot: &'a HostSnapshot,
}

impl<'a> Host<'a> {
    fn error(&self, code: &'static str, message: String, hint: String) -> PreflightFinding {
        PreflightFinding { host: self.node.name.clone(), code, severity: Severity::Error, message, hint }
    }

    /// Networks of the host that would be taken for pods or Services. The ways of a plugin that the operator has installed
    /// lead to pods.
    fn ranges(&self) -> Vec<PreflightFinding> {
        let network = &self.cluster.network;
        let ranges = [
            (network.pod_cidr, "pod", "services.kube-controller.cluster_cidr"),
            (network.service_cidr, "service", "services.kube-api.service_cluster_ip_range"),
        ];
        let by_operator = network.plugin == NetworkPlugin::None;
        let ranges = ranges.into_iter().filter(|(_, what, _)| !(by_operator && *what == "pod"));
        let routes = || self.snapshot.facts.routes.iter().filter(|(route, interface)| !self.is_ours(route, interface));
        let of_range = |(range, what, key): (Ipv4Net, &str, &str)| {
            let (route, interface) = routes().find(|(route, _)| overlap(route, &range))?;
            let message = format!("the {what} range {range} overlaps {route}, which the host reaches by {interface}");
            let finding = self.error("range-overlap", message, format!("choose another range with {key}"));
            // The narrower way wins: of a wider network the host only loses what lies in the range.
            let severity = if route.prefix_len() < range.prefix_len() { Severity::Warning } else { Severity::Error };
            Some(PreflightFinding { severity, ..finding })
        };
        ranges.filter_map(of_range).collect()
    }

    /// A plugin's way, or that to Services which hosts without a default route get from us.
    fn is_ours(&self, route: &Ipv4Net, interface: &str) -> bool {
        MADE_BY_PLUGINS.iter().any(|prefix| interface.starts_with(prefix))
            || (*route == self.cluster.network.service_cidr && !self.snapshot.facts.default_route)
    }

    /// The interface between nodes: the one that is written, else the one that has the node's address.
    fn interface(&self, overlay: &'a Overlay) -> Option<&'a str> {
        let by_address = || self.snapshot.facts.addresses.get(&self.node.internal_address).map(String::as_str);
        overlay.interface.as_deref().or_else(by_address)
    }

    fn overlay(&self, overlay: &Overlay) -> Option<PreflightFinding> {
        let links = &self.snapshot.facts.links;
        let interface = self.interface(overlay)?;
        let Some(mtu) = links.get(interface) else {
            // A host that tells of no interface tells nothing about this one.
            return (!links.is_empty()).then(|| self.no_interface(interface));
        };
        let wanted = self.cluster.network.mtu;
        if wanted == 0 || wanted.saturating_add(Overlay::ENCAPSULATION) <= *mtu {
            return None;
        }
        let largest = mtu.saturating_sub(Overlay::ENCAPSULATION);
        let message = format!(
            "network.mtu {wanted} and the {} bytes of VXLAN do not fit into {interface}, whose MTU is {mtu}",
            Overlay::ENCAPSULATION
        );
        Some(self.error("mtu-too-large", message, format!("write at most {largest}, or 0")))
    }

    fn no_interface(&self, interface: &str) -> PreflightFinding {
        let theirs = |name: &&String| *name != "lo" && !MADE_BY_PLUGINS.iter().any(|made| name.starts_with(made));
        let names: Vec<&str> = self.snapshot.facts.links.keys().filter(theirs).map(String::as_str).collect();
        let message = format!("there is no interface {interface}; there are {}", names.join(", "));
        let plugin = self.cluster.network.plugin.as_str();
        let hint = format!("write one that every host has to network.options.{plugin}_iface, or take the option out");
        self.error("no-interface", message, hint)
    }

    /// VXLAN's port belongs to the kernel, which shows no process.
    fn ports(&self, overlay: &Overlay) -> Vec<PreflightFinding> {
        let is_canal = matches!(self.cluster.network.plugin, NetworkPlugin::Canal(_));
        let holder = |protocol: &str, port: u16, own: &str| {
            let holders = self.snapshot.listeners.iter().filter(|seen| seen.port == port && seen.protocol == protocol);
            let known =
                |process: &&str| !process.starts_with("an unknown") && (own.is_empty() || !process.starts_with(own));
            holders.map(|seen| seen.process.as_str()).find(known)
        };
        let mut findings = Vec::new();
        if let Some(process) = holder("udp", overlay.port, "") {
            let option = if is_canal { "canal_flannel_backend_port" } else { "flannel_backend_port" };
            let message = format!("UDP port {} (VXLAN) is in use by {process}", overlay.port);
            let hint = format!("stop that process, or choose another port with network.options.{option}");
            findings.push(self.error("port-in-use", message, hint));
        }
        if let Some(process) = holder("tcp", FELIX.0, FELIX.1).filter(|_| is_canal) {
            let message = format!("port {} (calico-node) is in use by {process}", FELIX.0);
            findings.push(self.error("port-in-use", message, "stop that process".into()));
        }
        findings
    }
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

#[cfg(test)]
#[path = "preflight_network_tests.rs"]
mod tests;

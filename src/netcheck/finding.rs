//! What can be wrong, in words.

use serde::Serialize;

use super::{Observations, Pair};
use crate::base::NodeName;

/// The likely cause of what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A node could not be tested.
    NodeUntested,
    /// A node does not reach the pod on itself.
    OwnPod,
    /// The nodes do not reach each other, without any pod.
    NodesApart,
    /// Nothing of pods passes between nodes that reach each other.
    OverlayBlocked,
    /// Traffic of the node passes, that of its pods does not.
    Forwarding,
    /// Traffic of pods passes, that of the node does not.
    NodeRoute,
    /// Short packets pass, full ones do not.
    Mtu,
    /// TCP has adapted to a smaller packet size, UDP cannot.
    MtuHidden,
    /// TCP passes, datagrams do not.
    UdpBlocked,
    /// Datagrams pass, TCP does not.
    TcpChecksum,
    /// Pods are reached, but not from a node through a Service.
    ServiceChecksum,
    /// A Service has no endpoint though its pod runs.
    NoEndpoints,
    /// A Service's address does not work on a node.
    KubeProxy,
    /// A Service's address works on a node, but not for its pods.
    BridgeFilter,
    /// A Service's port works on its node, but not from others.
    NodePortBlocked,
    /// No name server is ready.
    NameServersDown,
    /// The name server does not answer.
    NameServerSilent,
    /// The name server does not know a name of the cluster.
    NameUnknown,
    /// A name outside is not resolved.
    OutsideName,
    /// A denied connection was made.
    PolicyNotEnforced,
    /// An allowed connection was not made.
    PolicyTooStrict,
    /// None of the rows of the table.
    Unknown,
}

/// One cause with everything that it explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The likely cause.
    pub cause: Cause,
    /// The connections, from node to node, or of a node to itself.
    pub pairs: Vec<Pair>,
    /// The node that all of them have in common, where there is exactly one.
    pub suspect: Option<NodeName>,
    /// What does not work.
    pub what: String,
    /// Why, most likely.
    pub likely: String,
    /// What to look at.
    pub help: String,
}

impl Finding {
    /// Words for a cause.
    pub(super) fn of(cause: Cause, pairs: Vec<Pair>, seen: &Observations) -> Self {
        let suspect = suspect(&pairs);
        let place = suspect.as_ref().map_or_else(|| "between them".to_owned(), |node| format!("at {node}"));
        let (what, likely, help) = words(cause, &pairs, &place, seen);
        Self { cause, pairs, suspect, what, likely, help }
    }
}

/// The only node that has a part in all of these connections.
fn suspect(pairs: &[Pair]) -> Option<NodeName> {
    let first = pairs.first()?;
    let in_all = |node: &&NodeName| pairs.iter().all(|pair| pair.from == **node || pair.to == **node);
    let mut ends = vec![&first.from, &first.to];
    ends.dedup();
    let mut common = ends.into_iter().filter(in_all);
    let only = common.next().filter(|_| common.next().is_none());
    only.cloned()
}

type Words = (String, String, String);

fn words(cause: Cause, pairs: &[Pair], place: &str, seen: &Observations) -> Words {
    match cause {
        Cause::NodeUntested | Cause::OwnPod | Cause::NodesApart | Cause::Unknown => of_nodes(cause, pairs, place, seen),
        Cause::OverlayBlocked | Cause::Forwarding | Cause::NodeRoute => of_ways(cause, place, seen),
        Cause::Mtu | Cause::MtuHidden => of_sizes(cause, pairs, place, seen),
        Cause::UdpBlocked | Cause::TcpChecksum | Cause::ServiceChecksum => of_protocols(cause, place),
        Cause::NoEndpoints | Cause::KubeProxy | Cause::BridgeFilter | Cause::NodePortBlocked => {
            of_services(cause, place, seen)
        }
        Cause::NameServersDown | Cause::NameServerSilent | Cause::NameUnknown | Cause::OutsideName => {
            of_names(cause, seen)
        }
        Cause::PolicyNotEnforced | Cause::PolicyTooStrict => of_policy(cause, place, seen),
    }
}

fn texts(what: impl Into<String>, likely: impl Into<String>, help: impl Into<String>) -> Words {
    (what.into(), likely.into(), help.into())
}

fn of_nodes(cause: Cause, pairs: &[Pair], place: &str, seen: &Observations) -> Words {
    match cause {
        Cause::NodeUntested => {
            let of = |pair: &Pair| seen.untested.iter().find(|(node, _)| *node == pair.from);
            let reasons: Vec<&str> = pairs.iter().filter_map(of).map(|(_, reason)| reason.as_str()).collect();
            texts("this node could not be tested", reasons.join("; "), "look at `provision status`")
        }
        Cause::OwnPod => texts(
            "the node does not reach the pod that runs on it",
            format!("the network plugin has not set up the pod's interface or route {place}"),
            "look at the node's CNI configuration (/etc/cni/net.d), the plugin's pod there and the interface `cni0`",
        ),
        Cause::NodesApart => texts(
            "the nodes do not reach each other, pods or not",
            format!("a firewall or a missing route {place}: TCP port 10250 does not answer"),
            "open the ports of docs/components.md between all nodes and check `internal_address` in cluster.yml",
        ),
        _ => texts(
            "some connections fail in a way that has no common explanation",
            "packet loss, or an overloaded node",
            "run the check again; `--json` shows every single connection",
        ),
    }
}

/// How the way between nodes is called: with its port where it is known.
fn carrier(seen: &Observations) -> String {
    match seen.setting.vxlan_port {
        Some(port) => format!("UDP port {port} (VXLAN)"),
        None => "the traffic of the network plugin between nodes".to_owned(),
    }
}

fn of_ways(cause: Cause, place: &str, seen: &Observations) -> Words {
    let (carrier, plugin) = (carrier(seen), &seen.setting.plugin);
    match cause {
        Cause::OverlayBlocked => texts(
            "no traffic of pods passes, though the nodes reach each other",
            format!("{carrier} is blocked {place}, or the pod of the network plugin ({plugin}) does not run there"),
            "open the port in both directions in host and cloud firewalls; look at the plugin's pods in kube-system",
        ),
        Cause::Forwarding => texts(
            "the nodes reach the pods, pods do not",
            format!("forwarded traffic is dropped {place}: chain FORWARD, or net.ipv4.ip_forward is 0"),
            "look for a DROP in `iptables -S FORWARD` (Docker and firewalld set one) and at `sysctl net.ipv4.ip_forward`",
        ),
        _ => texts(
            "pods reach the pods, the nodes do not",
            format!("a wrong source address or reverse path filtering {place}"),
            "look at `ip route get` for the pod's address and at net.ipv4.conf.*.rp_filter",
        ),
    }
}

fn of_sizes(cause: Cause, pairs: &[Pair], place: &str, seen: &Observations) -> Words {
    let mtu = pairs.iter().find_map(|pair| seen.mtu.get(&pair.from));
    let mtu = mtu.map_or_else(|| "their MTU".to_owned(), |mtu| format!("their MTU of {mtu}"));
    let help = "write a smaller `network.mtu` (that of the way between nodes minus 50), or raise that of the way";
    let likely = format!("the way between nodes carries less than pods think ({mtu}, and 50 bytes of VXLAN), {place}");
    match cause {
        Cause::Mtu => {
            texts("short packets pass, full-size ones are lost: connections open and then stand still", likely, help)
        }
        _ => texts("TCP has adapted to a smaller packet size; full-size datagrams are lost", likely, help),
    }
}

fn of_protocols(cause: Cause, place: &str) -> Words {
    let offload = "on the node: `ethtool -K flannel.1 tx-checksum-ip-generic off`; with VMware's vmxnet3 also its UDP tunnel offload";
    match cause {
        Cause::UdpBlocked => texts(
            "TCP passes between pods, UDP does not",
            format!("a firewall {place} drops UDP of pods"),
            "look at the rules of the nodes and of the network between them for the pod range",
        ),
        Cause::TcpChecksum => texts(
            "UDP passes between pods, TCP does not",
            format!("wrong checksums by checksum offload of the network card {place}"),
            offload,
        ),
        _ => texts(
            "pods are reached by their addresses, but not from the node through a Service",
            format!("wrong checksums of VXLAN packets that were translated twice (checksum offload) {place}"),
            offload,
        ),
    }
}

fn of_services(cause: Cause, place: &str, seen: &Observations) -> Words {
    let proxy = "look at `docker logs kube-proxy` on the node, and whether conntrack and iptables work there";
    match cause {
        Cause::NoEndpoints => texts(
            format!("Services have no endpoint though their pods run: {}", seen.without_endpoint.join(", ")),
            "kube-controller-manager is not running or far behind",
            "look at `docker logs kube-controller-manager` on the control planes",
        ),
        Cause::KubeProxy => texts(
            "Services do not work, though pods are reached by their own addresses",
            format!("kube-proxy is not running or not in sync {place}"),
            proxy,
        ),
        Cause::BridgeFilter => texts(
            "Services work for the node, but not for its pods",
            format!("traffic of pods does not pass through iptables {place}"),
            "load br_netfilter and set net.bridge.bridge-nf-call-iptables to 1",
        ),
        _ => texts(
            "a NodePort works on its own node, but not from others",
            format!("a firewall {place} blocks the range of node ports"),
            "open `services.kube-api.service_node_port_range` (30000-32767) for TCP and UDP",
        ),
    }
}

fn of_names(cause: Cause, seen: &Observations) -> Words {
    let server = &seen.setting.name_server;
    match cause {
        Cause::NameServersDown => texts(
            "no name is resolved",
            "no pod of CoreDNS is ready",
            "look at `kubectl -n kube-system get pods -l k8s-app=kube-dns`",
        ),
        Cause::NameServerSilent => texts(
            format!("the name server {server} does not answer pods of these nodes"),
            "CoreDNS is overloaded or restarts, or UDP port 53 is blocked",
            "look at `kubectl -n kube-system logs -l k8s-app=kube-dns`",
        ),
        Cause::NameUnknown => texts(
            "the name server does not know a name of the cluster",
            "CoreDNS serves another domain than `cluster_domain`, or does not reach the API",
            "look at `kubectl -n kube-system logs -l k8s-app=kube-dns` and at the ConfigMap coredns",
        ),
        _ => texts(
            "names of the cluster are resolved, the outside name is not",
            "the servers of the nodes' resolv.conf do not answer CoreDNS or do not know it",
            "try the name on the node; look at `forward` in the ConfigMap coredns",
        ),
    }
}

fn of_policy(cause: Cause, place: &str, seen: &Observations) -> Words {
    let plugin = &seen.setting.plugin;
    match cause {
        Cause::PolicyNotEnforced => texts(
            "a connection that a NetworkPolicy denies is made",
            format!("the policy agent of {plugin} does not run or is not in sync {place}"),
            "look at the plugin's pods in kube-system and their logs",
        ),
        _ => texts(
            "a connection that a NetworkPolicy allows is not made",
            format!("the policy agent of {plugin} is not in sync {place}"),
            "look at the plugin's pods in kube-system and their logs",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: &str, to: &str) -> Pair {
        Pair::new(&NodeName::new(from).unwrap(), &NodeName::new(to).unwrap())
    }

    #[test]
    fn the_node_that_all_have_in_common_is_suspected() {
        let name = |pairs: &[Pair]| suspect(pairs).map(|node| node.to_string());
        assert_eq!(name(&[pair("h1", "h3"), pair("h3", "h2")]).as_deref(), Some("h3"));
        assert_eq!(name(&[pair("h1", "h1")]).as_deref(), Some("h1"));
        assert_eq!(name(&[pair("h1", "h2")]), None, "two nodes are two suspects");
        assert_eq!(name(&[pair("h1", "h2"), pair("h3", "h4")]), None);
        assert_eq!(name(&[]), None);
    }
}

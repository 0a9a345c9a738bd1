//! Everything that a check has seen.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Outcome, Pair};
use crate::base::NodeName;

/// A kind of connection that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// From a node to the pod on itself: the way by which the pod is spoken to.
    OwnPod,
    /// From a node to another's kubelet, without any pod.
    Nodes,
    /// From a pod to one on another node, a short request over TCP.
    Tcp,
    /// The same with many full-size packets.
    TcpFull,
    /// A short datagram.
    Udp,
    /// A datagram that fills a packet and may not be cut.
    UdpFull,
    /// From a node to a pod on another.
    NodeTcp,
    /// The same with many full-size packets.
    NodeTcpFull,
    /// From a pod to a Service whose endpoint is on the other node.
    ClusterIp,
    /// From a node to that Service.
    NodeClusterIp,
    /// From a node to a Service's port on a node.
    NodePort,
    /// From a pod to the name server, for a name of the cluster.
    Name,
    /// For a name outside.
    OutsideName,
}

impl Probe {
    /// What was tried, behind the name of where.
    pub fn text(self) -> &'static str {
        match self {
            Self::OwnPod => "node to its own pod",
            Self::Nodes => "node to kubelet",
            Self::Tcp => "TCP",
            Self::TcpFull => "TCP with full packets",
            Self::Udp => "UDP",
            Self::UdpFull => "UDP with a full packet",
            Self::NodeTcp => "node to pod",
            Self::NodeTcpFull => "node to pod with full packets",
            Self::ClusterIp => "pod to ClusterIP",
            Self::NodeClusterIp => "node to ClusterIP",
            Self::NodePort => "NodePort",
            Self::Name => "name of the cluster",
            Self::OutsideName => "outside name",
        }
    }
}

/// What is known of the cluster before anything is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `network.plugin`.
    pub plugin: String,
    /// UDP port between nodes, where the plugin is one of ours.
    pub vxlan_port: Option<u16>,
    /// Whether it enforces NetworkPolicy; `None` where the operator has brought another plugin.
    pub enforces_policy: Option<bool>,
    /// Address of the cluster's name server.
    pub name_server: String,
}

/// The endpoints of the cluster's name server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameServers {
    /// Number of endpoints that are ready.
    pub ready: usize,
    /// The nodes on which these are, as far as the API says.
    pub nodes: Vec<NodeName>,
}

/// What came of the policy for the server on a node, which was reached before there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySeen {
    /// The server's node.
    pub node: NodeName,
    /// What the stranger got under the policy, in the end.
    pub denied: Outcome,
    /// What the friend got then.
    pub allowed: Outcome,
}

/// All that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observations {
    /// What was known before.
    pub setting: Setting,
    /// MTU of the pods' interfaces, by node.
    pub mtu: BTreeMap<NodeName, u32>,
    /// Nodes of `cluster.yml` that could not be tested, and why.
    pub untested: Vec<(NodeName, String)>,
    /// The name server's endpoints.
    pub name_servers: NameServers,
    /// Names of Services that got no endpoint though their pods run.
    pub without_endpoint: Vec<String>,
    /// What came of the policy; empty where it was not tried, or its client told nothing.
    pub policy: Vec<PolicySeen>,
    seen: BTreeMap<(Probe, Pair), Outcome>,
}

impl Observations {
    /// Nothing has been seen yet.
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            mtu: BTreeMap::new(),
            untested: Vec::new(),
            name_servers: NameServers::default(),
            without_endpoint: Vec::new(),
            policy: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Notes an outcome; of several on the same the last one counts.
    pub fn note(&mut self, probe: Probe, pair: Pair, outcome: Outcome) {
        self.seen.insert((probe, pair), outcome);
    }

    /// The outcome of a probe; `None` where it was not tried.
    pub fn get(&self, probe: Probe, pair: &Pair) -> Option<&Outcome> {
        self.seen.get(&(probe, pair.clone()))
    }

    /// Everything that was tried, by probe and pair.
    pub fn all(&self) -> impl Iterator<Item = (Probe, &Pair, &Outcome)> {
        self.seen.iter().map(|((probe, pair), outcome)| (*probe, pair, outcome))
    }

    /// The pairs for which one of these probes was tried, in order.
    pub fn pairs(&self, probes: &[Probe]) -> Vec<Pair> {
        let mut pairs: Vec<Pair> =
            self.all().filter(|(probe, ..)| probes.contains(probe)).map(|(_, pair, _)| pair.clone()).collect();
        pairs.sort();
        pairs.dedup();
        pairs
    }

    /// Whether a probe was tried and works.
    pub fn works(&self, probe: Probe, pair: &Pair) -> bool {
        self.get(probe, pair).is_some_and(Outcome::works)
    }

    /// Whether a probe was tried and does not work.
    pub fn fails(&self, probe: Probe, pair: &Pair) -> bool {
        self.get(probe, pair).is_some_and(|outcome| !outcome.works())
    }
}

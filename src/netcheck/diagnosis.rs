//! The decision table: which combination of outcomes means what.
//!
//! Causes that lie below others come first, and what follows from one that was found is not told again: where no packet
//! of pods passes, Services cannot work either.

use std::collections::BTreeMap;

use super::{Cause, Finding, Observations, Outcome, Pair, Probe};
use crate::base::NodeName;

/// What a row asks of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Works,
    Fails,
}

use Probe::{ClusterIp, NodeClusterIp, NodeTcp, NodeTcpFull, Nodes, Tcp, TcpFull, Udp, UdpFull};
use Want::{Fails, Works};

/// A row: all conditions must hold. What was not tried fits no condition.
type Row = (&'static [(Probe, Want)], Cause);

/// Between two nodes. The first row that fits decides.
const PAIRS: &[Row] = &[
    (&[(Nodes, Fails), (Tcp, Fails), (NodeTcp, Fails)], Cause::NodesApart),
    (&[(Tcp, Fails), (Udp, Fails), (NodeTcp, Fails)], Cause::OverlayBlocked),
    (&[(Tcp, Fails), (Udp, Fails), (NodeTcp, Works)], Cause::Forwarding),
    (&[(Tcp, Fails), (Udp, Works)], Cause::TcpChecksum),
    (&[(Tcp, Works), (Udp, Fails)], Cause::UdpBlocked),
    (&[(Tcp, Works), (Udp, Works), (TcpFull, Fails)], Cause::Mtu),
    (&[(Tcp, Works), (TcpFull, Works), (UdpFull, Fails)], Cause::MtuHidden),
    (&[(Tcp, Works), (NodeTcp, Fails)], Cause::NodeRoute),
    (&[(NodeTcp, Works), (NodeTcpFull, Fails)], Cause::Mtu),
];

/// From a node and its pod to a Service with its endpoint on the other node, which both reach by the pod's own address.
const SERVICES: &[Row] = &[
    (&[(ClusterIp, Fails), (NodeClusterIp, Fails)], Cause::KubeProxy),
    (&[(ClusterIp, Works), (NodeClusterIp, Fails)], Cause::ServiceChecksum),
    (&[(ClusterIp, Fails), (NodeClusterIp, Works)], Cause::BridgeFilter),
];

const ABOUT_PAIRS: [Probe; 7] = [Nodes, Tcp, TcpFull, Udp, UdpFull, NodeTcp, NodeTcpFull];

/// Explains what was seen: one finding for each cause, in order of what lies below what. None: everything works.
pub(super) fn diagnose(seen: &Observations) -> Vec<Finding> {
    let mut table = Table { seen, found: BTreeMap::new() };
    table.nodes();
    table.pairs();
    table.services();
    table.node_ports();
    table.names();
    table.policy();
    table.found.into_iter().map(|(cause, pairs)| Finding::of(cause, pairs, seen)).collect()
}

struct Table<'a> {
    seen: &'a Observations,
    found: BTreeMap<Cause, Vec<Pair>>,
}

fn alone(node: &NodeName) -> Pair {
    Pair::new(node, node)
}

impl Table<'_> {
    fn find(&mut self, cause: Cause, pair: Pair) {
        let pairs = self.found.entry(cause).or_default();
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }

    fn first(&self, rows: &[Row], pair: &Pair) -> Option<Cause> {
        let fits = |(probe, want): &(Probe, Want)| match want {
            Works => self.seen.works(*probe, pair),
            Fails => self.seen.fails(*probe, pair),
        };
        rows.iter().find(|(conditions, _)| conditions.iter().all(fits)).map(|(_, cause)| *cause)
    }

    fn has(&self, cause: Cause, node: &NodeName) -> bool {
        self.found.get(&cause).is_some_and(|pairs| pairs.iter().any(|pair| pair.from == *node))
    }

    fn nodes(&mut self) {
        for (node, _) in &self.seen.untested {
            self.find(Cause::NodeUntested, alone(node));
        }
        for pair in self.seen.pairs(&[Probe::OwnPod]) {
            if self.seen.fails(Probe::OwnPod, &pair) {
                self.find(Cause::OwnPod, pair);
            }
        }
    }

    fn pairs(&mut self) {
        for pair in self.seen.pairs(&ABOUT_PAIRS) {
            let fails = ABOUT_PAIRS.iter().any(|probe| self.seen.fails(*probe, &pair));
            match self.first(PAIRS, &pair) {
                Some(cause) => self.find(cause, pair),
                // A closed kubelet port alone is no trouble of pods.
                None if fails && ABOUT_PAIRS[1..].iter().any(|probe| self.seen.fails(*probe, &pair)) => {
                    self.find(Cause::Unknown, pair);
                }
                None => {}
            }
        }
    }

    /// Whether pod and node reach the pod at the other end by its own address, so that a Service should work too.
    fn is_reached(&self, pair: &Pair) -> bool {
        pair.from == pair.to || ![Tcp, NodeTcp].iter().any(|probe| self.seen.fails(*probe, pair))
    }

    fn services(&mut self) {
        if !self.seen.without_endpoint.is_empty() {
            self.found.insert(Cause::NoEndpoints, Vec::new());
            return;
        }
        for pair in self.seen.pairs(&[ClusterIp, NodeClusterIp]) {
            if !self.is_reached(&pair) {
                continue;
            }
            // Where one of the two could not be tried, the other still tells that the Service does not work.
            let fails = [ClusterIp, NodeClusterIp].iter().any(|probe| self.seen.fails(*probe, &pair));
            let cause = self.first(SERVICES, &pair).or(fails.then_some(Cause::KubeProxy));
            if let Some(cause) = cause {
                self.find(cause, pair);
            }
        }
    }

    fn node_ports(&mut self) {
        if !self.seen.without_endpoint.is_empty() {
            return;
        }
        for pair in self.seen.pairs(&[Probe::NodePort]) {
            let at = alone(&pair.to);
            let explained = self.has(Cause::KubeProxy, &pair.to)
                || self.has(Cause::ServiceChecksum, &pair.to)
                || self.found.get(&Cause::NodesApart).is_some_and(|pairs| pairs.contains(&pair))
                || self.is_cut_off(&pair.to);
            if explained || !self.seen.fails(Probe::NodePort, &pair) {
                continue;
            }
            let works_there = self.seen.works(Probe::NodePort, &at);
            self.find(if works_there { Cause::NodePortBlocked } else { Cause::KubeProxy }, pair);
        }
    }

    /// Whether a node reaches some pods of others not at all: the endpoint of a NodePort may be one of them.
    fn is_cut_off(&self, node: &NodeName) -> bool {
        let pairs = self.seen.pairs(&[NodeTcp]);
        pairs.iter().any(|pair| pair.from == *node && self.seen.fails(NodeTcp, pair))
    }

    fn names(&mut self) {
        let failing = |probe| {
            let pairs = self.seen.pairs(&[probe]);
            pairs.into_iter().filter(|pair| self.seen.fails(probe, pair)).collect::<Vec<_>>()
        };
        let (cluster, outside) = (failing(Probe::Name), failing(Probe::OutsideName));
        for pair in &cluster {
            let unknown = self.seen.get(Probe::Name, pair) == Some(&Outcome::NameUnknown);
            if self.seen.name_servers.ready == 0 {
                self.find(Cause::NameServersDown, pair.clone());
            } else if unknown {
                self.find(Cause::NameUnknown, pair.clone());
            } else if !self.is_explained(&pair.from) {
                self.find(Cause::NameServerSilent, pair.clone());
            }
        }
        for pair in outside.into_iter().filter(|pair| !cluster.contains(pair)) {
            self.find(Cause::OutsideName, pair);
        }
    }

    /// Whether it follows from what was found already that pods of a node do not reach the name server.
    fn is_explained(&self, node: &NodeName) -> bool {
        let servers = &self.seen.name_servers.nodes;
        let unreached = |server: &NodeName| {
            let pair = Pair::new(node, server);
            self.seen.fails(Udp, &pair) || self.seen.fails(Tcp, &pair)
        };
        let services = [Cause::KubeProxy, Cause::BridgeFilter].iter().any(|cause| self.has(*cause, node));
        services || servers.iter().any(unreached)
    }

    fn policy(&mut self) {
        if !self.seen.policy_is_expected() {
            return;
        }
        for policy in &self.seen.policy {
            if policy.denied.works() {
                self.find(Cause::PolicyNotEnforced, alone(&policy.node));
            }
            if !policy.allowed.works() {
                self.find(Cause::PolicyTooStrict, alone(&policy.node));
            }
        }
    }
}

impl Observations {
    /// Whether something in this cluster enforces policies: the plugin says so, or some denied connection was not made.
    pub(super) fn policy_is_expected(&self) -> bool {
        self.setting.enforces_policy == Some(true) || self.policy.iter().any(|policy| !policy.denied.works())
    }
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;

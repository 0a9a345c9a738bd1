//! What the operator gets: one line for each kind of connection, then the causes of what does not work.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::diagnosis::diagnose;
use super::{Coverage, Finding, Observations, Outcome, Pair, Probe};
use crate::base::NodeName;

/// How a kind of connection fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All that were tried work.
    Ok,
    /// Some do not.
    Failed,
    /// Nothing in this cluster enforces it, and nobody has promised it.
    NotEnforced,
    /// None was tried.
    NotTested,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::NotEnforced => "not enforced",
            Self::NotTested => "not tested",
        }
    }
}

/// A kind of connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `pod-to-pod`, …: stable names.
    pub check: &'static str,
    /// How it fared.
    pub status: Status,
    /// Connections that work.
    pub passed: usize,
    /// Connections that were tried.
    pub tested: usize,
    /// What was tried, or why not.
    pub note: String,
}

/// A single connection that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What was tried.
    pub probe: Probe,
    /// From where to where.
    #[serde(flatten)]
    pub pair: Pair,
    /// What came of it.
    pub outcome: Outcome,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkReport {
    /// The cluster's name.
    pub cluster: String,
    /// Whether everything that was tried works.
    pub works: bool,
    /// How long it took, cleaning up included.
    pub milliseconds: u64,
    /// Which pairs of nodes were tried.
    pub coverage: String,
    /// MTU of pods by node.
    pub mtu: BTreeMap<NodeName, u32>,
    /// One for each kind of connection, always the same ones in the same order.
    pub checks: Vec<Line>,
    /// Likely causes, those that lie below others first.
    pub findings: Vec<Finding>,
    /// Every connection that does not work, those included that follow from others.
    pub failures: Vec<Failure>,
}

impl NetworkReport {
    /// Sums up what was seen.
    pub fn of(cluster: &str, coverage: &Coverage, seen: &Observations, milliseconds: u64) -> Self {
        let findings = diagnose(seen);
        let failing = seen.all().filter(|(_, _, outcome)| !outcome.works());
        let failure = |(probe, pair, outcome): (Probe, &Pair, &Outcome)| Failure {
            probe,
            pair: pair.clone(),
            outcome: outcome.clone(),
        };
        Self {
            cluster: cluster.to_owned(),
            works: findings.is_empty(),
            milliseconds,
            coverage: coverage.to_string(),
            mtu: seen.mtu.clone(),
            checks: lines(seen),
            failures: failing.map(failure).collect(),
            findings,
        }
    }
}

fn lines(seen: &Observations) -> Vec<Line> {
    use Probe::{
        ClusterIp, Name, NodeClusterIp, NodePort, NodeTcp, NodeTcpFull, OutsideName, OwnPod, Tcp, TcpFull, Udp, UdpFull,
    };
    let one = "there is one node only";
    vec![
        line(seen, "pod-to-pod", &[Tcp, TcpFull, Udp, UdpFull], "TCP and UDP, short and with full packets", one),
        line(seen, "node-to-pod", &[OwnPod, NodeTcp, NodeTcpFull], "TCP, short and with full packets", "no pod runs"),
        line(seen, "cluster-ip", &[ClusterIp, NodeClusterIp], "from pods and from nodes", "no pod runs"),
        line(seen, "node-port", &[NodePort], "at the address of each node", "no pod runs"),
        line(seen, "dns", &[Name], "the name of the API's Service, from pods", "no pod runs"),
        line(
            seen,
            "dns-outside",
            &[OutsideName],
            "the name that was asked for, from pods",
            "not asked for (--outside NAME)",
        ),
        policy_line(seen),
    ]
}

fn line(seen: &Observations, check: &'static str, probes: &[Probe], note: &str, otherwise: &str) -> Line {
    let pairs = seen.pairs(probes);
    let works = |pair: &&Pair| !probes.iter().any(|probe| seen.fails(*probe, pair));
    let (tested, passed) = (pairs.len(), pairs.iter().filter(works).count());
    let status = match tested {
        0 => Status::NotTested,
        _ if passed == tested => Status::Ok,
        _ => Status::Failed,
    };
    let note = if tested == 0 { otherwise } else { note };
    Line { check, status, passed, tested, note: note.to_owned() }
}

fn policy_line(seen: &Observations) -> Line {
    let plugin = &seen.setting.plugin;
    let tested = &seen.policy;
    let good = tested.iter().filter(|policy| !policy.denied.works() && policy.allowed.works()).count();
    let line = |status, passed, tested, note: String| Line { check: "network-policy", status, passed, tested, note };
    if tested.is_empty() {
        return line(Status::NotTested, 0, 0, "its client reaches no pod".into());
    }
    if !seen.policy_is_expected() {
        let note = match seen.setting.enforces_policy {
            Some(false) => format!("{plugin} enforces no NetworkPolicy: such objects do nothing"),
            _ => "nothing enforces NetworkPolicy here: such objects do nothing".to_owned(),
        };
        return line(Status::NotEnforced, 0, tested.len(), note);
    }
    let status = if good == tested.len() { Status::Ok } else { Status::Failed };
    line(status, good, tested.len(), "a denied connection is denied, an allowed one is made".into())
}

impl fmt::Display for NetworkReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Network of cluster {}: {}{}", self.cluster, self.coverage, mtu(&self.mtu))?;
        for Line { check, status, passed, tested, note } in &self.checks {
            let count = if *tested == 0 { "-".to_owned() } else { format!("{passed} of {tested}") };
            writeln!(formatter, "  {:<12}  {check:<14}  {count:>10}  {note}", status.word())?;
        }
        for finding in &self.findings {
            writeln!(formatter, "problem: {}: {}", places(&finding.pairs), finding.what)?;
            writeln!(formatter, "  likely: {}", finding.likely)?;
            writeln!(formatter, "  help: {}", finding.help)?;
        }
        let seconds = self.milliseconds / 1000;
        let tenths = self.milliseconds % 1000 / 100;
        let word = if self.works { "Everything that was tried works" } else { "The network does not work everywhere" };
        writeln!(formatter, "{word} ({seconds}.{tenths} s).")
    }
}

/// One number where it is the same everywhere.
fn mtu(by_node: &BTreeMap<NodeName, u32>) -> String {
    let mut values: Vec<u32> = by_node.values().copied().collect();
    values.sort_unstable();
    values.dedup();
    match values.as_slice() {
        [] => String::new(),
        [one] => format!(", MTU of pods {one}"),
        _ => {
            let each: Vec<String> = by_node.iter().map(|(node, mtu)| format!("{node} {mtu}")).collect();
            format!(", MTU of pods {}", each.join(", "))
        }
    }
}

/// So many connections are named; `--json` has all.
const MOST_PLACES: usize = 8;

fn places(pairs: &[Pair]) -> String {
    let place = |pair: &Pair| if pair.from == pair.to { pair.from.to_string() } else { pair.to_string() };
    let mut texts: Vec<String> = pairs.iter().take(MOST_PLACES).map(place).collect();
    if pairs.len() > MOST_PLACES {
        texts.push(format!("and {} more", pairs.len() - MOST_PLACES));
    }
    if texts.is_empty() { "the cluster".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;

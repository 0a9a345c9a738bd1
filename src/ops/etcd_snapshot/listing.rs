//! `etcd snapshot list`: what lies on which etcd hosts.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::SnapshotError;
use crate::base::NodeName;
use crate::state::{SnapshotName, SnapshotRecord};

/// A snapshot on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its record, where it can be read.
    pub record: Option<SnapshotRecord>,
    /// What is wrong with it.
    pub damage: Option<String>,
}

impl Copy {
    /// One whose record is missing or cannot be read.
    pub fn without_record(damage: String) -> Self {
        Self { record: None, damage: Some(damage) }
    }
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: SnapshotName,
    /// Its record; none where no host has one that can be read.
    pub record: Option<SnapshotRecord>,
    /// Hosts that have it whole, as far as digests tell.
    pub whole_on: Vec<NodeName>,
    /// Hosts that have it damaged, and how.
    pub damaged_on: BTreeMap<NodeName, String>,
    /// Etcd hosts that do not have it.
    pub missing_on: Vec<NodeName>,
}

/// All snapshots, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// One a row.
    pub snapshots: Vec<Listed>,
    /// Etcd hosts that could not be asked, and why.
    pub unreachable: BTreeMap<NodeName, String>,
}

impl Listing {
    /// Brings the copies of all hosts together.
    pub(super) fn new(copies: Vec<(SnapshotName, NodeName, Copy)>, etcd_hosts: Vec<NodeName>) -> Self {
        let mut by_name: BTreeMap<SnapshotName, Vec<(NodeName, Copy)>> = BTreeMap::new();
        for (name, node, copy) in copies {
            by_name.entry(name).or_default().push((node, copy));
        }
        let mut snapshots: Vec<Listed> =
            by_name.into_iter().map(|(name, copies)| Listed::of(name, copies, &etcd_hosts)).collect();
        let created = |listed: &Listed| listed.record.as_ref().map(|record| record.created.clone());
        snapshots.sort_by(|one, other| (created(one), &one.name).cmp(&(created(other), &other.name)));
        Self { snapshots, unreachable: BTreeMap::new() }
    }

    /// The snapshot of a name.
    pub fn find(&self, name: &SnapshotName) -> Result<&Listed, SnapshotError> {
        let known = || self.snapshots.iter().map(|listed| listed.name.clone()).collect();
        let found = self.snapshots.iter().find(|listed| listed.name == *name);
        found.ok_or_else(|| SnapshotError::Unknown { name: name.clone(), known: known() })
    }

    /// Whether every one lies whole on every etcd host, and all hosts were asked.
    pub fn is_whole(&self) -> bool {
        let whole = |listed: &Listed| listed.damaged_on.is_empty() && listed.missing_on.is_empty();
        self.unreachable.is_empty() && self.snapshots.iter().all(whole)
    }
}

impl Listed {
    /// The record that most whole copies have. One that differs from it is another snapshot under the same name.
    fn of(name: SnapshotName, copies: Vec<(NodeName, Copy)>, etcd_hosts: &[NodeName]) -> Self {
        let whole = copies.iter().filter(|(_, copy)| copy.damage.is_none()).filter_map(|(_, copy)| copy.record.clone());
        let whole: Vec<SnapshotRecord> = whole.collect();
        let votes = |record: &SnapshotRecord| whole.iter().filter(|other| *other == record).count();
        let any = || copies.iter().find_map(|(_, copy)| copy.record.clone());
        // The first of those with most votes.
        let chosen = whole.iter().rev().max_by_key(|record| votes(record)).cloned().or_else(any);
        let missing_on = etcd_hosts.iter().filter(|host| !copies.iter().any(|(node, _)| node == *host)).cloned();
        let missing_on = missing_on.collect();
        let (mut whole_on, mut damaged_on) = (Vec::new(), BTreeMap::new());
        for (node, copy) in copies {
            match copy.damage {
                Some(damage) => drop(damaged_on.insert(node, damage)),
                None if copy.record == chosen => whole_on.push(node),
                None => {
                    let other = "another snapshot has the same name here: the records differ";
                    damaged_on.insert(node, other.to_owned());
                }
            }
        }
        Self { name, record: chosen, whole_on, damaged_on, missing_on }
    }
}

/// Columns, widest first cell first; one line more for each thing that is wrong.
impl fmt::Display for Listing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.snapshots.is_empty() {
            writeln!(formatter, "There are no snapshots.")?;
        } else {
            let width = self.snapshots.iter().map(|listed| listed.name.as_str().len()).max().unwrap_or(0).max(4);
            let head = ["created", "kubernetes", "etcd", "revision", "size"];
            let [created, kubernetes, etcd, revision, size] = head;
            writeln!(
                formatter,
                "{:<width$}  {created:<20}  {kubernetes:<10}  {etcd:<8}  {revision:>10}  {size:>10}  on",
                "name"
            )?;
            for listed in &self.snapshots {
                row(listed, width, formatter)?;
            }
        }
        for (node, reason) in &self.unreachable {
            writeln!(formatter, "not asked: {node}: {reason}")?;
        }
        Ok(())
    }
}

fn row(listed: &Listed, width: usize, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let hosts: Vec<&str> = listed.whole_on.iter().map(NodeName::as_str).collect();
    let hosts = if hosts.is_empty() { "-".to_owned() } else { hosts.join(", ") };
    match &listed.record {
        Some(record) => {
            let (kubernetes, etcd) = (record.cluster.kubernetes_version.to_string(), &record.etcd);
            let size = format!("{}.{} MB", etcd.size / 1_000_000, etcd.size / 100_000 % 10);
            let line = format!(
                "{:<width$}  {:<20}  {kubernetes:<10}  {:<8}  {:>10}  {size:>10}  {hosts}",
                listed.name, record.created, etcd.version, etcd.revision
            );
            writeln!(formatter, "{line}")?;
        }
        None => writeln!(formatter, "{:<width$}  no record that can be read", listed.name)?,
    }
    for (node, damage) in &listed.damaged_on {
        writeln!(formatter, "  damaged on {node}: {damage}")?;
    }
    if !listed.missing_on.is_empty() {
        let nodes: Vec<&str> = listed.missing_on.iter().map(NodeName::as_str).collect();
        writeln!(formatter, "  missing on {}", nodes.join(", "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, KubernetesVersion};
    use crate::state::{Fingerprints, SnapshotCluster, SnapshotFacts, Taken};

    fn record(canary: &str) -> SnapshotRecord {
        let digest = || Digest::of("x");
        let fingerprints = Fingerprints {
            cluster_authority: digest(),
            etcd_authority: digest(),
            front_proxy_authority: digest(),
            service_account_key: digest(),
            encryption_key: digest(),
        };
        let kubernetes_version = KubernetesVersion::parse("v1.34.1").unwrap();
        let cluster =
            SnapshotCluster { name: "a".into(), token: "t".into(), kubernetes_version, generation: 1, fingerprints };
        let (cluster_id, version) = ("a".into(), "3.6.14".into());
        let facts = SnapshotFacts { cluster_id, version, revision: 77, hash: 1, size: 2_345_678, sha256: digest() };
        let taken = Taken { by: node("h1"), facts, canary: canary.into() };
        SnapshotRecord::new(name("first"), "2026-11-26T09:41:52Z".into(), cluster, taken)
    }

    fn node(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn name(text: &str) -> SnapshotName {
        SnapshotName::new(text).unwrap()
    }

    fn whole(canary: &str) -> Copy {
        Copy { record: Some(record(canary)), damage: None }
    }

    #[test]
    fn one_row_says_where_it_is_whole_damaged_and_missing() {
        let damaged = Copy { damage: Some("it has rotted".into()), ..whole("c") };
        let copies = vec![(name("first"), node("h1"), whole("c")), (name("first"), node("h2"), damaged)];
        let listing = Listing::new(copies, vec![node("h1"), node("h2"), node("h3")]);
        assert!(!listing.is_whole());
        let text = listing.to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let row = "first  2026-11-26T09:41:52Z  v1.34.1     3.6.14            77      2.3 MB  h1";
        assert_eq!(lines, [row, "  damaged on h2: it has rotted", "  missing on h3"]);
        assert!(listing.find(&name("second")).unwrap_err().to_string().ends_with("there are: first"));
    }

    #[test]
    fn another_snapshot_under_the_same_name_is_not_taken_for_a_copy() {
        let hosts = ["h1", "h2", "h3"].map(node);
        let canaries = ["c", "c", "other"];
        let copies = hosts.iter().zip(canaries).map(|(host, canary)| (name("first"), host.clone(), whole(canary)));
        let listing = Listing::new(copies.collect(), hosts.to_vec());
        assert_eq!(listing.snapshots[0].whole_on, [node("h1"), node("h2")]);
        assert!(listing.snapshots[0].damaged_on[&node("h3")].contains("the records differ"));
    }

    #[test]
    fn a_copy_without_a_record_is_named() {
        let copies = vec![(name("first"), node("h1"), Copy::without_record("its making was interrupted".into()))];
        let listing = Listing::new(copies, vec![node("h1")]);
        assert!(listing.to_string().contains("damaged on h1: its making was interrupted"), "{listing}");
    }
}

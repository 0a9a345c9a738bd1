//! The step that takes a snapshot of etcd.

use crate::base::{KubernetesVersion, NodeName, StepId};
use crate::state::{ImageIdentity, Owner, SnapshotCluster, SnapshotName};

use super::snapshot_retention::KEPT_SNAPSHOTS;
use super::step::{Action, Step};

/// A snapshot to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// Its name.
    pub name: SnapshotName,
    /// Whether the time is put behind the name, so that the same step can be done again later.
    pub stamped: bool,
    /// Which cluster it is of.
    pub cluster: SnapshotCluster,
    /// Every etcd host. The first that can takes it; all keep it.
    pub members: Vec<SnapshotMember>,
    /// Number and version of every generation: what a rollback to one of them needs is kept when older ones go.
    pub generations: Vec<(u32, KubernetesVersion)>,
}

/// An etcd host, as far as snapshots need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMember {
    /// The node, whose name is the member's.
    pub node: NodeName,
    /// The image that the member runs.
    pub image: ImageIdentity,
    /// The member's account.
    pub owner: Owner,
}

/// The step that takes a snapshot. When it is done, every etcd host has it and has verified it.
pub fn snapshot_step(spec: SnapshotSpec, reason: &str) -> Step {
    let hosts: Vec<&str> = spec.members.iter().map(|member| member.node.as_str()).collect();
    let mut details = vec![format!("kept on {}", hosts.join(", "))];
    if spec.stamped {
        details.push(format!(
            "of those that were taken like this {KEPT_SNAPSHOTS} are kept, and each that a rollback needs"
        ));
    }
    Step {
        id: StepId(format!("cluster/snapshot/{}", spec.name)),
        host: None,
        title: format!("take etcd snapshot {}", spec.name),
        reason: reason.to_owned(),
        details,
        action: Action::SaveSnapshot(Box::new(spec)),
        after: Vec::new(),
        log: None,
        contained: false,
    }
}

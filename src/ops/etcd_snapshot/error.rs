//! Why a snapshot was not taken, found or restored.

use crate::base::NodeName;
use crate::journal::{GenerationNumber, RestoreIntent};
use crate::state::SnapshotName;

/// What stopped an operation on snapshots.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is nothing of which a snapshot could be.
    #[error("no `up` has ended well with this cluster.yml, so there is no etcd to take snapshots of")]
    NoCluster,
    /// Hosts without which it cannot be done.
    #[error("{}", .0.join("\n"))]
    Unreachable(Vec<String>),
    /// An etcd host has no container of a member.
    #[error("{host}: container etcd is not there")]
    NoMember {
        /// Host.
        host: String,
    },
    /// The name is in use.
    #[error("there is a snapshot {0} already; give another name")]
    Exists(SnapshotName),
    /// No host has it.
    #[error("no etcd host has a snapshot {name}{}", there_are(.known))]
    Unknown {
        /// The name that was asked for.
        name: SnapshotName,
        /// Those that there are.
        known: Vec<SnapshotName>,
    },
    /// It cannot be restored into this cluster; one sentence each.
    #[error("snapshot {name} cannot be restored:{}", lines(.reasons))]
    Unusable {
        /// Which.
        name: SnapshotName,
        /// Why.
        reasons: Vec<String>,
    },
    /// Replacements that have not ended: what they have started may write while it is restored.
    #[error("a snapshot cannot be restored while these are being replaced: {}", .0.join(", "))]
    Replacing(Vec<String>),
    /// It was not taken.
    #[error("no snapshot was taken:{}", lines(.0))]
    NotTaken(Vec<String>),
    /// Some are not what they must be.
    #[error("snapshots that cannot be used:{}", lines(.0))]
    NotVerified(Vec<String>),
    /// It has failed while everything still ran.
    #[error("snapshot {name} was not restored, and nothing was stopped for it:{}", lines(.reasons))]
    NotBegun {
        /// Which.
        name: SnapshotName,
        /// Steps that failed, or that the operator stopped it.
        reasons: Vec<String>,
    },
    /// The restore has begun and not ended.
    #[error("the restore of {name} is not finished:{}", lines(.reasons))]
    NotRestored {
        /// Which.
        name: SnapshotName,
        /// Steps that failed, or that the operator stopped it.
        reasons: Vec<String>,
    },
    /// Something else was asked for while a restore is under way.
    #[error("the {} etcd snapshot {} was begun and is not finished", work(.0), .0.snapshot)]
    Unfinished(RestoreIntent),
    /// There is none to be given up.
    #[error("no restore of etcd is under way")]
    NotUnderWay,
    /// Members have other data by now.
    #[error("the {} etcd snapshot {} cannot be given up any more: the data was moved on {}", work(.intent), .intent.snapshot, list(.hosts))]
    TooLate {
        /// Which.
        intent: RestoreIntent,
        /// Where.
        hosts: Vec<NodeName>,
    },
    /// It is neither given up nor gone on with.
    #[error("the {} etcd snapshot {} is not given up yet:{}", work(.intent), .intent.snapshot, lines(.reasons))]
    NotGivenUp {
        /// Which.
        intent: RestoreIntent,
        /// Steps that failed, or that the operator stopped it.
        reasons: Vec<String>,
    },
    /// There is none that was taken before the upgrade.
    #[error("no etcd host has a snapshot that was taken of generation {0} before it was upgraded")]
    NoneOf(GenerationNumber),
}

impl SnapshotError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown { .. } => Some("`provision etcd snapshot list` shows those that there are"),
            Self::Unusable { .. } => Some("nothing of the cluster was touched; choose another snapshot"),
            Self::Replacing(_) => Some(
                "nothing was touched; on each of these hosts, `systemctl start provision-settle` ends what was interrupted",
            ),
            Self::NoneOf(_) => Some("`provision etcd snapshot list` shows those that there are"),
            Self::TooLate { intent: RestoreIntent { back_to: Some(_), .. }, .. } => {
                Some("run `provision rollback --restore-snapshot` again: it goes on where it stopped")
            }
            Self::TooLate { .. } => {
                Some("run `provision etcd snapshot restore` with that snapshot again: it goes on where it stopped")
            }
            Self::NotGivenUp { .. } => Some("run `provision etcd snapshot restore --abort` again"),
            Self::Unfinished(RestoreIntent { back_to: Some(_), .. }) => Some(
                "run `provision rollback --restore-snapshot` again: it goes on where it stopped; or give it up as long as no \
                 member has other data: `provision etcd snapshot restore --abort`",
            ),
            Self::NotRestored { .. } | Self::Unfinished(_) => Some(
                "run `provision etcd snapshot restore` with that snapshot again: it goes on where it stopped; or give it up as \
                 long as no member has other data: `provision etcd snapshot restore --abort`",
            ),
            _ => None,
        }
    }
}

fn work(intent: &RestoreIntent) -> String {
    match intent.back_to {
        Some(number) => format!("rollback to generation {number} with"),
        None => "restore of".into(),
    }
}

fn list(hosts: &[NodeName]) -> String {
    hosts.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

fn lines(reasons: &[String]) -> String {
    reasons.iter().map(|reason| format!("\n  {reason}")).collect()
}

fn there_are(names: &[SnapshotName]) -> String {
    if names.is_empty() {
        return "; there is none at all".into();
    }
    let names: Vec<&str> = names.iter().map(SnapshotName::as_str).collect();
    format!("; there are: {}", names.join(", "))
}

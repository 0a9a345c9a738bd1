//! What is remembered of a restore that is under way.

use serde::{Deserialize, Serialize};

use super::durable::FORMAT;
use super::generation::GenerationNumber;
use crate::state::SnapshotName;

/// `restore.json`: stored before the first component stops and emptied after the last one runs, so that an interrupted
/// restore is gone on with instead of being begun again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreFile {
    format: u32,
    /// None once it is over.
    pub unfinished: Option<RestoreIntent>,
}

/// A restore of etcd that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreIntent {
    /// The snapshot.
    pub snapshot: SnapshotName,
    /// Names this restore on the hosts.
    pub stamp: String,
    /// The generation to which components go back with it; none where etcd's data alone is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<GenerationNumber>,
}

impl RestoreFile {
    pub fn new(unfinished: Option<RestoreIntent>) -> Self {
        Self { format: FORMAT, unfinished }
    }
}

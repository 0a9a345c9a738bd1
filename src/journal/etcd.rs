//! What is remembered of etcd's first start.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::durable::FORMAT;
use crate::base::NodeName;

/// `etcd.json`: stored before the first member starts, so that an interrupted first start is continued with the same token
/// instead of giving two clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdRecord {
    format: u32,
    /// `--initial-cluster-token` of every member. Not a secret.
    pub token: String,
    /// Members of the first start, by node.
    pub first_members: BTreeSet<NodeName>,
    /// Members that were seen healthy in a whole cluster. One of these without data is a loss, not a first start.
    pub seen_complete: BTreeSet<NodeName>,
    /// etcd's cluster id, hexadecimal, once a member has told it. Data with another id is not ours.
    pub cluster_id: Option<String>,
}

impl EtcdRecord {
    /// A cluster that nobody has seen yet.
    pub fn new(token: impl Into<String>, first_members: BTreeSet<NodeName>) -> Self {
        let (token, seen_complete) = (token.into(), BTreeSet::new());
        Self { format: FORMAT, token, first_members, seen_complete, cluster_id: None }
    }

    /// Whether the first start is over: every one of its members was seen.
    pub fn first_start_complete(&self) -> bool {
        self.first_members.is_subset(&self.seen_complete)
    }
}

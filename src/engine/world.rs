//! What the engine acts on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Epoch, NodeName, StepId};
use crate::endpoints::Endpoints;
use crate::host::{LookRequest, SharedHost};
use crate::state::{HostFacts, SnapshotName};

use super::actions::StepError;

/// Hosts, what is reached through them, and what the plan was made for.
pub struct World {
    /// The run's fencing number.
    pub epoch: Epoch,
    /// Hosts by node.
    pub hosts: BTreeMap<NodeName, SharedHost>,
    /// etcd and the API.
    pub endpoints: Arc<dyn Endpoints>,
    /// What each host was taken for.
    pub facts: BTreeMap<NodeName, HostFacts>,
    /// What to look at when a host is verified.
    pub look: LookRequest,
    /// How long a condition is waited for.
    pub patience: Duration,
}

/// The record of a run. If it cannot be written the step fails: nothing is done that is not on record.
pub trait RunLog: Send + Sync {
    /// A step is about to act.
    fn intent(&self, step: &StepId) -> Result<(), StepError>;

    /// A restore of etcd begins. Durable when it returns: a run that dies after it is gone on with, or given up.
    fn restore_begins(&self, snapshot: &SnapshotName, stamp: &str) -> Result<(), StepError>;

    /// A step has ended.
    fn outcome(&self, step: &StepId, error: Option<&StepError>) -> Result<(), StepError>;
}

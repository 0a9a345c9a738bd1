//! Steps and the plan that they make up.

use std::time::Duration;

use crate::base::{NodeName, StepId};
use crate::cluster::DrainOptions;
use crate::desired::NodeMetadata;
use crate::host::{Change, LogSource};
use crate::state::{
    Component, ContainerSpec, Deletion, InventoryEntry, Object, ObjectKey, ResourceKind, SnapshotName, SnapshotRecord,
};

use super::{MissingImage, Refusal, SnapshotSpec};

/// Everything that a run would do. Empty means that the world is as desired.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Steps, each after those that it needs.
    pub steps: Vec<Step>,
    /// Changes that are wanted and not possible; one of them stops the whole run before it begins.
    pub refusals: Vec<Refusal>,
    /// What the operator should know before the run begins, one sentence each.
    pub warnings: Vec<String>,
    /// Images of pods that nobody has; the run goes on without them.
    pub missing_images: Vec<MissingImage>,
}

impl Plan {
    /// Whether nothing is to be done and nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.refusals.is_empty()
    }

    /// Whether this step replaces a component on its host.
    pub(super) fn swaps(&self, id: &StepId) -> bool {
        let swaps = |step: &Step| {
            let Action::Change(changes) = &step.action else { return false };
            changes.iter().any(|change| matches!(change, Change::Swap(_)))
        };
        self.steps.iter().any(|step| &step.id == id && swaps(step))
    }

    pub(super) fn has(&self, id: &StepId) -> bool {
        self.steps.iter().any(|step| &step.id == id)
    }
}

/// One thing to do, in words and as a value.
#[derive(Debug, Clone)]
pub struct Step {
    /// Stable name.
    pub id: StepId,
    /// Host, or none for a step of the whole cluster.
    pub host: Option<NodeName>,
    /// What it does, beginning with a verb.
    pub title: String,
    /// Why: what was seen instead.
    pub reason: String,
    /// Each thing that changes, one line each: paths, packages, objects.
    pub details: Vec<String>,
    /// What is done.
    pub action: Action,
    /// Steps that must be done before. Only steps of the same plan are named.
    pub after: Vec<StepId>,
    /// Whose log explains a failure.
    pub log: Option<LogSource>,
    /// Whether a failure keeps nothing from being done but the steps that come after this one.
    pub contained: bool,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Changes of the host, in order.
    Change(Vec<Change>),
    /// Looks at the host again after the runtime's installation and stops if it is not what the plan was made for.
    VerifyRuntime,
    /// Makes a container and starts it.
    RunContainer(Box<ContainerSpec>),
    /// Starts a container that is there and stopped.
    StartContainer(String),
    /// Starts kubelet or another unit.
    StartUnit {
        /// The unit.
        name: String,
        /// Restarts one that runs.
        restart: bool,
    },
    /// Applies objects through the API, all at once.
    Apply(Vec<Object>),
    /// Adds objects to the inventory that could not be read when the plan was made. Whether they are there already, and so
    /// were not made by the tool, is found out before.
    Note(Vec<InventoryEntry>),
    /// Deletes objects and waits until they are gone. A namespace or a definition goes only once nothing is left in it.
    Delete(Vec<Deletion>),
    /// Stops the add-ons where the API does not serve one of these kinds; changes nothing.
    RequireKinds(Vec<ResourceKind>),
    /// Sets labels and taints of a Node.
    SetNodeMetadata(NodeMetadata),
    /// Keeps new pods from a node, unless the operator does so already.
    Cordon(NodeName),
    /// Evicts the pods of a cordoned node and waits until they are gone. Where they do not go, the tool's cordon is lifted.
    Drain {
        /// Which.
        node: NodeName,
        /// How.
        options: DrainOptions,
    },
    /// Lets new pods onto a node, unless it was the operator who kept them away.
    Uncordon(NodeName),
    /// Takes a snapshot of etcd, brings it to every etcd host and verifies it there.
    SaveSnapshot(Box<SnapshotSpec>),
    /// Brings a snapshot of etcd from another host.
    CopySnapshot {
        /// Who has it.
        from: NodeName,
        /// What it is.
        record: Box<SnapshotRecord>,
    },
    /// Notes that a restore of etcd begins: from then on nothing but its end, or its being given up, lets the cluster be changed.
    BeginRestore {
        /// The snapshot.
        snapshot: SnapshotName,
        /// Names the restore on the hosts.
        stamp: String,
    },
    /// Waits, and changes nothing.
    Wait(Condition),
    /// Waits for a workload that was applied over one that was ready. Where it does not get ready, the older one is put back and
    /// awaited, and the step fails.
    Prove {
        /// Whose it is.
        addon: String,
        /// The workload.
        key: ObjectKey,
        /// Those objects of the add-on that the plan applies over others, as it has seen them; in the order in which they go
        /// back, each stage at once.
        before: Vec<Vec<Object>>,
    },
}

impl Action {
    /// Whether the step only waits, be it that it puts something back where it waits in vain.
    pub fn is_wait(&self) -> bool {
        matches!(self, Self::Wait(_) | Self::Prove { .. } | Self::RequireKinds(_))
    }
}

/// Something to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Every etcd member of the list is started and healthy.
    EtcdHealthy(Vec<NodeName>),
    /// The etcd member of this node is healthy, or ill of something else than damaged data, which a start or a replacement
    /// may mend.
    EtcdDataWhole(NodeName),
    /// The apiserver of this node answers, be it that it is not ready yet.
    ApiAnswers(NodeName),
    /// The apiserver of this node says `ok` on `/readyz` and the system namespaces exist.
    ApiReady(NodeName),
    /// The Node object exists.
    NodeRegistered(NodeName),
    /// The Node is Ready.
    NodeReady {
        /// Which.
        node: NodeName,
        /// The network plugin's workloads, whose pods tell why it is not.
        network: Vec<ObjectKey>,
    },
    /// A Deployment, DaemonSet or StatefulSet has all its pods of the newest revision ready, or a Job is complete.
    WorkloadReady {
        /// Whose it is.
        addon: String,
        /// The workload.
        key: ObjectKey,
    },
    /// All pods of a workload are there, and each is ready or waits for nothing but one of these images.
    OnlyImagesMissing {
        /// Whose it is.
        addon: String,
        /// The workload.
        key: ObjectKey,
        /// The images by name.
        images: Vec<String>,
    },
    /// The API serves the kinds of all these definitions.
    Established {
        /// Whose they are.
        addon: String,
        /// The definitions.
        keys: Vec<ObjectKey>,
    },
    /// The service behind an APIService answers.
    ServiceAvailable {
        /// Whose it is.
        addon: String,
        /// The APIService.
        key: ObjectKey,
    },
    /// These nodes have been Ready for this long, counted from the step's start; one that is not fails the step.
    Soaked {
        /// Which.
        nodes: Vec<NodeName>,
        /// How long.
        duration: Duration,
    },
    /// A component's loopback health endpoint answers.
    ComponentHealthy(NodeName, Component),
    /// A controller-manager and a scheduler renew their leases: each has been renewed since the wait began.
    Led,
}

//! What a run would do: desired and observed in, ordered steps or refusals out. A plain value, made without I/O.

mod addon_steps;
mod cluster_steps;
mod container_steps;
mod drain;
mod file_steps;
mod host_steps;
mod inventory_steps;
mod label_steps;
mod missing_image;
mod object_difference;
mod order;
mod owned_fields;
mod preflight;
mod preflight_network;
mod readiness;
mod refusal;
mod render;
mod restore_steps;
mod rolling;
mod running_versions;
mod runtime_configuration;
mod runtime_steps;
mod settle_steps;
mod snapshot_retention;
mod snapshot_steps;
mod staging;
mod step;
mod swap_steps;
mod upgrade_rules;
mod way_back;
mod way_out;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Digest, KubernetesVersion, NodeName, StepId};
use crate::cluster::Cluster;
use crate::crossing::{CrossingReport, WayBack};
use crate::desired::Desired;
use crate::host::{Pull, Transfer};
use crate::pki::RenewalDue;
use crate::state::{HostSnapshot, ImageReference, ImageStore, Object, Observed, ObservedHost};

pub use drain::{
    Blocked, BudgetState, DrainForecast, DrainInput, DrainWarning, Obstacle, PodRef, Stay, drain_steps, forecast,
    has_ended, is_cordon_seen, owners, tolerates_cordon, uncordon_step,
};
pub use inventory_steps::strangers;
pub use label_steps::{LABEL_NAMESPACES, label_namespaces};
pub use missing_image::MissingImage;
pub use object_difference::{Difference, object_difference};
pub use preflight::{Limits, PreflightFinding, Severity, leftovers, preflight};
pub use readiness::{
    condition, has_condition, job_failure, node_is_ready, was_seen, workload_is_ready, workload_progress,
};
pub use refusal::Refusal;
pub use restore_steps::{
    Restoration, RestoreInput, abort_restore, is_stopped_for_restore, replaced_data, restore_snapshot,
};
pub use running_versions::RunningVersions;
pub use snapshot_retention::{KEPT_SNAPSHOTS, is_way_back, superfluous};
pub use snapshot_steps::{SnapshotMember, SnapshotSpec, snapshot_step};
pub use step::{Action, Condition, Plan, Step};
pub use way_out::way_out;

/// Where the bytes come from that hosts lack.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Image archives by the name that they carry.
    pub images: BTreeMap<ImageReference, Transfer>,
    /// Images that hosts can pull themselves.
    pub pulls: BTreeMap<(ImageStore, ImageReference), Pull>,
    /// Large files by digest.
    pub files: BTreeMap<Digest, Transfer>,
}

/// What the state folder knows that no look at the hosts can show.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The cluster of the last completed generation; none before the first one.
    pub completed: Option<Box<Cluster>>,
    /// The Kubernetes version of a generation that was begun after it and is not complete; none where there is none.
    pub begun: Option<KubernetesVersion>,
    /// etcd members that were once seen as full members: they never start with empty data again.
    pub complete_etcd_members: Vec<NodeName>,
    /// Whether the run takes an upgrade back: components go in the opposite order, and to an older version.
    pub goes_back: bool,
    /// Whether no run has ever begun: nothing of ours can be anywhere.
    pub untouched: bool,
}

impl History {
    /// Whether an `up` has ever ended well: from then on what runs is somebody's cluster.
    pub fn is_living(&self) -> bool {
        self.completed.is_some()
    }

    /// Whether the last completed generation has this node.
    fn has_node(&self, name: &NodeName) -> bool {
        self.completed.as_ref().is_some_and(|cluster| cluster.node(name).is_some())
    }
}

/// Everything that a plan is made from.
pub struct Input<'a> {
    /// The cluster as meant.
    pub cluster: &'a Cluster,
    /// What shall be.
    pub desired: &'a Desired,
    /// What is.
    pub observed: &'a Observed,
    /// Bytes at hand.
    pub sources: &'a Sources,
    /// What was.
    pub history: &'a History,
    /// Certificates of a cluster that has run and that were made anew.
    pub renewals: &'a [RenewalDue],
    /// Whether pods may wait for images that nobody has.
    pub allow_missing_images: bool,
    /// What the upgrade to another minor means; none where there is none.
    pub crossing: Option<&'a CrossingReport>,
    /// What going back to an older minor loses; none where that is not asked for.
    pub way_back: Option<&'a WayBack>,
    /// Namespaces without the labels that we put on them on the way there.
    pub unlabelled: &'a [Object],
    /// The snapshot that etcd's data is replaced with on the way back; none where the data stays.
    pub restoration: Option<&'a Restoration>,
    /// The snapshot that is taken before etcd or a minor changes; none where no etcd member was seen.
    pub snapshot: Option<SnapshotSpec>,
    /// One version of each minor that can be installed.
    pub installable: &'a [KubernetesVersion],
}

impl Input<'_> {
    fn snapshot(&self, node: &NodeName) -> Option<&HostSnapshot> {
        match self.observed.hosts.get(node) {
            Some(ObservedHost::Reached(snapshot)) => Some(snapshot),
            _ => None,
        }
    }
}

/// Makes the plan. Hosts that were not reached are for [`preflight`] to refuse; they get no steps here.
pub fn make(input: &Input<'_>) -> Plan {
    let mut plan = Plan::default();
    refusal::topology(input, &mut plan);
    upgrade_rules::add(input, &mut plan);
    way_back::add(input, &mut plan);
    refusal::kinds(input, &mut plan);
    for (name, wanted) in &input.desired.hosts {
        if let Some(snapshot) = input.snapshot(name) {
            host_steps::add(&host_steps::HostInput { input, name, wanted, snapshot }, &mut plan);
        }
    }
    cluster_steps::add(input, &mut plan);
    let moved = rolling::order(input, &mut plan);
    addon_steps::waits(input, &moved, &mut plan);
    drain::leftover_cordons(input, &mut plan);
    keep_known_edges(&mut plan);
    refusal::circles(&mut plan);
    order::sort(&mut plan);
    plan
}

/// Steps name all that they could have to wait for; only what this plan holds is an edge.
fn keep_known_edges(plan: &mut Plan) {
    let known: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id.clone()).collect();
    for step in &mut plan.steps {
        step.after.retain(|id| known.contains(id));
    }
}

//! What each action of a plan does.

use std::sync::atomic::AtomicBool;

use crate::base::NodeName;
use crate::desired::predicted_cgroup_driver;
use crate::event::Event;
use crate::host::{Change, HostError, SharedHost};
use crate::plan::{Action, Condition, Step};
use crate::state::{Inventory, ResourceKind};

use super::addon_proof::{AddonProof, PutBack};
use super::drain::NotEmpty;
use super::explain::NotReady;
use super::snapshots::SnapshotFailure;
use super::{Context, drain, objects, snapshots, waiter};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The host refused or broke.
    #[error(transparent)]
    Host(#[from] HostError),
    /// etcd or the API refused.
    #[error(transparent)]
    Endpoint(#[from] crate::endpoints::EndpointError),
    /// A condition did not come true.
    #[error("still not so after {seconds} s: {reason}")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
        /// The last reason.
        reason: String,
    },
    /// A condition that will never come true.
    #[error("{0}")]
    Hopeless(String),
    /// What an add-on brings did not get ready.
    #[error(transparent)]
    NotReady(#[from] Box<NotReady>),
    /// An add-on did not get ready, and what was there before was put back.
    #[error(transparent)]
    PutBack(#[from] Box<PutBack>),
    /// A node's pods did not leave it.
    #[error(transparent)]
    NotEmpty(#[from] Box<NotEmpty>),
    /// The API knows none of these kinds.
    #[error("the cluster serves no {}; check apiVersion and kind: kubectl api-resources", kinds(.0))]
    Unserved(Vec<ResourceKind>),
    /// Somebody has changed the inventory.
    #[error("{key} cannot be read: {reason}; put it back or delete it", key = Inventory::key())]
    Inventory {
        /// What is wrong with it.
        reason: String,
    },
    /// Another step has failed, so that this one waited for nothing.
    #[error("given up because another step failed")]
    Abandoned,
    /// The operator stopped the run.
    #[error("stopped while waiting; run `provision up` again to go on")]
    Cancelled,
    /// The installed runtime is not the one that the plan was made for.
    #[error("{host}: the installed runtime differs from what was planned for: {difference}; run `provision up` again")]
    RuntimeDiffers {
        /// Host.
        host: NodeName,
        /// What differs.
        difference: String,
    },
    /// A snapshot of etcd was not taken.
    #[error(transparent)]
    Snapshot(#[from] SnapshotFailure),
    /// The run's record cannot be written.
    #[error("the run's record cannot be written: {0}")]
    Record(String),
    /// The plan names a host that the run does not have.
    #[error("no connection to {0}")]
    NoHost(NodeName),
}

impl StepError {
    /// Whether the step is neither done nor failed: nobody has waited for its end.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(self, Self::Abandoned | Self::Cancelled)
    }
}

fn kinds(kinds: &[ResourceKind]) -> String {
    let texts: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// Does what a step says. Every action may be repeated: what is done already does no harm.
pub(super) async fn perform(step: &Step, context: &Context<'_>, halted: &AtomicBool) -> Result<(), StepError> {
    let endpoints = &context.world.endpoints;
    match &step.action {
        Action::Change(changes) => {
            for change in changes {
                make(step, change, context).await?;
            }
        }
        Action::RunContainer(spec) => {
            make(step, &Change::CreateContainer(spec.clone()), context).await?;
            make(step, &Change::StartContainer(spec.name.clone()), context).await?;
        }
        Action::StartContainer(name) => make(step, &Change::StartContainer(name.clone()), context).await?,
        Action::StartUnit { name, restart } => {
            let unit = vec![name.clone()];
            let (start, restart) = if *restart { (Vec::new(), unit) } else { (unit, Vec::new()) };
            make(step, &Change::Units { enable: Vec::new(), start, restart }, context).await?;
        }
        Action::VerifyRuntime => verify_runtime(step, context).await?,
        Action::Apply(objects) => endpoints.apply(context.world.epoch, objects).await?,
        Action::SetNodeMetadata(metadata) => endpoints.set_node_metadata(context.world.epoch, metadata).await?,
        Action::Note(entries) => objects::note(entries, context).await?,
        Action::Delete(deletions) => objects::delete(&step.id, deletions, context, halted).await?,
        Action::RequireKinds(kinds) => objects::require_kinds(kinds, context).await?,
        Action::Cordon(node) => endpoints.cordon(context.world.epoch, node).await?,
        Action::Drain { node, options } => drain::drain(&step.id, node, options, context, halted).await?,
        Action::Uncordon(node) => endpoints.uncordon(context.world.epoch, node).await?,
        Action::SaveSnapshot(spec) => snapshots::save(step, spec, context).await?,
        Action::CopySnapshot { from, record } => snapshots::bring(step, from, record, context).await?,
        Action::BeginRestore { snapshot, stamp } => context.log.restore_begins(snapshot, stamp)?,
        Action::Wait(condition) => waiter::wait(&step.id, condition, context, halted).await?,
        Action::Prove { addon, key, before } => {
            let condition = Condition::WorkloadReady { addon: addon.clone(), key: key.clone() };
            AddonProof { step: &step.id, key, condition, before, context, halted }.run().await?;
        }
    }
    Ok(())
}

async fn make(step: &Step, change: &Change, context: &Context<'_>) -> Result<(), StepError> {
    let total = match change {
        Change::Send { payload, .. } | Change::LoadImage { payload, .. } => payload.size,
        Change::PullImage(pull) => pull.size,
        _ => 0,
    };
    let progress = |sent: u64| {
        context.events.emit(Event::StepProgress { step: step.id.clone(), sent, total });
    };
    host(step, context)?.change(context.world.epoch, change, &progress).await?;
    Ok(())
}

fn host<'a>(step: &Step, context: &Context<'a>) -> Result<&'a SharedHost, StepError> {
    let name = step.host.as_ref().expect("only steps of a host change a host");
    context.world.hosts.get(name).ok_or_else(|| StepError::NoHost(name.clone()))
}

/// Compares what the installation has brought with what kubelet's configuration was rendered for.
async fn verify_runtime(step: &Step, context: &Context<'_>) -> Result<(), StepError> {
    let host = host(step, context)?;
    let differs = |difference: String| StepError::RuntimeDiffers { host: host.node().clone(), difference };
    let facts = host.look(&context.world.look).await?.facts;
    let Some(planned) = context.world.facts.get(host.node()) else { return Ok(()) };
    let wanted = predicted_cgroup_driver(planned);
    match facts.docker {
        None => Err(differs("Docker is not there".into())),
        Some(docker) if !docker.running => Err(differs(format!("Docker {} does not answer", docker.version))),
        Some(docker) if docker.cgroup_driver != wanted => {
            Err(differs(format!("Docker uses cgroup driver {:?} instead of {wanted:?}", docker.cgroup_driver)))
        }
        Some(_) => Ok(()),
    }
}

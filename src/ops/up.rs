//! `up`: survey, ask, act, look again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};

use crate::base::{Epoch, NodeName, RunId};
use crate::desired::DesiredImage;
use crate::endpoints::{Endpoints, ReadEndpoints};
use crate::engine::{self, Cancellation, Context, Outcome, World};
use crate::event::Event;
use crate::host::LookRequest;
use crate::journal::{self, GenerationNumber, Origin, PinnedImage, RunRecord, StateFolder};
use crate::plan::Plan;
use crate::report::Tee;
use crate::state::{HostSnapshot, ImageStore};

use super::etcd_snapshot::{discard_unless_begun, refuse_unfinished_restore};
use super::journal_log::JournalLog;
use super::survey::{Survey, SurveyInput, endpoints, facts, survey};
use super::{OperationError, keys};

/// Asks the operator whether the plan shall be carried out.
pub trait Consent: Send + Sync {
    /// Shows the plan and waits for the answer.
    fn ask<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, bool>;
}

/// How `up` ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpOutcome {
    /// Everything was as wanted; nothing was changed.
    NothingToDo,
    /// The cluster is as wanted now.
    Applied {
        /// Number of steps.
        steps: usize,
    },
}

/// What `up` needs besides what a survey needs.
pub struct UpInput<'a> {
    /// The survey's input; its state is the folder's.
    pub survey: SurveyInput<'a>,
    /// The run.
    pub run: RunId,
    /// The operator's answer.
    pub consent: &'a dyn Consent,
    /// The operator's wish to stop.
    pub cancellation: &'a Cancellation,
    /// How long a step waits for what it has started.
    pub patience: Duration,
}

/// Longer than the slowest start seen on two busy cores, times ten.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Brings the cluster to what `cluster.yml` says. `folder` is locked for the whole run.
pub async fn up(folder: &mut StateFolder, input: &UpInput<'_>) -> Result<UpOutcome, OperationError> {
    refuse_unfinished_restore(folder.state(), input.survey.restoration)?;
    let survey = survey(&input.survey).await?;
    for text in survey.notices() {
        input.survey.events.emit(Event::Notice { text });
    }
    if !survey.plan.refusals.is_empty() {
        return Err(OperationError::Refused(Box::new(survey.plan)));
    }
    let finished = folder.state().aimed().is_none()
        && folder.state().current().is_some_and(|generation| {
            generation.config == input.survey.loaded.text
                && generation.lock.pins.addons == survey.resolved.record.addons
        });
    if survey.plan.is_empty() && finished && input.survey.restoration.is_none() {
        whole(&survey)?;
        return Ok(UpOutcome::NothingToDo);
    }
    if survey.plan.changes() > 0 && !input.consent.ask(&survey.plan).await {
        return Err(OperationError::Declined);
    }
    let generation = record(folder, input, &survey)?;
    let steps = survey.plan.steps.len();
    let endpoints = match &survey.endpoints {
        Some(endpoints) => Arc::clone(endpoints),
        None => endpoints(&input.survey, &survey.hosts, &survey.completion.material)?,
    };
    let log = folder.begin_run()?;
    let result = carry_out(folder, input, &survey, endpoints, &log, generation).await;
    let error = result.as_ref().err().map(ToString::to_string);
    // What was done stays done without this line; whoever reads the log then sees a run without an end.
    let _ = log.append(&[RunRecord::Ended { error }]);
    result.map(|()| UpOutcome::Applied { steps })
}

/// From the first step to the completed generation.
async fn carry_out(
    folder: &mut StateFolder,
    input: &UpInput<'_>,
    survey: &Survey,
    endpoints: Arc<dyn Endpoints>,
    log: &journal::RunLog,
    generation: GenerationNumber,
) -> Result<(), OperationError> {
    let outcome = execute(folder, input, survey, Arc::clone(&endpoints), log).await;
    if let Some(restoration) = input.survey.restoration.filter(|_| !outcome.is_complete()) {
        discard_unless_begun(folder.state(), &survey.hosts, restoration).await;
    }
    remember_members(folder, survey, endpoints.as_ref()).await?;
    conclude(&outcome)?;
    folder.store_restore(None)?;
    whole(survey)?;
    pin_pod_images(folder, survey, generation).await?;
    Ok(folder.complete_generation(generation)?)
}

/// Everything that hosts will depend on is durable before the first of them is touched.
fn record(folder: &mut StateFolder, input: &UpInput<'_>, survey: &Survey) -> Result<GenerationNumber, OperationError> {
    if !survey.completion.made.is_empty() {
        folder.store_material(keys::stored(&survey.completion.material))?;
    }
    if folder.state().etcd() != Some(&survey.etcd) {
        folder.store_etcd(survey.etcd.clone())?;
    }
    let (text, pins) = (&input.survey.loaded.text, survey.resolved.record.clone());
    Ok(match input.survey.back_to {
        Some(target) => folder.begin_return(target.number, text, pins)?,
        None => folder.begin_generation(text, pins)?,
    })
}

async fn execute(
    folder: &mut StateFolder,
    input: &UpInput<'_>,
    survey: &Survey,
    endpoints: Arc<dyn Endpoints>,
    log: &journal::RunLog,
) -> Outcome {
    let events = Tee::new(input.survey.events, log.clone());
    let back_to = input.survey.back_to.map(|target| target.number);
    let log = JournalLog::new(folder, log.clone(), back_to);
    let world = World {
        epoch: Epoch::FIRST,
        hosts: survey.hosts.clone(),
        endpoints,
        facts: facts(&survey.observed),
        look: survey.request.clone(),
        patience: input.patience,
    };
    let context = Context { world: &world, log: &log, events: &events, cancellation: input.cancellation };
    engine::run(&survey.plan, &input.run, &context).await
}

fn conclude(outcome: &Outcome) -> Result<(), OperationError> {
    if !outcome.failed.is_empty() {
        return Err(OperationError::Incomplete { failed: outcome.failed.clone() });
    }
    if outcome.is_complete() { Ok(()) } else { Err(OperationError::Cancelled) }
}

/// A cluster whose pods lack images is not what the file asks for.
fn whole(survey: &Survey) -> Result<(), OperationError> {
    let missing = &survey.plan.missing_images;
    if missing.is_empty() { Ok(()) } else { Err(OperationError::MissingImages(missing.clone())) }
}

/// Members that were seen in a whole cluster never start with empty data again.
async fn remember_members(
    folder: &mut StateFolder,
    survey: &Survey,
    endpoints: &dyn ReadEndpoints,
) -> Result<(), OperationError> {
    if survey.etcd.first_start_complete() {
        return Ok(());
    }
    let Ok(members) = endpoints.etcd_members().await else { return Ok(()) };
    let is_started = |name: &&NodeName| members.get(name.as_str()).is_some_and(|member| member.started);
    let seen: BTreeSet<NodeName> = survey.etcd.first_members.iter().filter(is_started).cloned().collect();
    if seen.len() == survey.etcd.first_members.len() {
        let mut record = survey.etcd.clone();
        record.seen_complete = seen;
        folder.store_etcd(record)?;
    }
    Ok(())
}

/// containerd tells an image's id only once it is there: it is locked after the first run, for every later one.
async fn pin_pod_images(
    folder: &mut StateFolder,
    survey: &Survey,
    generation: GenerationNumber,
) -> Result<(), OperationError> {
    let mut record = survey.resolved.record.clone();
    // Nothing but the images is of interest now; all else was seen before the run or proven by it.
    let request = &LookRequest::default();
    let looks = survey.hosts.iter().map(|(name, host)| async move { (name, host.look(request).await) });
    for (name, snapshot) in join_all(looks).await {
        let Ok(snapshot) = snapshot else { continue };
        for image in survey.desired.hosts.get(name).into_iter().flat_map(|host| &host.images) {
            pin_if_new(&mut record, name, image, &snapshot);
        }
    }
    if record != survey.resolved.record {
        folder.record_pins(generation, record)?;
    }
    Ok(())
}

fn pin_if_new(record: &mut journal::Pins, name: &NodeName, image: &DesiredImage, snapshot: &HostSnapshot) {
    let known = |pin: &PinnedImage| pin.store == image.store && pin.reference == image.reference;
    let Some(id) = snapshot.containerd_images.get(&image.reference) else { return };
    if image.store == ImageStore::Containerd && !record.images.iter().any(known) {
        let origin = Origin::Host(name.clone());
        let (store, reference, id) = (image.store, image.reference.clone(), id.clone());
        record.images.push(PinnedImage { store, reference, id, manifest: None, origin });
    }
}

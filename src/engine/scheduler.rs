//! The loop that starts what may start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::base::{NodeName, RunId, StepId};
use crate::event::Event;
use crate::host::HostError;
use crate::plan::{Plan, Step};

use super::actions::{self, StepError};
use super::{Context, aftercare};

/// Lines of a component's log that a failure shows.
const LOG_LINES: usize = 20;

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that were done.
    pub done: usize,
    /// Steps that failed, with their errors, in the order of failing.
    pub failed: Vec<(StepId, String)>,
    /// Steps that were not started, or were given up while they only waited.
    pub skipped: usize,
}

impl Outcome {
    /// Whether every step of the plan was done.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.skipped == 0
    }
}

/// Runs all steps. Never returns early: after a failure or a first interrupt nothing new starts, and what runs is
/// awaited. A failure that is contained keeps only those from starting that come after it. Nodes that a failure or
/// an interrupt has left cordoned and sound take pods again.
pub async fn run(plan: &Plan, run: &RunId, context: &Context<'_>) -> Outcome {
    let started = Instant::now();
    context.events.emit(Event::RunStarted { run: run.clone(), steps: plan.steps.len() });
    let mut state = Schedule::new(plan);
    // Read by whoever only waits: there is nothing to wait for once something has failed.
    let halted = AtomicBool::new(false);
    let mut running = FuturesUnordered::new();
    loop {
        while let Some(step) = state.next(context) {
            running.push(perform(step, context, &halted));
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            Some((id, result)) = running.next() => {
                state.finish(&id, result);
                halted.store(state.halted, Ordering::Relaxed);
            }
            () = context.cancellation.changed() => {
                if context.cancellation.aborts() {
                    break;
                }
            }
        }
    }
    let given_up = running.len();
    drop(running);
    if (state.halted || context.cancellation.stops()) && !context.cancellation.aborts() {
        let nodes = aftercare::still_cordoned(plan, &state.done, &state.unsound);
        tokio::select! {
            () = aftercare::uncordon(&nodes, context) => {}
            () = context.cancellation.aborted() => {}
        }
    }
    let outcome = state.outcome(given_up);
    context.events.emit(Event::RunFinished {
        run: run.clone(),
        done: outcome.done,
        failed: outcome.failed.len(),
        skipped: outcome.skipped,
        milliseconds: milliseconds(started.elapsed()),
    });
    outcome
}

/// What is waiting, running and done.
struct Schedule<'a> {
    waiting: Vec<&'a Step>,
    done: BTreeSet<&'a StepId>,
    steps: BTreeMap<&'a StepId, &'a Step>,
    failed: Vec<(StepId, String)>,
    abandoned: usize,
    /// Hosts on which something has failed that was not put back.
    unsound: BTreeSet<&'a NodeName>,
    /// Whether something has failed without which the rest makes no sense.
    halted: bool,
}

impl<'a> Schedule<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            waiting: plan.steps.iter().collect(),
            done: BTreeSet::new(),
            steps: plan.steps.iter().map(|step| (&step.id, step)).collect(),
            failed: Vec::new(),
            abandoned: 0,
            unsound: BTreeSet::new(),
            halted: false,
        }
    }

    fn next(&mut self, context: &Context<'_>) -> Option<&'a Step> {
        if self.halted || context.cancellation.stops() {
            return None;
        }
        let ready = |step: &&Step| step.after.iter().all(|id| self.done.contains(id));
        let position = self.waiting.iter().position(ready)?;
        Some(self.waiting.remove(position))
    }

    fn finish(&mut self, id: &StepId, result: Result<(), StepError>) {
        match result {
            Ok(()) => {
                if let Some(step) = self.steps.get(id) {
                    self.done.insert(&step.id);
                }
            }
            // What the operator has stopped has not failed.
            Err(error) if error.is_given_up() => self.abandoned += 1,
            Err(error) => {
                let step = self.steps.get(id);
                self.halted |= !step.is_some_and(|step| step.contained);
                if !aftercare::leaves_host_sound(&error) {
                    self.unsound.extend(step.and_then(|step| step.host.as_ref()));
                }
                self.failed.push((id.clone(), error.to_string()));
            }
        }
    }

    fn outcome(self, given_up: usize) -> Outcome {
        Outcome { done: self.done.len(), failed: self.failed, skipped: self.waiting.len() + self.abandoned + given_up }
    }
}

/// One step with its record: intent before the act, outcome after it.
async fn perform(step: &Step, context: &Context<'_>, halted: &AtomicBool) -> (StepId, Result<(), StepError>) {
    let started = Instant::now();
    let result = match context.log.intent(&step.id) {
        Err(error) => Err(error),
        Ok(()) => {
            let event =
                Event::StepStarted { step: step.id.clone(), host: step.host.clone(), title: step.title.clone() };
            context.events.emit(event);
            actions::perform(step, context, halted).await
        }
    };
    if result.as_ref().is_err_and(StepError::is_given_up) {
        // Neither done nor failed: it has a beginning alone, as if the process had ended.
        return (step.id.clone(), result);
    }
    let result = match context.log.outcome(&step.id, result.as_ref().err()) {
        Err(error) if result.is_ok() => Err(error),
        _ => result,
    };
    match &result {
        Ok(()) => {
            let event = Event::StepDone { step: step.id.clone(), milliseconds: milliseconds(started.elapsed()) };
            context.events.emit(event);
        }
        Err(error) => report(step, error, context).await,
    }
    (step.id.clone(), result)
}

/// A failure is told with the last lines of whoever caused it.
async fn report(step: &Step, error: &StepError, context: &Context<'_>) {
    let log = match (error, &step.log, &step.host) {
        (StepError::NotReady(not_ready), ..) if !not_ready.log().is_empty() => not_ready.log(),
        (StepError::PutBack(put_back), ..) => put_back.log(),
        // What runs under that name now is the old one again.
        (StepError::Host(HostError::Reverted { log, .. } | HostError::NeitherWorks { log, .. }), ..) => log.clone(),
        (_, Some(source), Some(host)) => match context.world.hosts.get(host) {
            Some(host) => host.log_tail(source, LOG_LINES).await.unwrap_or_default(),
            None => Vec::new(),
        },
        _ => Vec::new(),
    };
    context.events.emit(Event::StepFailed {
        step: step.id.clone(),
        host: step.host.clone(),
        error: error.to_string(),
        log,
    });
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

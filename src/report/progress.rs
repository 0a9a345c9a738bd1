//! Where a run stands: the fold over its events.

use std::time::Duration;

use super::moment::Moment;
use crate::base::{NodeName, StepId};
use crate::event::Event;

/// What all events so far add up to.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The phase before the run, and its start.
    pub phase: Option<(String, Duration)>,
    /// Steps of the plan, and the start of the run; none before it.
    pub run: Option<(usize, Duration)>,
    /// Steps at work, oldest first.
    pub running: Vec<RunningStep>,
    /// Steps done.
    pub done: usize,
    /// Steps failed, in order.
    pub failures: Vec<Failure>,
    /// How the engine ended; none while it runs.
    pub end: Option<End>,
}

/// A step at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningStep {
    /// Its name.
    pub id: StepId,
    /// Host, or none for the whole cluster.
    pub host: Option<NodeName>,
    /// What it does.
    pub title: String,
    /// When it started.
    pub started: Duration,
    /// What it waits for, if it said so.
    pub waits: Option<String>,
    /// Bytes sent and all bytes, of a step that sends.
    pub bytes: Option<(u64, u64)>,
}

impl RunningStep {
    /// The host's name, or `cluster`.
    pub fn place(&self) -> &str {
        place(self.host.as_ref())
    }
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Host, or none for the whole cluster.
    pub host: Option<NodeName>,
    /// What it was to do.
    pub title: String,
    /// The error with its causes.
    pub error: String,
    /// Last lines of the component's log, oldest first.
    pub log: Vec<String>,
}

impl Failure {
    /// The host's name, or `cluster`.
    pub fn place(&self) -> &str {
        place(self.host.as_ref())
    }
}

/// The engine's own count at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Steps done.
    pub done: usize,
    /// Steps failed.
    pub failed: usize,
    /// Steps not started.
    pub skipped: usize,
    /// From the first step.
    pub took: Duration,
}

impl Progress {
    /// Takes an event in. Gives the step that it is about, as it is after it, or as it was when the event ends it.
    pub fn apply(&mut self, event: &Event, now: Moment) -> Option<RunningStep> {
        match event {
            Event::Phase { text } => self.phase = Some((text.clone(), now.elapsed)),
            Event::RunStarted { steps, .. } => self.run = Some((*steps, now.elapsed)),
            Event::StepStarted { step, host, title } => return Some(self.start(step, host.as_ref(), title, now)),
            Event::StepWaits { step, reason } => {
                return self.change(step, |running| running.waits = Some(reason.clone()));
            }
            Event::StepProgress { step, sent, total } => {
                return self.change(step, |running| running.bytes = Some((*sent, *total)));
            }
            Event::StepDone { step, .. } => {
                self.done += 1;
                return self.stop(step);
            }
            Event::StepFailed { step, host, error, log } => {
                return Some(self.fail(step, host.as_ref(), error, log, now));
            }
            Event::RunFinished { done, failed, skipped, milliseconds, .. } => {
                let took = Duration::from_millis(*milliseconds);
                self.end = Some(End { done: *done, failed: *failed, skipped: *skipped, took });
            }
            Event::HostKeyRecorded { .. } | Event::Notice { .. } | Event::RoundTrips { .. } => {}
        }
        None
    }

    fn start(&mut self, id: &StepId, host: Option<&NodeName>, title: &str, now: Moment) -> RunningStep {
        let (id, host, title) = (id.clone(), host.cloned(), title.to_owned());
        let step = RunningStep { id, host, title, started: now.elapsed, waits: None, bytes: None };
        self.running.push(step.clone());
        step
    }

    fn change(&mut self, id: &StepId, change: impl FnOnce(&mut RunningStep)) -> Option<RunningStep> {
        let running = self.running.iter_mut().find(|running| running.id == *id)?;
        change(running);
        Some(running.clone())
    }

    fn stop(&mut self, id: &StepId) -> Option<RunningStep> {
        let index = self.running.iter().position(|running| running.id == *id)?;
        Some(self.running.remove(index))
    }

    fn fail(&mut self, id: &StepId, host: Option<&NodeName>, error: &str, log: &[String], now: Moment) -> RunningStep {
        // A step may fail before it was seen to start; its name is then all that is known of it.
        let step = self.stop(id).unwrap_or_else(|| RunningStep {
            id: id.clone(),
            host: host.cloned(),
            title: id.to_string(),
            started: now.elapsed,
            waits: None,
            bytes: None,
        });
        let (host, title) = (step.host.clone(), step.title.clone());
        self.failures.push(Failure { host, title, error: error.to_owned(), log: log.to_vec() });
        step
    }
}

fn place(host: Option<&NodeName>) -> &str {
    host.map_or("cluster", NodeName::as_str)
}

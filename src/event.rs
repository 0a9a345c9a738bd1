//! The one language in which work reports: display, plain text, JSON and the run's history are all made from it.

use serde::{Deserialize, Serialize};

use crate::base::{NodeName, RunId, StepId};

/// Something that happened. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase of looking or of a check began, such as `connecting to 3 hosts`.
    Phase {
        /// What is being done, beginning with a verb in its -ing form.
        text: String,
    },
    /// A host's SSH key was seen for the first time and recorded.
    HostKeyRecorded {
        /// Host.
        host: NodeName,
        /// SHA-256 fingerprint.
        fingerprint: String,
    },
    /// A host has been looked at, and how often somebody waited for its answer since the login. For figures.
    RoundTrips {
        /// Host.
        host: NodeName,
        /// All round trips.
        total: usize,
        /// The longest chain in which each waited for the one before.
        longest_chain: usize,
    },
    /// Something that the operator should know, without effect on the run.
    Notice {
        /// Full sentence.
        text: String,
    },
    /// The engine starts to work on a plan.
    RunStarted {
        /// Run.
        run: RunId,
        /// Number of steps.
        steps: usize,
    },
    /// A step started.
    StepStarted {
        /// Step.
        step: StepId,
        /// Host, or none for a step of the whole cluster.
        host: Option<NodeName>,
        /// What it does, beginning with a verb.
        title: String,
    },
    /// A step waits, and for what.
    StepWaits {
        /// Step.
        step: StepId,
        /// The condition and its last reason.
        reason: String,
    },
    /// A step sent bytes.
    StepProgress {
        /// Step.
        step: StepId,
        /// Bytes so far.
        sent: u64,
        /// All bytes.
        total: u64,
    },
    /// A step is done.
    StepDone {
        /// Step.
        step: StepId,
        /// Milliseconds it took.
        milliseconds: u64,
    },
    /// A step failed.
    StepFailed {
        /// Step.
        step: StepId,
        /// Host, or none for a step of the whole cluster.
        host: Option<NodeName>,
        /// The error with its causes.
        error: String,
        /// The last lines of the component's log, oldest first.
        log: Vec<String>,
    },
    /// The engine ended.
    RunFinished {
        /// Run.
        run: RunId,
        /// Steps that were done.
        done: usize,
        /// Steps that failed.
        failed: usize,
        /// Steps that were not started.
        skipped: usize,
        /// Milliseconds from the first step.
        milliseconds: u64,
    },
}

/// Where events go. Cheap to call from anywhere; never blocks.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

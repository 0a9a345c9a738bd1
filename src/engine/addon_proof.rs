//! The proof of an add-on that comes over one that was ready, and the way back where it does not get ready.

use std::fmt;
use std::sync::atomic::AtomicBool;

use crate::base::StepId;
use crate::event::Event;
use crate::plan::{Condition, was_seen};
use crate::state::{Object, ObjectKey};

use super::actions::StepError;
use super::{Context, waiter};

/// An add-on that did not get ready, and what became of the one before.
#[derive(Debug)]
pub struct PutBack {
    /// Why the new one was not taken.
    failure: StepError,
    /// How far the old one came.
    old: Old,
}

/// What became of the one before.
#[derive(Debug)]
enum Old {
    /// It was applied again and is ready.
    Ready,
    /// It was applied again, and the run has ended before it was ready.
    Unawaited,
    /// It was applied again, and did not get ready.
    NotReady(StepError),
    /// The API has refused it, or parts of it.
    Refused(StepError),
}

impl std::error::Error for PutBack {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.failure)
    }
}

/// The first line says it all in short, as that of what failed does.
impl fmt::Display for PutBack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |error: &StepError| error.to_string().lines().next().unwrap_or_default().to_owned();
        let old = match &self.old {
            Old::Ready => "the old one is back, since".into(),
            Old::Unawaited => "the old one was applied again and not awaited, since".into(),
            Old::NotReady(error) => {
                format!("the old one was applied again and is not ready either ({});", short(error))
            }
            Old::Refused(error) => {
                format!("the old one could not be applied again, or not all of it ({});", short(error))
            }
        };
        write!(formatter, "{old} the new one failed: {}", self.failure)
    }
}

impl PutBack {
    /// Last lines of the new one's containers that ended, each with its pod's name.
    pub fn log(&self) -> Vec<String> {
        match &self.failure {
            StepError::NotReady(not_ready) => not_ready.log(),
            _ => Vec::new(),
        }
    }
}

/// The wait for a workload that was applied over one that was ready.
pub(super) struct AddonProof<'a> {
    pub step: &'a StepId,
    pub key: &'a ObjectKey,
    pub condition: Condition,
    /// What ran before, stage after stage.
    pub before: &'a [Vec<Object>],
    pub context: &'a Context<'a>,
    pub halted: &'a AtomicBool,
}

impl AddonProof<'_> {
    /// Returns once the workload is ready. Where that is waited for in vain, what was there before comes back, and is waited
    /// for too. Nothing is put back that was given up, or that nobody has tried: it has not shown itself to be bad.
    pub async fn run(&self) -> Result<(), StepError> {
        let failure = match self.wait().await {
            Err(error) if !error.is_given_up() && self.was_tried().await => error,
            result => return result,
        };
        let reason = "the new one failed, and the old one is put back".into();
        self.context.events.emit(Event::StepWaits { step: self.step.clone(), reason });
        Err(Box::new(PutBack { failure, old: self.put_back().await }).into())
    }

    async fn wait(&self) -> Result<(), StepError> {
        waiter::wait(self.step, &self.condition, self.context, self.halted).await
    }

    /// Whether the API answers, and somebody has acted on what was applied.
    async fn was_tried(&self) -> bool {
        let live = self.context.world.endpoints.read(std::slice::from_ref(self.key)).await;
        live.is_ok_and(|live| live.get(self.key).is_some_and(was_seen))
    }

    async fn put_back(&self) -> Old {
        let world = self.context.world;
        let mut refused = None;
        for stage in self.before.iter().filter(|stage| !stage.is_empty()) {
            // The others all the same: a workload may run without what was refused.
            let applied = world.endpoints.apply(world.epoch, stage).await;
            refused = refused.or(applied.err());
        }
        if let Some(error) = refused {
            return Old::Refused(error.into());
        }
        match self.wait().await {
            Ok(()) => Old::Ready,
            Err(error) if error.is_given_up() => Old::Unawaited,
            Err(error) => Old::NotReady(error),
        }
    }
}

//! Runs a plan: what has no edge between it runs at once, and only this module knows what is running.

mod actions;
mod addon_proof;
mod aftercare;
mod drain;
mod etcd_data;
mod explain;
mod objects;
mod pod_watch;
mod scheduler;
mod snapshots;
mod waiter;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::event::EventSink;

pub use actions::StepError;
pub use addon_proof::PutBack;
pub use drain::NotEmpty;
pub use explain::NotReady;
pub use scheduler::{Outcome, run};
pub use snapshots::SnapshotFailure;
pub use world::{RunLog, World};

/// How a run is asked to end early. Cheap to clone; once asked, it stays asked.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<AtomicU8>, Arc<tokio::sync::Notify>);

impl Cancellation {
    /// The first call lets running steps end and starts no new ones; the second gives up on those too.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.notify_waiters();
    }

    /// Whether no new step may start.
    pub fn stops(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 1
    }

    /// Whether running steps are given up.
    pub fn aborts(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 2
    }

    /// Returns once running steps are given up.
    pub async fn aborted(&self) {
        loop {
            let changed = self.1.notified();
            if self.aborts() {
                return;
            }
            changed.await;
        }
    }

    /// Returns at the next request.
    pub async fn changed(&self) {
        self.1.notified().await;
    }
}

/// Everything that a run needs besides its plan.
pub struct Context<'a> {
    /// Hosts and what is reached through them.
    pub world: &'a World,
    /// Where intents and outcomes are kept.
    pub log: &'a dyn RunLog,
    /// Where events go.
    pub events: &'a dyn EventSink,
    /// The operator's wish to stop.
    pub cancellation: &'a Cancellation,
}

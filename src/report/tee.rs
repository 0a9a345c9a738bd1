//! The run log as a second reader of events.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::event::{Event, EventSink};
use crate::journal::{RunLog, RunRecord};

/// Shows events and appends them to the run's log.
pub struct Tee<'a> {
    shown: &'a dyn EventSink,
    log: RunLog,
    log_failed: AtomicBool,
}

impl<'a> Tee<'a> {
    /// Puts a log beside what shows events.
    pub fn new(shown: &'a dyn EventSink, log: RunLog) -> Self {
        Self { shown, log, log_failed: AtomicBool::new(false) }
    }
}

impl EventSink for Tee<'_> {
    fn emit(&self, event: Event) {
        // Bytes sent are for the eye; they would be most of the log.
        let logged = !matches!(event, Event::StepProgress { .. }) && !self.log_failed.load(Ordering::Relaxed);
        // An intent that cannot be written stops the run; what was merely shown does not.
        if logged && self.log.append(&[RunRecord::Shown { event: event.clone() }]).is_err() {
            self.log_failed.store(true, Ordering::Relaxed);
        }
        self.shown.emit(event);
    }
}

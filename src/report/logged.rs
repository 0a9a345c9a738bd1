//! The run log as one more reader of events.

use super::renderer::{Renderer, Shown};
use crate::event::Event;
use crate::journal::{RunLog, RunRecord};

/// Appends what the operator is shown to the run's log.
pub(super) struct Logged {
    log: Option<RunLog>,
}

impl Logged {
    pub(super) fn new(log: RunLog) -> Self {
        Self { log: Some(log) }
    }
}

impl Renderer for Logged {
    fn event(&mut self, Shown { event, .. }: Shown<'_>) {
        // Bytes sent are for the eye; they would be most of the log.
        if matches!(event, Event::StepProgress { .. }) {
            return;
        }
        let Some(log) = &self.log else { return };
        // An intent that cannot be written stops the run; what was merely shown does not.
        if log.append(&[RunRecord::Shown { event: event.clone() }]).is_err() {
            self.log = None;
        }
    }
}

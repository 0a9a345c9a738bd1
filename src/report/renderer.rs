//! What shows events.

use std::time::Duration;

use super::moment::Moment;
use super::progress::{Progress, RunningStep};
use crate::event::Event;

/// An event with what is known around it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// What happened.
    pub event: &'a Event,
    /// The step that it is about, as it was when it ended.
    pub step: Option<&'a RunningStep>,
    /// When.
    pub now: Moment,
}

/// One way to show events. Called by one thread only; what it cannot write it drops, for the work must not stop over it.
pub trait Renderer: Send {
    /// Shows an event.
    fn event(&mut self, shown: Shown<'_>);

    /// How often [`Self::tick`] wants to be called.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Shows what is going on now.
    fn tick(&mut self, _progress: &Progress, _now: Moment) {}

    /// Leaves nothing on the terminal that moves, until the next tick.
    fn settle(&mut self) {}
}

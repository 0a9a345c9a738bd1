//! What is said at the end.

use std::fmt::Write as _;

use super::progress::{End, Failure, Progress};
use super::text::{one_line, seconds};

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The engine's counts; none where it did not get to its end.
    pub end: Option<End>,
    /// Steps seen done.
    pub done: usize,
    /// Steps that failed, in order.
    pub failures: Vec<Failure>,
    /// Whether the engine started at all.
    pub started: bool,
}

impl Report {
    pub(super) fn of(progress: Progress) -> Self {
        let Progress { end, done, failures, run, .. } = progress;
        Self { end, done, failures, started: run.is_some() }
    }

    /// Whether every step of the plan was done.
    pub fn succeeded(&self) -> bool {
        self.end.is_some_and(|end| end.failed == 0 && end.skipped == 0)
    }

    /// The end in words: counts, failed steps, and the next command. Empty where no engine ran.
    pub fn text(&self) -> String {
        let mut text = self.counts();
        for failure in &self.failures {
            let (place, title) = (failure.place(), one_line(&failure.title));
            let error = failure.error.lines().next().unwrap_or_default();
            let _ = writeln!(text, "  {place}: {title}: {}", one_line(error));
        }
        if self.started && !self.succeeded() {
            text.push_str(
                "What is done stays done. Run `provision plan` to see what is left, and `provision up` to go on.\n",
            );
        }
        text
    }

    fn counts(&self) -> String {
        match self.end {
            None if !self.started => String::new(),
            None => format!("The run stopped early: {} done.\n", steps(self.done)),
            Some(end) if self.succeeded() => format!("{} done in {}.\n", steps(end.done), seconds(end.took)),
            Some(End { done, failed, skipped, took }) => {
                let took = seconds(took);
                format!("{} done, {failed} failed, {skipped} not started, after {took}.\n", steps(done))
            }
        }
    }
}

fn steps(count: usize) -> String {
    if count == 1 { "1 step".into() } else { format!("{count} steps") }
}

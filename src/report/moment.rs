//! When something was shown.

use std::time::Duration;

use jiff::Timestamp;

/// A point in time, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, for people and for comparing with logs.
    pub wall: Timestamp,
    /// Since the reporter started, by a clock that never jumps: for durations.
    pub elapsed: Duration,
}

impl Moment {
    /// `12:03:04Z`: UTC, as the hosts' logs have it.
    pub(super) fn time_of_day(self) -> String {
        self.wall.strftime("%H:%M:%SZ").to_string()
    }

    /// The time since an earlier moment's `elapsed`.
    pub(super) fn since(self, earlier: Duration) -> Duration {
        self.elapsed.saturating_sub(earlier)
    }
}

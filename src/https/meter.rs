//! Counting of round trips, for whoever counts below.

use std::fmt::Debug;

/// Counts requests that wait for their answers. Requests that are under way at the same time do not wait for each other.
pub trait Meter: Debug + Send + Sync {
    /// Something is asked now; gives its place in the chain of requests that wait for each other.
    fn asked(&self) -> usize;

    /// What was asked at this place has its answer.
    fn answered(&self, place: usize);
}

//! Counting of round trips, for whoever counts below.

use std::fmt::Debug;

/// Counts requests that wait for their answers. Who sends requests says which of them waits for which: from the bytes alone
/// nobody can tell.
pub trait Meter: Debug + Send + Sync {
    /// The place in the chain of waiting requests at which the stream was open.
    fn opened(&self) -> usize;

    /// What was asked at a place has its answer; gives the place of what is asked because of it.
    fn answered(&self, place: usize) -> usize;
}

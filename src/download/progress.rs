//! What a download tells while it runs.

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Bytes came.
    Received {
        /// Bytes that are there, those of an earlier run included.
        bytes: u64,
        /// All bytes, if the site said how many.
        total: Option<u64>,
    },
    /// It waits, or begins again, and why.
    Waits {
        /// Beginning of a sentence or a whole one, without a full stop.
        reason: String,
    },
}

/// Whom it is told to.
pub(super) type Listener<'a> = &'a (dyn Fn(Progress) + Send + Sync);

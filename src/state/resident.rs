//! What lies in a namespace, or is of a custom kind.

use super::ObjectKey;

/// An object that goes with the namespace or the definition in which it lies, by its metadata only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// What names it.
    pub key: ObjectKey,
    /// What tells it from an earlier or later one of that name.
    pub uid: String,
    /// The uids of those with whom it is deleted.
    pub owners: Vec<String>,
    /// The service account whose token it is.
    pub account: Option<String>,
}

//! The wanted state of every host and of the API, as plain values.
//!
//! Pure and deterministic: equal input gives equal bytes on every machine.

mod error;
mod host;
mod objects;

pub use error::DesiredError;
pub use host::{Desired, DesiredHost, DesiredImage, MergeFormat, MergedFile, NodeMetadata, UnitSpec, UserSpec};
pub use objects::{object_keys, objects};

//! What an upgrade across minors takes away or turns round: APIs that are no longer served and who still asks for them, our
//! own defaults that change, and Pod Security admission. Pure: it is given what was read.

mod audit;
mod flips;
mod removed;
mod render;
mod report;
mod requested;
#[cfg(test)]
mod tests;

pub use audit::{AuditGroup, AuditNote};
pub use flips::Flip;
pub use removed::{RemovedApi, removed_between};
pub use report::{ApiFinding, Asked, ControlPlaneFacts, CrossingInput, CrossingReport, crossing_report};
pub use requested::{RequestedApi, Requests};

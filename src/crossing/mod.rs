//! What an upgrade across minors takes away or turns round: APIs that are no longer served and who still asks for them, our
//! own defaults that change, and Pod Security admission. Pure: it is given what was read.

mod audit;
mod flips;
mod removed;
mod render;
mod report;
mod requested;
mod stored;
#[cfg(test)]
mod tests;
mod way_back;

pub use audit::{AuditGroup, AuditNote};
pub use flips::Flip;
pub use removed::{RemovedApi, removed_between};
pub use report::{ApiFinding, Asked, ControlPlaneFacts, CrossingInput, CrossingReport, crossing_report};
pub use requested::{RequestedApi, Requests};
pub use way_back::{Loss, WayBack, WayBackInput, way_back};

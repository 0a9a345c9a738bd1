//! What was done before: `history`, `log` and `diff`. They read the state folder, take no lock and touch no host.

mod difference;
mod find;
mod history;
mod replay;
#[cfg(test)]
mod tests;

pub use difference::{Difference, PinChange, difference};
pub use find::{generation, run};
pub use history::{GenerationLine, GenerationState, History, RunLine, RunOutcome, history};
pub use replay::{replay_json, replay_plain};

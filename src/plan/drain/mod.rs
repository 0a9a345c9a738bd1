//! Emptying a node: what a drain will do, told before it begins, and the steps of it.

mod budget;
mod forecast;
mod obstacle;
mod pod;
mod selector;
mod steps;
#[cfg(test)]
mod tests;
mod warning;

pub use budget::BudgetState;
pub use forecast::{DrainForecast, DrainInput, Stay, forecast};
pub use obstacle::{Blocked, Obstacle};
pub use pod::{PodRef, has_ended, is_cordon_seen, owners, tolerates_cordon};
pub(super) use steps::leftover_cordons;
pub use steps::{drain_steps, uncordon_step};
pub use warning::DrainWarning;

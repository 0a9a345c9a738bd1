//! What the operator sees: one owner takes all events and shows them as a moving display, as plain lines or as JSON.
//!
//! Whoever works emits events and never waits for a terminal; nothing else writes while a run goes on.

mod console;
mod display;
mod json;
mod moment;
mod plain;
mod progress;
mod renderer;
mod summary;
mod tee;
#[cfg(test)]
mod tests;
mod text;

pub use console::Console;
pub use display::Display;
pub use json::Json;
pub use moment::Moment;
pub use plain::Plain;
pub use progress::{End, Failure, Progress, RunningStep};
pub use renderer::{Renderer, Shown};
pub use summary::Report;
pub use tee::Tee;

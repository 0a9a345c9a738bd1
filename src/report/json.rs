//! One JSON object for each event: for programs. `docs/output.md` describes it, and it is kept stable.

use std::io::Write;

use serde::Serialize;

use super::renderer::{Renderer, Shown};
use crate::event::Event;

/// JSON lines.
pub struct Json<W> {
    out: W,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write + Send> Json<W> {
    /// Writes to `out`, flushing after each line.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Renderer for Json<W> {
    fn event(&mut self, Shown { event, now, .. }: Shown<'_>) {
        let line = Line { time: now.wall.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(), event };
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            // Whole lines only: a reader of a pipe sees an object or nothing.
            let _ = self.out.write_all(&text).and_then(|()| self.out.flush());
        }
    }
}

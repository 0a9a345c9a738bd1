//! Who works with the state folder.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::RunId;

/// The run that holds the state folder, as written into its `LOCK` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// Its process id on this machine.
    pub process: u32,
}

impl Holder {
    /// This process, for a run.
    pub fn this_process(run: RunId) -> Self {
        Self { run, process: std::process::id() }
    }

    /// Reads what a holder wrote; a holder that has not written yet is unknown.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let unknown = Self { run: RunId("unknown".into()), process: 0 };
        serde_json::from_slice(bytes).unwrap_or(unknown)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            0 => formatter.write_str("another run"),
            process => write!(formatter, "run {} (process {process})", self.run),
        }
    }
}

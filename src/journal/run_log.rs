//! The history of one run, append-only.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::JournalError;
use super::disk::Disk;
use super::durable::{FORMAT, damaged, failed, parse_json};
use super::folder::tool_version;
use super::generation::GenerationNumber;
use crate::base::{RunId, StepId};
use crate::event::Event;

/// One line of a run's log. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum RunRecord {
    /// A step is about to change something. Durable before it begins.
    Intent {
        /// The step.
        step: StepId,
    },
    /// What became of an intent.
    Outcome {
        /// The step.
        step: StepId,
        /// The error, if it failed.
        error: Option<String>,
    },
    /// Something that the operator was shown.
    Shown {
        /// The event.
        event: Event,
    },
}

/// The first line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunHeader {
    /// Format of the log.
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// Version of the tool.
    pub tool: String,
    /// The generation that was current at its start.
    pub parent: Option<GenerationNumber>,
}

/// The log of the run that is going on. May be used from several threads.
#[derive(Clone)]
pub struct RunLog {
    file: Arc<Mutex<LogFile>>,
}

struct LogFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl RunLog {
    /// Starts a log with its header.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        folder: &Path,
        run: &RunId,
        parent: Option<GenerationNumber>,
    ) -> Result<Self, JournalError> {
        let path = folder.join(format!("{run}.jsonl"));
        let header = RunHeader { format: FORMAT, run: run.clone(), tool: tool_version(), parent };
        let line = line(&path, &header)?;
        disk.write_new(&path, &line).map_err(failed("writing", &path))?;
        disk.sync_file(&path).map_err(failed("syncing", &path))?;
        disk.sync_directory(folder).map_err(failed("syncing", folder))?;
        Ok(Self { file: Arc::new(Mutex::new(LogFile { disk, path })) })
    }

    /// Appends records with one write and, if there is an intent among them, one sync. A run whose log cannot be
    /// written must stop.
    pub fn append(&self, records: &[RunRecord]) -> Result<(), JournalError> {
        // A poisoned lock guards no broken invariant: each append is one call of the disk.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend(line(&file.path, record)?);
        }
        file.disk.append(&file.path, &bytes).map_err(failed("appending to", &file.path))?;
        if records.iter().any(|record| matches!(record, RunRecord::Intent { .. })) {
            file.disk.sync_file(&file.path).map_err(failed("syncing", &file.path))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RunLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RunLog")
    }
}

/// A log as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHistory {
    /// Its first line.
    pub header: RunHeader,
    /// All others, oldest first.
    pub records: Vec<RunRecord>,
}

impl RunHistory {
    /// Reads a log. A last line without its end is what a crash leaves and is left out; anything else that does not parse
    /// is damage. `None` for a log whose header never came to be.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, JournalError> {
        let bytes = disk.read(path).map_err(failed("reading", path))?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = bytes[..whole].split_inclusive(|&byte| byte == b'\n');
        let Some(first) = lines.next() else { return Ok(None) };
        let header = parse_json(path, first)?;
        let records: Result<_, _> = lines.map(serde_json::from_slice).collect();
        Ok(Some(Self { header, records: records.map_err(|error| damaged(path, &error))? }))
    }
}

fn line<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, JournalError> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| damaged(path, &error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

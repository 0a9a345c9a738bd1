//! The history of one run, append-only.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::JournalError;
use super::disk::Disk;
use super::durable::{FORMAT, damaged, failed, list_optional, parse_json};
use super::folder::tool_version;
use super::generation::GenerationNumber;
use super::state::RUNS;
use crate::base::{RunId, StepId};
use crate::event::Event;

/// Ending of a log's name; what stands before it is the run.
const ENDING: &str = ".jsonl";

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
    /// The run ended by itself. A run that was killed has no such record.
    Ended {
        /// Why it did not end as asked; none where it did.
        error: Option<String>,
    },
}

impl RunRecord {
    /// Whether the next act relies on it, or nothing comes after it that would make it durable.
    fn must_be_durable(&self) -> bool {
        matches!(self, Self::Intent { .. } | Self::Ended { .. })
    }

    /// Whether it may wait for the next one that may not: an intent or an outcome says the same and is written right before it.
    fn may_wait(&self) -> bool {
        matches!(self, Self::Shown { event: Event::StepStarted { .. } | Event::StepDone { .. } })
    }
}

/// A record with the time at which it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedRecord {
    /// UTC, to the millisecond; none in logs of older tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The record.
    #[serde(flatten)]
    pub record: RunRecord,
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
    /// The generation that it worked towards; none in logs of older tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationNumber>,
    /// Its start, as [`TimedRecord::time`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// The log of the run that is going on. May be used from several threads.
#[derive(Clone)]
pub struct RunLog {
    file: Arc<Mutex<LogFile>>,
}

struct LogFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Lines that are written with the next ones.
    waiting: Vec<u8>,
}

impl RunLog {
    /// Starts a log with its header.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        folder: &Path,
        run: &RunId,
        parent: Option<GenerationNumber>,
        generation: Option<GenerationNumber>,
    ) -> Result<Self, JournalError> {
        let path = folder.join(format!("{run}{ENDING}"));
        let (format, run, tool, time) = (FORMAT, run.clone(), tool_version(), now());
        let header = RunHeader { format, run, tool, parent, generation, time };
        let line = line(&path, &header)?;
        disk.write_new(&path, &line).map_err(failed("writing", &path))?;
        disk.sync_file(&path).map_err(failed("syncing", &path))?;
        disk.sync_directory(folder).map_err(failed("syncing", folder))?;
        Ok(Self { file: Arc::new(Mutex::new(LogFile { disk, path, waiting: Vec::new() })) })
    }

    /// Appends records with one write and, if an intent or the end is among them, one sync. A run whose log cannot
    /// be written must stop.
    pub fn append(&self, records: &[RunRecord]) -> Result<(), JournalError> {
        // A poisoned lock guards no broken invariant: each append is one call of the disk.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, mut bytes) = (now(), std::mem::take(&mut file.waiting));
        for record in records {
            bytes.extend(line(&file.path, &TimedRecord { time, record: record.clone() })?);
        }
        if records.iter().all(RunRecord::may_wait) {
            file.waiting = bytes;
            return Ok(());
        }
        file.disk.append(&file.path, &bytes).map_err(failed("appending to", &file.path))?;
        if records.iter().any(RunRecord::must_be_durable) {
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
    pub records: Vec<TimedRecord>,
}

/// A run of the folder, and its log where that can be read.
pub type FoundRun = (RunId, Result<RunHistory, JournalError>);

impl RunHistory {
    /// Reads all logs of a state folder, in the order in which the runs began. One that cannot be read hides no other;
    /// those whose header never came to be are left out.
    pub fn list(disk: &dyn Disk, state_folder: &Path) -> Result<Vec<FoundRun>, JournalError> {
        let folder = state_folder.join(RUNS);
        let mut runs = Vec::new();
        for name in list_optional(disk, &folder)? {
            let Some(run) = name.strip_suffix(ENDING) else { continue };
            if let Some(history) = Self::read(disk, &folder.join(&name)).transpose() {
                runs.push((RunId(run.to_owned()), history));
            }
        }
        Ok(runs)
    }

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

/// The time, cut to milliseconds; none outside of the years that can be written, which no clock shows.
fn now() -> Option<Timestamp> {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).ok()
}

fn line<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, JournalError> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| damaged(path, &error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

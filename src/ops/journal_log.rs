//! A run's record in the state folder.

use std::sync::{Mutex, PoisonError};

use crate::base::StepId;
use crate::engine::{self, StepError};
use crate::journal::{self, GenerationNumber, RestoreIntent, RunRecord, StateFolder};
use crate::state::SnapshotName;

/// Intents and outcomes go into the run's log, the beginning of a restore into the folder itself.
pub(super) struct JournalLog<'a> {
    folder: Mutex<&'a mut StateFolder>,
    log: journal::RunLog,
    /// The generation to which a restore takes the components too.
    back_to: Option<GenerationNumber>,
}

impl<'a> JournalLog<'a> {
    /// Writes into a log that was begun in this folder.
    pub fn new(folder: &'a mut StateFolder, log: journal::RunLog, back_to: Option<GenerationNumber>) -> Self {
        Self { folder: Mutex::new(folder), log, back_to }
    }

    fn append(&self, record: RunRecord) -> Result<(), StepError> {
        self.log.append(&[record]).map_err(|error| StepError::Record(error.to_string()))
    }
}

impl engine::RunLog for JournalLog<'_> {
    fn intent(&self, step: &StepId) -> Result<(), StepError> {
        self.append(RunRecord::Intent { step: step.clone() })
    }

    fn restore_begins(&self, snapshot: &SnapshotName, stamp: &str) -> Result<(), StepError> {
        let intent = RestoreIntent { snapshot: snapshot.clone(), stamp: stamp.to_owned(), back_to: self.back_to };
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        folder.store_restore(Some(intent)).map_err(|error| StepError::Record(error.to_string()))
    }

    fn outcome(&self, step: &StepId, error: Option<&StepError>) -> Result<(), StepError> {
        self.append(RunRecord::Outcome { step: step.clone(), error: error.map(ToString::to_string) })
    }
}

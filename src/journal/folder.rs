//! The state folder, held by a run that may change it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalError;
use super::disk::{Disk, DiskLock, LockError};
use super::durable::{FORMAT, damaged, ensure_directory, failed, new_directory, replace_file, to_json};
use super::etcd::EtcdRecord;
use super::generation::{CONFIG_FILE, Generation, GenerationLock, GenerationNumber, LOCK_FILE, Pins};
use super::keys::{Material, file_name, render_keys};
use super::lock::Holder;
use super::restore::{RestoreFile, RestoreIntent};
use super::run_log::RunLog;
use super::state::{CURRENT_FILE, ETCD_FILE, GENERATIONS, KEYS, RESTORE_FILE, RUNS, State};
use crate::base::{Digest, RunId};

const LOCK: &str = "LOCK";

/// A state folder under lock, for as long as the value lives. What a call stored is durable when it returns, and a crash
/// inside a call leaves the state before it or the state after it.
#[derive(Debug)]
pub struct StateFolder {
    disk: SharedDisk,
    path: PathBuf,
    run: Holder,
    state: State,
    lock: DiskLock,
}

/// The disk that a folder lies on.
#[derive(Clone)]
struct SharedDisk(Arc<dyn Disk>);

impl std::fmt::Debug for SharedDisk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Disk")
    }
}

impl StateFolder {
    /// Takes the folder's lock, making the folder where there is none, and reads all of it.
    ///
    /// # Errors
    /// [`JournalError::Held`] while another run has it; [`JournalError::Damaged`] and [`JournalError::NewerFormat`] name the
    /// file that this tool cannot rely on.
    pub fn open(disk: Arc<dyn Disk>, path: &Path, run: Holder) -> Result<Self, JournalError> {
        ensure_directory(&*disk, path)?;
        let lock = lock(&*disk, path, &run)?;
        let state = State::peek(&*disk, path)?;
        sync_what_was_read(&*disk, path, &state)?;
        Ok(Self { disk: SharedDisk(disk), path: path.to_owned(), run, state, lock })
    }

    /// The run that holds the folder.
    pub fn run(&self) -> &RunId {
        &self.run.run
    }

    /// Hands the folder on to another run without letting go of it. What is begun from now on is that run's: two never share
    /// a log.
    pub fn next_run(&mut self, run: Holder) -> Result<(), JournalError> {
        let file = self.path.join(LOCK);
        self.lock.hand_on(&to_json(&file, &run)?).map_err(failed("locking", &file))?;
        self.run = run;
        Ok(())
    }

    /// What the folder holds now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores keys and certificates, all or none of them. Entries that are stored already with the same content cost nothing.
    pub fn store_material(&mut self, material: Material) -> Result<(), JournalError> {
        let mut changed = material;
        changed.retain(|name, entry| self.state.keys.material.get(name) != Some(entry));
        if changed.is_empty() {
            return Ok(());
        }
        let folder = self.path.join(KEYS);
        let path = folder.join(file_name(self.state.keys.last + 1));
        let bytes = render_keys(&path, &self.run.run, changed.clone())?;
        ensure_directory(self.disk(), &folder)?;
        replace_file(self.disk(), &path, &bytes)?;
        self.state.keys.last += 1;
        self.state.keys.material.extend(changed);
        Ok(())
    }

    /// Begins a generation, or goes on with the one that is aimed at where it is for the same text and pins. Where nothing is
    /// aimed at and the current one is for them, a cluster is mended and that one stays.
    pub fn begin_generation(&mut self, config: &str, pins: Pins) -> Result<GenerationNumber, JournalError> {
        self.begin(config, pins, None)
    }

    /// The same on the way back to an earlier generation, whose text and pins these are.
    pub fn begin_return(
        &mut self,
        to: GenerationNumber,
        config: &str,
        pins: Pins,
    ) -> Result<GenerationNumber, JournalError> {
        self.begin(config, pins, Some(to))
    }

    fn begin(
        &mut self,
        config: &str,
        pins: Pins,
        back_to: Option<GenerationNumber>,
    ) -> Result<GenerationNumber, JournalError> {
        let is_same = |generation: &&Generation| generation.config == config && generation.lock.pins.are_same(&pins);
        let same = match self.state.aimed() {
            Some(aimed) => Some(aimed).filter(is_same).filter(|aimed| aimed.lock.back_to == back_to),
            None => self.state.current().filter(is_same),
        };
        if let Some(same) = same {
            return Ok(same.number);
        }
        let generation = self.next_generation(config, pins, back_to);
        let folder = self.path.join(GENERATIONS);
        let path = folder.join(generation.number.to_string());
        let lock = to_json(&path.join(LOCK_FILE), &generation.lock)?;
        ensure_directory(self.disk(), &folder)?;
        new_directory(self.disk(), &path, &[(CONFIG_FILE, config.as_bytes()), (LOCK_FILE, &lock)])?;
        let number = generation.number;
        self.state.generations.push(generation);
        Ok(number)
    }

    /// Replaces the pins of the generation at work, which [`Self::begin_generation`] gave: what a host reported first holds for
    /// all others.
    pub fn record_pins(&mut self, number: GenerationNumber, pins: Pins) -> Result<(), JournalError> {
        let path = self.path.join(GENERATIONS).join(number.to_string()).join(LOCK_FILE);
        let Some(lock) = self.state.at_work().filter(|at_work| at_work.number == number).map(|found| &found.lock)
        else {
            return Err(JournalError::NotAimed { path });
        };
        if lock.pins == pins {
            return Ok(());
        }
        let lock = GenerationLock { pins, ..lock.clone() };
        replace_file(self.disk(), &path, &to_json(&path, &lock)?)?;
        if let Some(found) = self.state.generations.iter_mut().find(|generation| generation.number == number) {
            found.lock = lock;
        }
        Ok(())
    }

    /// Makes the generation at work the current one.
    pub fn complete_generation(&mut self, number: GenerationNumber) -> Result<(), JournalError> {
        if self.state.at_work().is_none_or(|at_work| at_work.number != number) {
            return Err(JournalError::NotAimed { path: self.path.join(GENERATIONS).join(number.to_string()) });
        }
        if self.state.material().is_empty() {
            return Err(damaged(&self.path.join(KEYS), &"it is empty, so no generation can be complete"));
        }
        if self.state.current == Some(number) {
            return Ok(());
        }
        replace_file(self.disk(), &self.path.join(CURRENT_FILE), format!("{number}\n").as_bytes())?;
        self.state.current = Some(number);
        Ok(())
    }

    /// Stores what is known of etcd's first start.
    pub fn store_etcd(&mut self, record: EtcdRecord) -> Result<(), JournalError> {
        if self.state.etcd.as_ref() == Some(&record) {
            return Ok(());
        }
        let path = self.path.join(ETCD_FILE);
        replace_file(self.disk(), &path, &to_json(&path, &record)?)?;
        self.state.etcd = Some(record);
        Ok(())
    }

    /// Stores that a restore of etcd has begun, or that it is over.
    pub fn store_restore(&mut self, unfinished: Option<RestoreIntent>) -> Result<(), JournalError> {
        if self.state.restore == unfinished {
            return Ok(());
        }
        let path = self.path.join(RESTORE_FILE);
        replace_file(self.disk(), &path, &to_json(&path, &RestoreFile::new(unfinished.clone()))?)?;
        self.state.restore = unfinished;
        Ok(())
    }

    /// Begins this run's log. It may be written while the folder is changed.
    pub fn begin_run(&self) -> Result<RunLog, JournalError> {
        let folder = self.path.join(RUNS);
        ensure_directory(self.disk(), &folder)?;
        let (current, at_work) = (self.state.current, self.state.at_work().map(|generation| generation.number));
        RunLog::begin(Arc::clone(&self.disk.0), &folder, &self.run.run, current, at_work)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.disk.0
    }

    fn next_generation(&self, config: &str, pins: Pins, back_to: Option<GenerationNumber>) -> Generation {
        let last = self.state.generations.last().map_or(0, |generation| generation.number.0);
        let (run, parent) = (self.run.run.clone(), self.state.current);
        let (tool, config_digest) = (tool_version(), Digest::of(config));
        let lock = GenerationLock { format: FORMAT, tool, run, parent, back_to, config: config_digest, pins };
        Generation { number: GenerationNumber(last + 1), config: config.to_owned(), lock }
    }
}

/// This tool's version.
pub(super) fn tool_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A run that was killed between a rename and its sync leaves a name that can be read but is not durable. This run will rely on
/// what it read, so it syncs the directories first; files are synced before they get their names.
fn sync_what_was_read(disk: &dyn Disk, path: &Path, state: &State) -> Result<(), JournalError> {
    let mut directories = vec![path.to_owned()];
    if state.keys.last > 0 {
        directories.push(path.join(KEYS));
    }
    if let Some(last) = state.generations.last() {
        let generations = path.join(GENERATIONS);
        directories.extend([generations.join(last.number.to_string()), generations]);
    }
    for directory in directories {
        disk.sync_directory(&directory).map_err(failed("syncing", &directory))?;
    }
    Ok(())
}

fn lock(disk: &dyn Disk, path: &Path, run: &Holder) -> Result<DiskLock, JournalError> {
    let file = path.join(LOCK);
    let holder = to_json(&file, run)?;
    disk.lock(&file, &holder).map_err(|error| match error {
        LockError::Held(holder) => JournalError::Held { path: path.to_owned(), holder: Holder::read(&holder) },
        LockError::Disk(error) => failed("locking", &file)(error),
    })
}

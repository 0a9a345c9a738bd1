//! What the state folder holds.

use std::path::{Path, PathBuf};

use super::JournalError;
use super::disk::Disk;
use super::durable::{damaged, list_optional, read_json, read_optional};
use super::etcd::EtcdRecord;
use super::generation::{Generation, GenerationNumber, read_generation};
use super::keys::{KeyFiles, Material, read_keys};
use super::restore::{RestoreFile, RestoreIntent};

pub(super) const KEYS: &str = "keys";
pub(super) const GENERATIONS: &str = "generations";
pub(super) const CURRENT_FILE: &str = "current";
pub(super) const ETCD_FILE: &str = "etcd.json";
pub(super) const RESTORE_FILE: &str = "restore.json";
pub(super) const RUNS: &str = "runs";

/// The state folder of a `cluster.yml`: `cluster.state` beside it.
pub fn state_path(cluster_file: &Path) -> PathBuf {
    cluster_file.with_extension("state")
}

/// Everything in a state folder, as one reading found it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub(super) keys: KeyFiles,
    pub(super) generations: Vec<Generation>,
    pub(super) current: Option<GenerationNumber>,
    pub(super) etcd: Option<EtcdRecord>,
    pub(super) restore: Option<RestoreIntent>,
}

impl State {
    /// Reads a folder without taking its lock, for commands that only look. A missing folder is an empty state.
    pub fn peek(disk: &dyn Disk, path: &Path) -> Result<Self, JournalError> {
        // First of all, because a run may be at work: what `current` names was there before it.
        let current = read_current(disk, &path.join(CURRENT_FILE))?;
        let state = Self {
            keys: read_keys(disk, &path.join(KEYS))?,
            generations: read_generations(disk, &path.join(GENERATIONS))?,
            current,
            etcd: read_json(disk, &path.join(ETCD_FILE))?,
            restore: read_json(disk, &path.join(RESTORE_FILE))?.and_then(|file: RestoreFile| file.unfinished),
        };
        state.check(path)?;
        Ok(state)
    }

    /// Keys and certificates.
    pub fn material(&self) -> &Material {
        &self.keys.material
    }

    /// All generations, oldest first.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// The generation with a number.
    pub fn generation(&self, number: GenerationNumber) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.number == number)
    }

    /// The generation that was completed last.
    pub fn current(&self) -> Option<&Generation> {
        self.generation(self.current?)
    }

    /// The generation that was begun last, if it was not completed: what an interrupted run aimed at.
    pub fn aimed(&self) -> Option<&Generation> {
        self.generations.last().filter(|generation| Some(generation.number) > self.current)
    }

    /// The generation that a run works for: the one that is aimed at, or else the current one, which it mends.
    pub fn at_work(&self) -> Option<&Generation> {
        self.aimed().or(self.current())
    }

    /// Whether a generation was ever completed: it is the current one, or was so when a later one was begun.
    pub fn was_completed(&self, number: GenerationNumber) -> bool {
        let mut parents = self.generations.iter().filter_map(|generation| generation.lock.parent);
        self.current == Some(number) || parents.any(|parent| parent == number)
    }

    /// What is remembered of etcd's first start.
    pub fn etcd(&self) -> Option<&EtcdRecord> {
        self.etcd.as_ref()
    }

    /// A restore of etcd that was begun and has not ended well.
    pub fn restore(&self) -> Option<&RestoreIntent> {
        self.restore.as_ref()
    }

    /// Whether nothing was ever stored.
    pub fn is_new(&self) -> bool {
        self.keys.material.is_empty() && self.generations.is_empty() && self.etcd.is_none()
    }

    fn check(&self, path: &Path) -> Result<(), JournalError> {
        let Some(current) = self.current else { return Ok(()) };
        if self.current().is_none() {
            return Err(damaged(
                &path.join(GENERATIONS),
                &format!("`{CURRENT_FILE}` names {current}, which is missing"),
            ));
        }
        // Without this, a folder whose keys were deleted would look like one that may make new authorities.
        if self.keys.material.is_empty() {
            return Err(damaged(&path.join(KEYS), &"it is empty, but a generation was completed with its keys"));
        }
        Ok(())
    }
}

fn read_generations(disk: &dyn Disk, folder: &Path) -> Result<Vec<Generation>, JournalError> {
    let mut generations = Vec::new();
    for name in list_optional(disk, folder)? {
        if let Some(number) = GenerationNumber::parse(&name) {
            generations.push(read_generation(disk, &folder.join(name), number)?);
        }
    }
    generations.sort_by_key(|generation| generation.number);
    Ok(generations)
}

fn read_current(disk: &dyn Disk, path: &Path) -> Result<Option<GenerationNumber>, JournalError> {
    let Some(bytes) = read_optional(disk, path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| damaged(path, &error))?;
    let number = text.strip_suffix('\n').and_then(GenerationNumber::parse);
    number.map(Some).ok_or_else(|| damaged(path, &"it is not the number of a generation"))
}

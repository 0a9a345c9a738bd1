//! The state folder beside `cluster.yml`: keys, generations, the history of runs, under one lock.
//!
//! ```text
//! cluster.state/              0700, all files 0600
//!   LOCK                      locked (flock) while a run works; who, for the message to a second one
//!   keys/0001.json            key material, one file for each time that some was stored
//!   generations/0001/         cluster.yml, lock.json: made whole by one rename
//!   current                   number of the generation that was completed last
//!   etcd.json                 token and members of the first start
//!   restore.json              a restore of etcd that is under way
//!   runs/<run id>.jsonl       header, intents, outcomes, events
//! ```
//!
//! Everything is changed through [`Disk`]: written new, synced, renamed, its directory synced. What a crash interrupts ends in
//! `.new`, is never read and is replaced by the next write of that name.

mod disk;
mod durable;
mod error;
mod etcd;
mod fake_disk;
mod folder;
mod generation;
mod git;
mod keys;
mod lock;
mod real_disk;
mod restore;
mod run_log;
mod state;
#[cfg(test)]
mod tests;

pub use disk::{Disk, DiskLock, LockError};
pub use error::JournalError;
pub use etcd::EtcdRecord;
pub use fake_disk::{Death, FakeDisk, Loss};
pub use folder::StateFolder;
pub use generation::{
    Generation, GenerationLock, GenerationNumber, Origin, PinnedAddon, PinnedFile, PinnedImage, Pins,
};
pub use git::git_work_tree;
pub use keys::{Material, StoredKey};
pub use lock::Holder;
pub use real_disk::RealDisk;
pub use restore::RestoreIntent;
pub use run_log::{FoundRun, RunHeader, RunHistory, RunLog, RunRecord, TimedRecord};
pub use state::{State, state_path};

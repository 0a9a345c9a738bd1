//! The seam to the disk.

use std::io;
use std::path::Path;

/// Everything that the state folder asks of a disk. Every change of the folder is one of these calls, so that a fake can
/// count them, stop at any of them and forget what was not synced.
///
/// Files are made with mode 0600 and directories with 0700. No call retries, and none syncs more than it says.
pub trait Disk: Send + Sync {
    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Lists the names in a directory, in order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory; [`io::ErrorKind::AlreadyExists`] if there is an entry of that name.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Writes a file that must not exist. Neither its bytes nor its name are durable afterwards.
    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Appends to a file, which is made where there is none. Not durable afterwards.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's bytes durable, not its name.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Renames a file over another one, or a directory to a name that is free. Atomic, durable once the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file or an empty directory.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on a file without waiting and writes the holder into it. The lock ends with the value or
    /// with the process; the file stays.
    fn lock(&self, path: &Path, holder: &[u8]) -> Result<DiskLock, LockError>;
}

/// A lock; dropped, it is free again.
pub struct DiskLock(pub(super) Box<dyn HeldLock>);

impl DiskLock {
    /// Writes another holder into the file. The lock stays held meanwhile.
    pub fn hand_on(&self, holder: &[u8]) -> io::Result<()> {
        self.0.write_holder(holder)
    }
}

/// What a disk keeps of a lock that somebody has; its drop ends it.
pub(super) trait HeldLock: Send + Sync {
    /// Replaces what stands in the file.
    fn write_holder(&self, holder: &[u8]) -> io::Result<()>;
}

impl std::fmt::Debug for DiskLock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DiskLock")
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it; what they wrote into the file.
    #[error("the lock is held")]
    Held(Vec<u8>),
    /// The file could not be opened or written.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

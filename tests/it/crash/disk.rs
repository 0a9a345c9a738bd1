//! The operator's disk, which is gone for a process that is dead, and whose death is the process's.

use std::io;
use std::path::Path;

use provision::host::{FakeProcess, Moment};
use provision::journal::{Disk, DiskLock, FakeDisk, LockError};

/// A disk and the process that uses it: they die together.
pub struct SharedFate {
    pub disk: FakeDisk,
    pub process: FakeProcess,
}

impl SharedFate {
    fn call<T>(&self, act: impl FnOnce(&FakeDisk) -> io::Result<T>) -> io::Result<T> {
        if self.process.is_dead() {
            return Err(io::Error::other("the process is dead"));
        }
        let result = act(&self.disk);
        // The fake's own word for a death; what a disk refuses has another kind.
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Other) {
            self.process.dies_at(self.process.calls(), Moment::Before);
            let _ = self.process.enter();
        }
        result
    }
}

impl Disk for SharedFate {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.call(|disk| disk.read(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.call(|disk| disk.list(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.create_directory(path))
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call(|disk| disk.write_new(path, bytes))
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call(|disk| disk.append(path, bytes))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.sync_file(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.sync_directory(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|disk| disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|disk| disk.remove(path))
    }

    fn lock(&self, path: &Path, holder: &[u8]) -> Result<DiskLock, LockError> {
        if self.process.is_dead() {
            return Err(LockError::Disk(io::Error::other("the process is dead")));
        }
        self.disk.lock(path, holder)
    }
}

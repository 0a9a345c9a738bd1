//! A disk in memory that forgets what was not synced, and can die at any call.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskLock, HeldLock, LockError};

/// A machine's disk as one process sees it. [`FakeDisk::reboot`] gives the view of the next process; the views of dead
/// ones fail at every call.
#[derive(Debug, Clone)]
pub struct FakeDisk {
    machine: Arc<Mutex<Machine>>,
    boot: usize,
}

/// What a crash takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: only the process died (`kill -9`).
    Nothing,
    /// Everything that was not synced, names and bytes: the power went.
    Unsynced,
    /// The power went; names had reached the disk by chance, but of bytes that were not synced only the first half: a
    /// file that was renamed before it was synced is found torn.
    UnsyncedBytes,
}

/// Where in a call the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Before it does anything.
    Before,
    /// After half of the bytes that it writes; a call that writes none is done, but its caller never hears of it.
    Within,
}

#[derive(Debug)]
struct Machine {
    entries: Vec<Entry>,
    boot: usize,
    calls: usize,
    dies_at: Option<(usize, Death)>,
    dead: bool,
    locks: BTreeMap<usize, Vec<u8>>,
}

/// A file or a directory, as it is now and as the disk has it for good.
#[derive(Debug, Clone)]
enum Entry {
    File { now: Vec<u8>, synced: Vec<u8> },
    Directory { now: Names, synced: Names },
}

type Names = BTreeMap<String, usize>;

const ROOT: usize = 0;

impl Default for FakeDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeDisk {
    /// An empty disk: nothing but `/`.
    pub fn new() -> Self {
        let root = Entry::Directory { now: Names::new(), synced: Names::new() };
        let (entries, locks) = (vec![root], BTreeMap::new());
        let machine = Machine { entries, boot: 0, calls: 0, dies_at: None, dead: false, locks };
        Self { machine: Arc::new(Mutex::new(machine)), boot: 0 }
    }

    /// Calls since the last boot, those that failed included.
    pub fn calls(&self) -> usize {
        self.machine().calls
    }

    /// Lets the process die at a call, counted from 0 since the last boot; that call and all later ones fail.
    pub fn die_at(&self, call: usize, death: Death) {
        self.machine().dies_at = Some((call, death));
    }

    /// Starts the next process on what a crash leaves. Locks are free, calls are counted from 0, and no death is planned.
    #[must_use]
    pub fn reboot(&self, loss: Loss) -> Self {
        let mut machine = self.machine();
        for entry in &mut machine.entries {
            entry.lose(loss);
        }
        machine.boot += 1;
        machine.calls = 0;
        machine.dies_at = None;
        machine.dead = false;
        machine.locks.clear();
        Self { machine: Arc::clone(&self.machine), boot: machine.boot }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and makes it, unless the process is dead or dies now.
    fn call<T>(&self, act: impl FnOnce(&mut Machine, Option<Death>) -> io::Result<T>) -> io::Result<T> {
        let mut machine = self.machine();
        if machine.dead || machine.boot != self.boot {
            return Err(died());
        }
        let death = machine.dies_at.filter(|(call, _)| *call == machine.calls).map(|(_, death)| death);
        machine.calls += 1;
        machine.dead = death.is_some();
        if death == Some(Death::Before) {
            return Err(died());
        }
        let result = act(&mut machine, death);
        if death.is_some() { Err(died()) } else { result }
    }
}

impl Entry {
    fn lose(&mut self, loss: Loss) {
        match (self, loss) {
            (_, Loss::Nothing) => {}
            (Self::File { now, synced }, Loss::Unsynced) => now.clone_from(synced),
            (Self::File { now, synced }, Loss::UnsyncedBytes) => {
                // Files only grow, so what is synced is a beginning of what is there.
                let kept = synced.len() + (now.len() - synced.len()) / 2;
                now.truncate(kept);
                synced.clone_from(now);
            }
            (Self::Directory { now, synced }, Loss::Unsynced) => now.clone_from(synced),
            (Self::Directory { now, synced }, Loss::UnsyncedBytes) => synced.clone_from(now),
        }
    }
}

impl Machine {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut index = ROOT;
        for component in path.components() {
            match component {
                Component::Normal(name) => index = *self.names(index)?.get(&*name.to_string_lossy()).ok_or(missing())?,
                Component::RootDir | Component::CurDir => {}
                _ => return Err(io::Error::from(ErrorKind::InvalidInput)),
            }
        }
        Ok(index)
    }

    fn names(&self, index: usize) -> io::Result<&Names> {
        match &self.entries[index] {
            Entry::Directory { now, .. } => Ok(now),
            Entry::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// The directory that holds a path, and the path's name in it.
    fn place(&mut self, path: &Path) -> io::Result<(&mut Names, String)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let parent = self.find(path.parent().unwrap_or(Path::new("/")))?;
        match &mut self.entries[parent] {
            Entry::Directory { now, .. } => Ok((now, name)),
            Entry::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, path: &Path, entry: Entry) -> io::Result<usize> {
        let index = self.entries.len();
        let (names, name) = self.place(path)?;
        if names.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        names.insert(name, index);
        self.entries.push(entry);
        Ok(index)
    }

    fn write(&mut self, index: usize, bytes: &[u8], death: Option<Death>) -> io::Result<()> {
        let Entry::File { now, .. } = &mut self.entries[index] else { return Err(ErrorKind::IsADirectory.into()) };
        let written = if death.is_some() { bytes.len() / 2 } else { bytes.len() };
        now.extend_from_slice(&bytes[..written]);
        Ok(())
    }

    fn find_or_add_file(&mut self, path: &Path) -> io::Result<usize> {
        match self.find(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.add(path, empty_file()),
            found => found,
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let source = self.find(from)?;
        if let Ok(target) = self.find(to)
            && self.names(target).is_ok_and(|names| !names.is_empty())
        {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let (names, name) = self.place(to)?;
        names.insert(name, source);
        let (names, name) = self.place(from)?;
        names.remove(&name);
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let index = self.find(path)?;
        if self.names(index).is_ok_and(|names| !names.is_empty()) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let (names, name) = self.place(path)?;
        names.remove(&name);
        Ok(())
    }
}

impl Disk for FakeDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.call(|machine, _| match &machine.entries[machine.find(path)?] {
            Entry::File { now, .. } => Ok(now.clone()),
            Entry::Directory { .. } => Err(ErrorKind::IsADirectory.into()),
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.call(|machine, _| Ok(machine.names(machine.find(path)?)?.keys().cloned().collect()))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let directory = Entry::Directory { now: Names::new(), synced: Names::new() };
        self.call(|machine, _| machine.add(path, directory).map(|_| ()))
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call(|machine, death| {
            let index = machine.add(path, empty_file())?;
            machine.write(index, bytes, death)
        })
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.call(|machine, death| {
            let index = machine.find_or_add_file(path)?;
            machine.write(index, bytes, death)
        })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.call(|machine, _| {
            let index = machine.find(path)?;
            match &mut machine.entries[index] {
                Entry::File { now, synced } => synced.clone_from(now),
                Entry::Directory { .. } => return Err(ErrorKind::IsADirectory.into()),
            }
            Ok(())
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.call(|machine, _| {
            let index = machine.find(path)?;
            match &mut machine.entries[index] {
                Entry::Directory { now, synced } => synced.clone_from(now),
                Entry::File { .. } => return Err(ErrorKind::NotADirectory.into()),
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|machine, _| machine.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|machine, _| machine.remove(path))
    }

    fn lock(&self, path: &Path, holder: &[u8]) -> Result<DiskLock, LockError> {
        let (index, held) = self.call(|machine, _| {
            let index = machine.find_or_add_file(path)?;
            let held = machine.locks.get(&index).cloned();
            machine.locks.entry(index).or_insert_with(|| holder.to_vec());
            Ok((index, held))
        })?;
        match held {
            Some(holder) => Err(LockError::Held(holder)),
            None => Ok(DiskLock(Box::new(FakeLock { disk: self.clone(), index }))),
        }
    }
}

struct FakeLock {
    disk: FakeDisk,
    index: usize,
}

impl HeldLock for FakeLock {
    fn write_holder(&self, holder: &[u8]) -> io::Result<()> {
        self.disk.call(|machine, _| {
            machine.locks.insert(self.index, holder.to_vec());
            Ok(())
        })
    }
}

impl Drop for FakeLock {
    fn drop(&mut self) {
        let mut machine = self.disk.machine();
        // The lock of a dead process is gone already; the one that stands there now is another's.
        if machine.boot == self.disk.boot {
            machine.locks.remove(&self.index);
        }
    }
}

fn empty_file() -> Entry {
    Entry::File { now: Vec::new(), synced: Vec::new() }
}

fn missing() -> io::Error {
    ErrorKind::NotFound.into()
}

fn died() -> io::Error {
    io::Error::other("the process is dead")
}

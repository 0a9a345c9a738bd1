//! The few sequences of disk calls after which something is on the disk for good.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::JournalError;
use super::disk::Disk;

/// The newest format that this tool writes and reads.
pub(super) const FORMAT: u32 = 1;

/// Ending of what is being written; a leftover of a crash is overwritten by the next write and never read.
const UNFINISHED: &str = ".new";

/// Writes a file so that, crash or not, its path shows either the old bytes or the new ones.
pub(super) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), JournalError> {
    let unfinished = unfinished(path);
    remove_leftover(disk, &unfinished)?;
    disk.write_new(&unfinished, bytes).map_err(failed("writing", &unfinished))?;
    disk.sync_file(&unfinished).map_err(failed("syncing", &unfinished))?;
    publish(disk, &unfinished, path)
}

/// Makes a directory with files so that, crash or not, its path shows all of them or nothing.
pub(super) fn new_directory(disk: &dyn Disk, path: &Path, files: &[(&str, &[u8])]) -> Result<(), JournalError> {
    let unfinished = unfinished(path);
    remove_leftover_directory(disk, &unfinished)?;
    disk.create_directory(&unfinished).map_err(failed("creating", &unfinished))?;
    for (name, bytes) in files {
        let file = unfinished.join(name);
        disk.write_new(&file, bytes).map_err(failed("writing", &file))?;
        disk.sync_file(&file).map_err(failed("syncing", &file))?;
    }
    disk.sync_directory(&unfinished).map_err(failed("syncing", &unfinished))?;
    publish(disk, &unfinished, path)
}

/// Makes a directory durably where there is none.
pub(super) fn ensure_directory(disk: &dyn Disk, path: &Path) -> Result<(), JournalError> {
    match disk.create_directory(path) {
        // An earlier run may have died between making it and syncing its parent, so the parent is synced either way.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("creating", path)(error)),
    }
    let parent = parent(path);
    disk.sync_directory(parent).map_err(failed("syncing", parent))
}

/// Reads a JSON file of the state, `None` where there is none.
pub(super) fn read_json<T: DeserializeOwned>(disk: &dyn Disk, path: &Path) -> Result<Option<T>, JournalError> {
    let Some(bytes) = read_optional(disk, path)? else { return Ok(None) };
    parse_json(path, &bytes).map(Some)
}

/// Parses JSON of the state, its format first: what a newer tool wrote is not called damaged.
pub(super) fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, JournalError> {
    let header: Header = serde_json::from_slice(bytes).map_err(|error| damaged(path, &error))?;
    if header.format > FORMAT {
        return Err(JournalError::NewerFormat { path: path.to_owned(), found: header.format, known: FORMAT });
    }
    serde_json::from_slice(bytes).map_err(|error| damaged(path, &error))
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// Renders JSON of the state, for people to read as well.
pub(super) fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, JournalError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| damaged(path, &error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a file, `None` where there is none.
pub(super) fn read_optional(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    match disk.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", path)(error)),
    }
}

/// Lists a directory, empty where there is none.
pub(super) fn list_optional(disk: &dyn Disk, path: &Path) -> Result<Vec<String>, JournalError> {
    match disk.list(path) {
        Ok(names) => Ok(names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("listing", path)(error)),
    }
}

/// Puts operation and path around the system's words.
pub(super) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Disk { operation, path, source }
}

/// A file that is not what the tool writes.
pub(super) fn damaged(path: &Path, reason: &impl ToString) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

fn publish(disk: &dyn Disk, unfinished: &Path, path: &Path) -> Result<(), JournalError> {
    disk.rename(unfinished, path).map_err(failed("renaming to", path))?;
    let parent = parent(path);
    disk.sync_directory(parent).map_err(failed("syncing", parent))
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(UNFINISHED);
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn remove_leftover(disk: &dyn Disk, path: &Path) -> Result<(), JournalError> {
    match disk.remove(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("removing", path)(error)),
    }
}

fn remove_leftover_directory(disk: &dyn Disk, path: &Path) -> Result<(), JournalError> {
    for name in list_optional(disk, path)? {
        remove_leftover(disk, &path.join(name))?;
    }
    remove_leftover(disk, path)
}

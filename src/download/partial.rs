//! A file that is not whole yet.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::base::Digest;

const PRIVATE_FILE: u32 = 0o600;
/// Enough of the beginning to tell a page for people from a program.
const HEAD: usize = 512;

/// The beginning of a file, digested as far as it goes, and held against other runs as long as the value lives. Every call
/// blocks.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    hash: Sha256,
    length: u64,
    head: Vec<u8>,
    /// Whether the name is no longer ours.
    gone: bool,
}

impl Partial {
    /// Opens what an earlier run left, or a new file (mode 0600). None while another run has it; ask again then.
    pub(super) fn claim(path: &Path) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_FILE).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it may have renamed it, when whole, between our opening and our locking.
        let ours = file.metadata()?;
        let named = fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()));
        if !named {
            return Ok(None);
        }
        let mut partial =
            Self { file, path: path.to_owned(), hash: Sha256::new(), length: 0, head: Vec::new(), gone: false };
        partial.read_what_is_there(ours.len())?;
        Ok(Some(partial))
    }

    fn read_what_is_there(&mut self, length: u64) -> io::Result<()> {
        let mut piece = vec![0; 256 * 1024];
        let mut left = length;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(piece.len()).min(piece.len());
            self.file.read_exact(&mut piece[..wanted])?;
            self.count(&piece[..wanted]);
            left -= wanted as u64;
        }
        Ok(())
    }

    /// Adds bytes at the end. After an error the value is of no further use.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.count(bytes);
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
    }

    /// Throws away all bytes and begins anew.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.hash = Sha256::new();
        self.length = 0;
        self.head.clear();
        Ok(())
    }

    /// Number of bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Digest of the bytes so far.
    pub(super) fn digest(&self) -> Digest {
        Digest::from_hash(self.hash.clone().finalize().into())
    }

    /// The first bytes, at most 512.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Gives the whole file its name, for good. It stays held.
    pub(super) fn publish(&mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        self.gone = true;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Removes the file.
    pub(super) fn discard(mut self) -> io::Result<()> {
        self.gone = true;
        fs::remove_file(&self.path)
    }
}

impl Drop for Partial {
    /// An empty file is of no use to a later run.
    fn drop(&mut self) {
        if self.length == 0 && !self.gone {
            // Should it fail, the next run finds an empty file, as if there were none.
            let _ = fs::remove_file(&self.path);
        }
    }
}

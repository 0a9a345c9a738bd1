//! Unpacking an archive of programs into a file without a name.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use super::BundleError;
use super::item::Item;
use crate::base::Digest;

/// The published CNI archives hold 20 programs in 110 MB; more than this is not one of them.
const LARGEST_TOTAL: u64 = 512 * 1024 * 1024;
const MOST_ENTRIES: usize = 100;
const PIECE_BYTES: usize = 256 << 10;

/// A file out of an archive. Many are sent at once, to many hosts, and unpacking anew for each of them would cost more than
/// the sending: so the bytes lie in one file without a name, which is gone with the last that holds it.
#[derive(Debug, Clone)]
pub struct UnpackedFile {
    /// Its name, without folders.
    pub name: String,
    /// Number of bytes.
    pub size: u64,
    /// SHA-256 of them.
    pub digest: Digest,
    /// What has its bytes.
    pub file: Arc<File>,
    /// Where in it they begin.
    pub offset: u64,
}

/// Takes the programs (files with an executable bit) out of a gzip-compressed tar archive, in order of name. The archive is
/// read once: what is wrong with its digest comes before everything that may follow from it.
pub(super) fn unpack(item: &Item) -> Result<Vec<UnpackedFile>, BundleError> {
    let mut archive = Digested::open(&item.path).map_err(|source| item.unreadable(source))?;
    let mut scratch = Scratch::new()?;
    let programs = programs(&mut archive, &mut scratch);
    let digest = archive.finish().map_err(|source| item.unreadable(source))?;
    item.expect(digest)?;
    let file = Arc::new(scratch.file);
    let unpacked = |program: Program| {
        let Program { name, size, digest, offset } = program;
        UnpackedFile { name, size, digest, file: Arc::clone(&file), offset }
    };
    let mut programs: Vec<_> = programs.map_err(|fault| fault.of(item))?.into_iter().map(unpacked).collect();
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(twice) = programs.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(wrong(item, &format!("`{}` is in it twice", twice[0].name)));
    }
    Ok(programs)
}

/// What has been unpacked.
struct Program {
    name: String,
    size: u64,
    digest: Digest,
    offset: u64,
}

/// What stopped the unpacking: the archive, or the disk that it is unpacked to.
enum Fault {
    Archive(io::Error),
    Scratch(BundleError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Archive(error)
    }
}

impl Fault {
    fn of(self, item: &Item) -> BundleError {
        match self {
            Self::Archive(error) => wrong(item, &error),
            Self::Scratch(error) => error,
        }
    }
}

fn programs(archive: &mut Digested, scratch: &mut Scratch) -> Result<Vec<Program>, Fault> {
    let bounded = GzDecoder::new(archive).take(LARGEST_TOTAL + 1);
    let (mut programs, mut total) = (Vec::new(), 0);
    for (count, entry) in tar::Archive::new(bounded).entries()?.enumerate() {
        let mut entry = entry?;
        total += entry.header().entry_size()?;
        if count >= MOST_ENTRIES || total > LARGEST_TOTAL {
            return Err(io::Error::other(format!("more than {MOST_ENTRIES} files or {LARGEST_TOTAL} bytes")).into());
        }
        match entry.header().entry_type() {
            tar::EntryType::Directory => {}
            tar::EntryType::Regular if entry.header().mode()? & 0o111 == 0 => {}
            tar::EntryType::Regular => {
                let name = plain_name(&entry.path()?)?;
                programs.push(scratch.keep(name, &mut entry)?);
            }
            other => return Err(io::Error::other(format!("`{}` is a {other:?}", entry.path()?.display())).into()),
        }
    }
    Ok(programs)
}

/// `./bridge` and `bridge` are names; everything deeper or elsewhere is not.
fn plain_name(path: &Path) -> io::Result<String> {
    let inner = path.strip_prefix(".").unwrap_or(path);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = inner.to_str().filter(|name| !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed));
    name.map(str::to_owned).ok_or_else(|| io::Error::other(format!("`{}` is not a plain name", path.display())))
}

fn wrong(item: &Item, reason: &impl ToString) -> BundleError {
    BundleError::Archive { item: item.to_string(), path: item.path.clone(), reason: reason.to_string() }
}

/// The file that programs are unpacked to. It has no name, so that nothing is left however the process ends.
struct Scratch {
    file: File,
    folder: PathBuf,
    length: u64,
    piece: Vec<u8>,
}

impl Scratch {
    fn new() -> Result<Self, BundleError> {
        let folder = scratch_folder();
        let file = tempfile::tempfile_in(&folder).map_err(|source| no_scratch(&folder, source))?;
        Ok(Self { file, folder, length: 0, piece: vec![0; PIECE_BYTES] })
    }

    fn keep(&mut self, name: String, bytes: &mut impl Read) -> Result<Program, Fault> {
        let (offset, mut hash) = (self.length, Sha256::new());
        loop {
            let length = match bytes.read(&mut self.piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let piece = &self.piece[..length];
            hash.update(piece);
            self.file.write_all(piece).map_err(|source| Fault::Scratch(no_scratch(&self.folder, source)))?;
            self.length += length as u64;
        }
        Ok(Program { name, size: self.length - offset, digest: Digest::from_hash(hash.finalize().into()), offset })
    }
}

/// `/tmp` is memory on many machines, `/var/tmp` never.
fn scratch_folder() -> PathBuf {
    let (usual, large) = (std::env::temp_dir(), Path::new("/var/tmp"));
    if usual == Path::new("/tmp") && large.is_dir() { large.to_owned() } else { usual }
}

fn no_scratch(folder: &Path, source: io::Error) -> BundleError {
    BundleError::Disk { operation: "unpacking the CNI plugins below", path: folder.to_owned(), source }
}

/// A file that is digested while it is read.
struct Digested {
    file: File,
    hash: Sha256,
}

impl Digested {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, hash: Sha256::new() })
    }

    /// Reads what is left.
    fn finish(mut self) -> io::Result<Digest> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.read(&mut piece) {
                Ok(0) => return Ok(Digest::from_hash(self.hash.finalize().into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Digested {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

//! An image as one file, in the form of `docker save`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::base::Digest;

const PIECE_BYTES: usize = 256 << 10;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedArchive {
    /// Number of bytes.
    pub size: u64,
    /// SHA-256 of them. The same image under the same names gives the same bytes, whenever and wherever it is saved.
    pub digest: Digest,
}

/// What goes into an archive.
pub(super) struct Contents {
    pub config_digest: Digest,
    pub config: Bytes,
    pub names: Vec<String>,
    /// Names of entries, the lowest layer first; one may stand there twice.
    pub layers: Vec<String>,
    /// Each entry once.
    pub files: Vec<(String, File)>,
}

/// The one entry that is found by its name. Docker and containerd read the others through it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestEntry<'a> {
    config: &'a str,
    repo_tags: &'a [String],
    layers: &'a [String],
}

/// Writes an archive so that its path shows all of it or nothing.
pub(super) fn write(target: &Path, contents: Contents) -> io::Result<SavedArchive> {
    let partial = partial(target);
    remove_leftover(&partial)?;
    let written = write_partial(&partial, contents).and_then(|archive| publish(&partial, target).map(|()| archive));
    if written.is_err() {
        let _the_error_counts = fs::remove_file(&partial);
    }
    written
}

/// The name under which an archive is written.
fn partial(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn remove_leftover(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_partial(path: &Path, contents: Contents) -> io::Result<SavedArchive> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let digesting = Digesting { file, hash: Sha256::new(), length: 0 };
    let mut archive = tar::Builder::new(BufWriter::with_capacity(PIECE_BYTES, digesting));
    let config = format!("{}.json", contents.config_digest.hexadecimal());
    append(&mut archive, &config, contents.config.len() as u64, &*contents.config)?;
    for (name, mut file) in contents.files {
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        append(&mut archive, &name, size, file)?;
    }
    let entry = ManifestEntry { config: &config, repo_tags: &contents.names, layers: &contents.layers };
    let manifest = serde_json::to_vec(&[entry]).map_err(io::Error::other)?;
    append(&mut archive, "manifest.json", manifest.len() as u64, &*manifest)?;
    let Digesting { file, hash, length } =
        archive.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(SavedArchive { size: length, digest: Digest::from_hash(hash.finalize().into()) })
}

fn append(archive: &mut tar::Builder<impl Write>, name: &str, size: u64, bytes: impl io::Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    archive.append_data(&mut header, name, bytes)
}

fn publish(partial: &Path, target: &Path) -> io::Result<()> {
    fs::rename(partial, target)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// A file that is digested while it is written.
struct Digesting {
    file: File,
    hash: Sha256,
    length: u64,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

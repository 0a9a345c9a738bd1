//! The cache.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::DownloadError;
use super::error::failed;
use super::partial::Partial;
use crate::base::Digest;
use crate::web::WebUrl;

const FILES: &str = "sha256";
const PARTIALS: &str = "partial";
const RECORDS: &str = "locks";
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// A folder of files named by their SHA-256, shared by all runs of a person. Every call blocks.
///
/// - `sha256/<digits>`: whole files
/// - `partial/<digits of the address>`: what is not whole yet
/// - `locks/<digits of the address>`: which digest was met under an address first
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// A file in the cache, whose bytes were digested when it was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Number of bytes.
    pub size: u64,
    /// SHA-256 of them.
    pub digest: Digest,
}

/// What the cache has under a digest.
#[derive(Debug)]
pub(super) enum Found {
    /// The file.
    Whole(CachedFile),
    /// Other bytes; they have been thrown away.
    Damaged,
    /// Nothing.
    Nothing,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    url: String,
    digest: Digest,
}

impl Cache {
    /// Makes the folder where there is none, for this person only.
    ///
    /// # Errors
    /// [`DownloadError::Disk`] where that cannot be done.
    pub fn open(folder: &Path) -> Result<Self, DownloadError> {
        for inner in [FILES, PARTIALS, RECORDS] {
            let path = folder.join(inner);
            let made = DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(&path);
            made.map_err(failed("creating", &path))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks for a file and digests it. What has rotted is removed.
    pub(super) fn find(&self, digest: &Digest) -> Result<Found, DownloadError> {
        let path = self.file(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(failed("opening", &path)(error)),
        };
        let (size, found) = measure(file).map_err(failed("reading", &path))?;
        if found == *digest {
            return Ok(Found::Whole(CachedFile { path, size, digest: found }));
        }
        fs::remove_file(&path).map_err(failed("removing", &path))?;
        Ok(Found::Damaged)
    }

    /// Takes what an address has given so far, or a new file; none while another run fetches it.
    pub(super) fn claim(&self, url: &WebUrl) -> Result<Option<Partial>, DownloadError> {
        let path = self.partial(url);
        Partial::claim(&path).map_err(failed("opening", &path))
    }

    /// Where [`Cache::claim`] has the bytes of an address.
    pub(super) fn partial(&self, url: &WebUrl) -> PathBuf {
        self.folder.join(PARTIALS).join(key(url))
    }

    /// Takes a whole file in.
    pub(super) fn keep(&self, partial: &mut Partial) -> Result<CachedFile, DownloadError> {
        let digest = partial.digest();
        let path = self.file(&digest);
        partial.publish(&path).map_err(failed("storing", &path))?;
        Ok(CachedFile { path, size: partial.length(), digest })
    }

    /// The digest that was met under an address, with the file that says so.
    pub(super) fn lock_of(&self, url: &WebUrl) -> Result<Option<(Digest, PathBuf)>, DownloadError> {
        let path = self.record(url);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("reading", &path)(error)),
        };
        let record: Record = serde_json::from_str(&text)
            .map_err(|error| DownloadError::Record { path: path.clone(), reason: error.to_string() })?;
        Ok(Some((record.digest, path)))
    }

    /// Records the digest of an address for good; what is recorded stays.
    pub(super) fn lock(&self, url: &WebUrl, digest: &Digest) -> Result<(), DownloadError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if self.lock_of(url)?.is_some() {
            return Ok(());
        }
        let path = self.record(url);
        // Two runs may write at once, and both write the same.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{count}.new", process::id()));
        let record = Record { url: url.to_string(), digest: digest.clone() };
        let text = serde_json::to_vec(&record)
            .map_err(|error| DownloadError::Record { path: path.clone(), reason: error.to_string() })?;
        write_durably(&unfinished, &text).map_err(failed("writing", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(failed("renaming to", &path))?;
        let folder = self.folder.join(RECORDS);
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", &folder))
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.folder.join(FILES).join(digest.hexadecimal())
    }

    fn record(&self, url: &WebUrl) -> PathBuf {
        self.folder.join(RECORDS).join(key(url))
    }
}

/// Another password is no other file, and no digest of it lies about.
fn key(url: &WebUrl) -> String {
    Digest::of(url.without_login()).hexadecimal().to_owned()
}

fn measure(mut file: File) -> io::Result<(u64, Digest)> {
    let (mut sha256, mut size, mut piece) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((size, Digest::from_hash(sha256.finalize().into()))),
            length => {
                sha256.update(&piece[..length]);
                size += length as u64;
            }
        }
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

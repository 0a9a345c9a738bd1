//! What can go wrong with a download.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::web::{WebError, WebUrl};

/// A file that could not be had. Each names what and where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The site did not answer as sites do.
    #[error("{item}: {source}")]
    Web {
        /// Name and version.
        item: String,
        /// What happened, with the address.
        source: WebError,
    },
    /// The site has no such file for us.
    #[error("{item}: {url} answered {status}: {meaning}")]
    Refused {
        /// Name and version.
        item: String,
        /// Address.
        url: WebUrl,
        /// HTTP status with its name.
        status: String,
        /// What that means, and what to do.
        meaning: &'static str,
    },
    /// The site went on to be busy or broken.
    #[error(
        "{item}: {url} answered {status}, {tries} times in a row; run the command again later, or name another site in `downloads`"
    )]
    Busy {
        /// Name and version.
        item: String,
        /// Address.
        url: WebUrl,
        /// The last HTTP status with its name.
        status: String,
        /// How often it was asked.
        tries: u32,
    },
    /// The checksum's file holds something else.
    #[error(
        "{item}: {url} holds no SHA-256 checksum, but `{excerpt}`: the site does not publish one there, or a proxy or a login page \
         answers in its stead; look at it in a browser"
    )]
    Checksum {
        /// Name and version.
        item: String,
        /// Address of the checksum.
        url: WebUrl,
        /// The beginning of what it holds.
        excerpt: String,
    },
    /// The file is not what it must be.
    #[error(
        "{item}: {url} has {found}, and {witness} says {wanted}; what came was thrown away: find out which of both is right before \
         you run the command again"
    )]
    Digest {
        /// Name and version.
        item: String,
        /// Address.
        url: WebUrl,
        /// Digest that it must have.
        wanted: Digest,
        /// Digest that it has.
        found: Digest,
        /// Who says what it must be.
        witness: String,
    },
    /// The file is a page for people.
    #[error(
        "{item}: {url} is an HTML page (`{excerpt}`), not the file with {wanted} (says {witness}): a proxy or a login page \
         answers in the site's stead; look at it in a browser"
    )]
    Html {
        /// Name and version.
        item: String,
        /// Address.
        url: WebUrl,
        /// The beginning of the page.
        excerpt: String,
        /// Digest that it must have.
        wanted: Digest,
        /// Who says what it must be.
        witness: String,
    },
    /// The file has no end.
    #[error("{item}: {url} is larger than {limit} bytes, which no such file is; look at the address")]
    TooLarge {
        /// Name and version.
        item: String,
        /// Address.
        url: WebUrl,
        /// Most bytes that are taken.
        limit: u64,
    },
    /// The disk is full.
    #[error("{item}: the disk of {} is full{}; make room there, or set XDG_CACHE_HOME to a folder on another disk", folder.display(), still_to_come(.missing))]
    Full {
        /// Name and version.
        item: String,
        /// The cache.
        folder: PathBuf,
        /// Bytes that are still to come, if known.
        missing: Option<u64>,
    },
    /// The disk refused.
    #[error("{operation} {}: {source}; see that the folder is yours, or set XDG_CACHE_HOME to another one", path.display())]
    Disk {
        /// What was being done, in its -ing form.
        operation: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The record of a digest that was met is damaged.
    #[error("{} does not say which digest was met before: {reason}; remove it to trust the site's checksum anew", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Puts operation and path around the system's words.
pub(super) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = path.to_owned();
    move |source| DownloadError::Disk { operation, path, source }
}

fn still_to_come(bytes: &Option<u64>) -> String {
    // Rounded up: room for less would not do.
    let shown = |bytes: &u64| format!(", and {bytes} bytes ({} MiB) are still to come", bytes.div_ceil(1 << 20));
    bytes.as_ref().map(shown).unwrap_or_default()
}

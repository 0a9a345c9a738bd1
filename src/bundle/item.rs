//! One thing that can be sent to a host.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BundleError;
use crate::base::Digest;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// An image archive, as `docker save` writes it.
    Image,
    /// A file.
    File,
}

impl fmt::Display for ItemKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Image => "image",
            Self::File => "file",
        })
    }
}

/// An image archive or a file on this machine, and what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// An image's full name with its tag, or a file's short name such as `kubelet`.
    pub name: String,
    /// Such as `v1.34.1`; of an image, its tag.
    pub version: String,
    /// Where it lies on this machine.
    pub path: PathBuf,
    /// Number of bytes.
    pub size: u64,
    /// SHA-256 of all bytes, as the source says; true only once [`Item::verify`] or a sender has digested them.
    pub digest: Digest,
    /// Of an image: the digest of its configuration, which Docker's classic store reports as the id.
    pub image_id: Option<Digest>,
    /// Where it is from.
    pub source: ItemSource,
}

/// Who gave an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemSource {
    /// A bundle, by its name.
    Bundle(String),
    /// A download site, by the file's address.
    Site(String),
}

impl fmt::Display for ItemSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(name) | Self::Site(name) => formatter.write_str(name),
        }
    }
}

impl Item {
    /// Reads the whole file and compares its digest. Blocks; senders that digest what they send need not call it.
    pub fn verify(&self) -> Result<(), BundleError> {
        let found = self.digest_of_file().map_err(|source| self.unreadable(source))?;
        self.expect(found)
    }

    pub(super) fn expect(&self, found: Digest) -> Result<(), BundleError> {
        if found == self.digest {
            return Ok(());
        }
        Err(BundleError::Digest { item: self.to_string(), path: self.path.clone(), wanted: self.digest.clone(), found })
    }

    pub(super) fn unreadable(&self, source: io::Error) -> BundleError {
        BundleError::Disk { operation: "reading", path: self.path.clone(), source }
    }

    fn digest_of_file(&self) -> io::Result<Digest> {
        let mut file = File::open(&self.path)?;
        let (mut sha256, mut piece) = (Sha256::new(), vec![0; 256 * 1024]);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(Digest::from_hash(sha256.finalize().into())),
                length => sha256.update(&piece[..length]),
            }
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ItemKind::Image => write!(formatter, "image {}", self.name),
            ItemKind::File => write!(formatter, "file {} {}", self.name, self.version),
        }
    }
}

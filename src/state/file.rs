//! Files, directories and links on a host.

use serde::{Deserialize, Serialize};

use super::Component;
use crate::base::{Digest, Secret};

/// A numeric owner and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Owner {
    /// root:root.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text that may be shown in a diff.
    Text(String),
    /// Bytes that may not be shown.
    Secret(Secret),
    /// A large file that lies in a bundle: known here by digest and size only.
    Payload {
        /// SHA-256 of the bytes.
        digest: Digest,
        /// Number of bytes.
        size: u64,
    },
}

impl Content {
    /// SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Text(text) => Digest::of(text),
            Self::Secret(secret) => secret.digest(),
            Self::Payload { digest, .. } => digest.clone(),
        }
    }
}

/// A regular file that a host must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Absolute path.
    pub path: String,
    /// Which component it belongs to.
    pub component: Component,
    /// Owner and group.
    pub owner: Owner,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
}

/// A directory that a host must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectorySpec {
    /// Absolute path.
    pub path: String,
    /// Which component it belongs to.
    pub component: Component,
    /// Owner and group.
    pub owner: Owner,
    /// Permission bits.
    pub mode: u32,
}

/// A symbolic link that a host must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkSpec {
    /// Absolute path.
    pub path: String,
    /// Which component it belongs to.
    pub component: Component,
    /// What it points to, as written.
    pub target: String,
}

/// What was seen at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ObservedEntry {
    /// A regular file.
    File {
        /// Owner and group.
        owner: Owner,
        /// Permission bits.
        mode: u32,
        /// SHA-256 of the bytes.
        digest: Digest,
    },
    /// A directory.
    Directory {
        /// Owner and group.
        owner: Owner,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// What it points to, as written.
        target: String,
    },
    /// A socket, a device or the like.
    Other,
}

//! What can be wrong with a bundle.

use std::path::PathBuf;

use crate::base::Digest;

/// A bundle that cannot be used. Each names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The disk refused.
    #[error("{operation} {path}: {source}", path = path.display())]
    Disk {
        /// What was being done, in its -ing form.
        operation: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The path is no folder with an index.
    #[error("{path} is not a bundle: {reason}; give the folder that holds index.json", path = path.display())]
    NotABundle {
        /// What was given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index is not what the format says.
    #[error("{path}: {reason}; make the bundle again", path = path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// The index is of a later format.
    #[error(
        "{path} has format {found}, and this provision knows format {known}: use a newer provision, or a bundle for this one",
        path = path.display()
    )]
    NewerFormat {
        /// The index.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// Two bundles are for different machines.
    #[error("{path} is for {found}, and the bundles before it are for {wanted}: give bundles of one architecture", path = path.display())]
    Architecture {
        /// The index.
        path: PathBuf,
        /// Its architecture.
        found: String,
        /// The others' architecture.
        wanted: String,
    },
    /// Two bundles give the same thing with other bytes.
    #[error("{item} is in bundle {first} and in bundle {second} with other bytes: give only the one that you trust")]
    Conflict {
        /// Kind, name and version.
        item: String,
        /// A bundle.
        first: String,
        /// Another one.
        second: String,
    },
    /// An item's bytes are not those of the index.
    #[error("{item}: {path} has {found}, and the index says {wanted}; copy or make the bundle again", path = path.display())]
    Digest {
        /// Kind, name and version.
        item: String,
        /// Its file.
        path: PathBuf,
        /// Digest of the index.
        wanted: Digest,
        /// Digest of the file.
        found: Digest,
    },
    /// No bundle has the item.
    #[error("{item} is in no bundle: add it to one, or give the bundle that has it with --bundle")]
    Missing {
        /// Kind, name and version.
        item: String,
    },
    /// A bundle cannot be made in a folder.
    #[error("no bundle can be made in {path}: {reason}", path = path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What is there, and what to do.
        reason: String,
    },
    /// An item cannot stand in an index.
    #[error("{item} cannot be put into a bundle: {reason}")]
    Unfit {
        /// Kind, name and version.
        item: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk is full.
    #[error("the disk of {path} is full: make room and make the bundle again; what is whole in it is kept", path = path.display())]
    DiskFull {
        /// File or directory.
        path: PathBuf,
    },
    /// An archive holds what it should not.
    #[error("{item}: {path}: {reason}; make the bundle again", path = path.display())]
    Archive {
        /// Kind, name and version.
        item: String,
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

//! Generations: each configuration that was aimed at, with what it was made of.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::JournalError;
use super::disk::Disk;
use super::durable::{damaged, failed, read_json};
use crate::base::{Digest, NodeName, RunId};
use crate::state::{ImageReference, ImageStore};

pub(super) const CONFIG_FILE: &str = "cluster.yml";
pub(super) const LOCK_FILE: &str = "lock.json";

/// A generation's number, from 1. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GenerationNumber(pub u32);

impl GenerationNumber {
    /// Reads the name of a generation's folder, or the content of `current`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = Self(text.parse().ok()?);
        (number.0 > 0 && number.to_string() == text).then_some(number)
    }
}

impl fmt::Display for GenerationNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}", self.0)
    }
}

/// One applied or aimed configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub number: GenerationNumber,
    /// The text of `cluster.yml`, byte for byte.
    pub config: String,
    /// What it was made of.
    pub lock: GenerationLock,
}

/// `lock.json`: everything besides `cluster.yml` that the result depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationLock {
    /// Format of this file.
    pub format: u32,
    /// Version of the tool that began it.
    pub tool: String,
    /// The run that began it.
    pub run: RunId,
    /// The generation that was current then; none for the first. The chain of parents is what `rollback` walks.
    pub parent: Option<GenerationNumber>,
    /// The generation that this one goes back to; none on the way forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<GenerationNumber>,
    /// SHA-256 of the `cluster.yml` beside it: half a file would be another cluster.
    pub config: Digest,
    /// The bytes that every node runs.
    pub pins: Pins,
}

/// Images and files by content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Images, at most one of a name in each store.
    pub images: Vec<PinnedImage>,
    /// Files.
    pub files: Vec<PinnedFile>,
    /// Texts of the operator's add-ons beside `cluster.yml`, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addons: Vec<PinnedAddon>,
}

impl Pins {
    /// Whether nodes run the same bytes: the order, and who gave them, do not matter.
    pub fn are_same(&self, other: &Self) -> bool {
        let images = |pins: &Self| -> BTreeSet<_> {
            pins.images.iter().map(|image| (image.store, image.reference.clone(), image.id.clone())).collect()
        };
        let files = |pins: &Self| -> BTreeSet<_> {
            pins.files.iter().map(|file| (file.name.clone(), file.version.clone(), file.digest.clone())).collect()
        };
        self.addons == other.addons && images(self) == images(other) && files(self) == files(other)
    }
}

/// An add-on's text by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedAddon {
    /// Path or address, as `cluster.yml` has it.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// An image by the id that a store has for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedImage {
    /// Which store: the two report different digests of the same image.
    pub store: ImageStore,
    /// Name and tag.
    pub reference: ImageReference,
    /// What the store calls its id.
    pub id: Digest,
    /// Digest of what the registry had under the tag, where a registry was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// Who told it.
    pub origin: Origin,
}

/// A file that hosts get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    /// Such as `kubelet`.
    pub name: String,
    /// Such as `v1.34.1`.
    pub version: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
    /// Who gave it.
    pub origin: Origin,
}

/// Where bytes came from; who gives a bundle vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A bundle, by its name.
    Bundle(String),
    /// A registry, by the name under which the image was asked for.
    Registry(String),
    /// A download site, by the file's address.
    Site(String),
    /// It was on this host already.
    Host(NodeName),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(name) => write!(formatter, "bundle {name}"),
            Self::Registry(name) => write!(formatter, "registry {name}"),
            Self::Site(address) => write!(formatter, "site {address}"),
            Self::Host(node) => write!(formatter, "host {node}"),
        }
    }
}

/// Reads one generation's folder.
pub(super) fn read_generation(
    disk: &dyn Disk,
    folder: &Path,
    number: GenerationNumber,
) -> Result<Generation, JournalError> {
    let config_path = folder.join(CONFIG_FILE);
    let config = disk.read(&config_path).map_err(failed("reading", &config_path))?;
    let config = String::from_utf8(config).map_err(|error| damaged(&config_path, &error))?;
    let lock_path = folder.join(LOCK_FILE);
    let lock: GenerationLock = read_json(disk, &lock_path)?.ok_or_else(|| damaged(&lock_path, &"it is missing"))?;
    if Digest::of(&config) != lock.config {
        return Err(damaged(&config_path, &format!("its bytes are not those that {LOCK_FILE} names")));
    }
    Ok(Generation { number, config, lock })
}

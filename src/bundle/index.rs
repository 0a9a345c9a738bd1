//! `index.json`: reading and checking it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BundleError;
use super::item::{Item, ItemKind, ItemSource};
use crate::base::Digest;
use crate::state::ImageReference;

const FORMAT: u32 = 1;
pub(super) const INDEX: &str = "index.json";
/// A bundle of everything for ten versions has some hundred items; an index larger than this is something else.
const LARGEST_INDEX: u64 = 4 * 1024 * 1024;

/// A checked index: every item exists, lies in the folder and has its size.
pub(super) struct Index {
    pub(super) path: PathBuf,
    pub(super) architecture: String,
    pub(super) items: Vec<Item>,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexFile {
    format: u32,
    pub(super) architecture: String,
    pub(super) items: Vec<IndexItem>,
}

/// One item as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexItem {
    pub(super) kind: ItemKind,
    pub(super) name: String,
    pub(super) version: String,
    /// Below the folder.
    pub(super) path: String,
    pub(super) size: u64,
    #[serde(serialize_with = "bare")]
    pub(super) sha256: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_id: Option<Digest>,
}

/// As `sha256sum` prints it.
fn bare<S: serde::Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(digest.hexadecimal())
}

impl Index {
    /// Reads the index of a bundle's folder and looks at every file that it names.
    pub(super) fn read(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(INDEX);
        let index = IndexFile::read(folder, &path)?;
        let wrong = |reason: String| BundleError::Index { path: path.clone(), reason };
        let bundle = bundle_name(folder);
        let mut items = Vec::with_capacity(index.items.len());
        for item in index.items {
            items.push(item.check(folder, &bundle).map_err(wrong)?);
        }
        Ok(Self { path, architecture: index.architecture, items })
    }
}

impl IndexFile {
    pub(super) fn new(architecture: String, items: Vec<IndexItem>) -> Self {
        Self { format: FORMAT, architecture, items }
    }

    /// Reads an index and believes it.
    pub(super) fn read(folder: &Path, path: &Path) -> Result<Self, BundleError> {
        let text = read_text(folder, path)?;
        let wrong = |error: serde_json::Error| BundleError::Index { path: path.to_owned(), reason: error.to_string() };
        let Format { format } = serde_json::from_str(&text).map_err(wrong)?;
        if format > FORMAT {
            return Err(BundleError::NewerFormat { path: path.to_owned(), found: format, known: FORMAT });
        }
        serde_json::from_str(&text).map_err(wrong)
    }

    /// The file's text: one item a line, so that people can compare two bundles.
    pub(super) fn text(&self) -> Result<String, serde_json::Error> {
        let lines: Result<Vec<String>, _> = self.items.iter().map(serde_json::to_string).collect();
        let (architecture, lines) = (serde_json::to_string(&self.architecture)?, lines?);
        let items = lines.iter().map(|line| format!("\n    {line}")).collect::<Vec<_>>().join(",");
        let Self { format, .. } = self;
        Ok(format!(
            "{{\n  \"format\": {format},\n  \"architecture\": {architecture},\n  \"items\": [{items}\n  ]\n}}\n"
        ))
    }
}

impl IndexItem {
    /// The item, if what is said of it is possible and its file is there.
    pub(super) fn check(self, folder: &Path, bundle: &str) -> Result<Item, String> {
        let path = folder.join(&self.path);
        let item = Item {
            kind: self.kind,
            name: self.name,
            version: self.version,
            path,
            size: self.size,
            digest: self.sha256,
            image_id: self.image_id,
            source: ItemSource::Bundle(bundle.to_owned()),
        };
        let problem = problem_of_name(item.kind, &item.name, &item.version).or_else(|| problem_of_id(&item));
        let problem = problem.or_else(|| problem_of_path(folder, &self.path, item.size));
        problem.map_or(Ok(()), |reason| Err(format!("{item}: {reason}")))?;
        Ok(item)
    }
}

fn read_text(folder: &Path, path: &Path) -> Result<String, BundleError> {
    let not_a_bundle = |reason: String| BundleError::NotABundle { path: folder.to_owned(), reason };
    let metadata = fs::metadata(path).map_err(|error| not_a_bundle(format!("{}: {error}", path.display())))?;
    if metadata.len() > LARGEST_INDEX {
        return Err(not_a_bundle(format!("its {INDEX} is larger than {LARGEST_INDEX} bytes")));
    }
    fs::read_to_string(path).map_err(|source| BundleError::Disk { operation: "reading", path: path.to_owned(), source })
}

pub(super) fn bundle_name(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().unwrap_or(absolute.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Names and versions become parts of paths on hosts, so they hold no more than such parts may.
pub(super) fn problem_of_name(kind: ItemKind, name: &str, version: &str) -> Option<String> {
    let plain = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
        text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(allowed)
    };
    match kind {
        ItemKind::File if !plain(name) => Some(format!("`{name}` is not a name")),
        ItemKind::File if !plain(version) => Some(format!("`{version}` is not a version")),
        ItemKind::Image if version.is_empty() || ImageReference(name.to_owned()).tag() != version => {
            Some(format!("its `version` is `{version}`, which is not its tag"))
        }
        _ => None,
    }
}

fn problem_of_id(item: &Item) -> Option<String> {
    match item.kind {
        ItemKind::File if item.image_id.is_some() => Some("a file has no `image_id`".into()),
        ItemKind::Image if item.image_id.is_none() => Some("its `image_id` is missing".into()),
        _ => None,
    }
}

/// An item is a regular file below the folder, reached through no link: a bundle from elsewhere must not be able to name
/// the operator's own files, which would then be sent to hosts.
fn problem_of_path(folder: &Path, inner: &str, size: u64) -> Option<String> {
    let mut path = folder.to_owned();
    if Path::new(inner).components().any(|component| !matches!(component, Component::Normal(_))) {
        return Some(format!("its path `{inner}` leaves the bundle"));
    }
    for name in Path::new(inner) {
        path.push(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => return Some(format!("`{}` is a link", path.display())),
            Ok(_) => {}
            Err(error) => return Some(format!("`{}`: {error}", path.display())),
        }
    }
    match fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.is_file() => Some(format!("`{}` is not a file", path.display())),
        Ok(metadata) if metadata.len() != size => {
            Some(format!("`{}` has {} bytes, not {size}", path.display(), metadata.len()))
        }
        Ok(_) => None,
        Err(error) => Some(format!("`{}`: {error}", path.display())),
    }
}

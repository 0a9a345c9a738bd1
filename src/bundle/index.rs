//! `index.json`: reading and checking it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::BundleError;
use super::item::{Item, ItemKind};
use crate::base::Digest;
use crate::state::ImageReference;

const FORMAT: u32 = 1;
const INDEX: &str = "index.json";
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexFile {
    #[serde(rename = "format")]
    _format: u32,
    architecture: String,
    items: Vec<IndexItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexItem {
    kind: ItemKind,
    name: String,
    version: String,
    path: String,
    size: u64,
    sha256: Digest,
    image_id: Option<Digest>,
}

impl Index {
    /// Reads the index of a bundle's folder and looks at every file that it names.
    pub(super) fn read(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(INDEX);
        let text = read_text(folder, &path)?;
        let wrong = |reason: String| BundleError::Index { path: path.clone(), reason };
        let Format { format } = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if format > FORMAT {
            return Err(BundleError::NewerFormat { path: path.clone(), found: format, known: FORMAT });
        }
        let index: IndexFile = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let bundle = bundle_name(folder);
        let mut items = Vec::with_capacity(index.items.len());
        for item in index.items {
            items.push(item.check(folder, &bundle).map_err(wrong)?);
        }
        Ok(Self { path, architecture: index.architecture, items })
    }
}

impl IndexItem {
    fn check(self, folder: &Path, bundle: &str) -> Result<Item, String> {
        let path = folder.join(&self.path);
        let item = Item {
            kind: self.kind,
            name: self.name,
            version: self.version,
            path,
            size: self.size,
            digest: self.sha256,
            image_id: self.image_id,
            bundle: bundle.to_owned(),
        };
        let problem = problem_of_name(&item).or_else(|| problem_of_path(folder, &self.path, item.size));
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

fn bundle_name(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().unwrap_or(absolute.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Names and versions become parts of paths on hosts, so they hold no more than such parts may.
fn problem_of_name(item: &Item) -> Option<String> {
    let plain = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
        text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(allowed)
    };
    match item.kind {
        ItemKind::File if !plain(&item.name) => Some(format!("`{}` is not a name", item.name)),
        ItemKind::File if !plain(&item.version) => Some(format!("`{}` is not a version", item.version)),
        ItemKind::File if item.image_id.is_some() => Some("a file has no `image_id`".into()),
        ItemKind::Image if item.image_id.is_none() => Some("its `image_id` is missing".into()),
        ItemKind::Image if item.version.is_empty() || ImageReference(item.name.clone()).tag() != item.version => {
            Some(format!("its `version` is `{}`, which is not its tag", item.version))
        }
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

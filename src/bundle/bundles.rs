//! All bundles of a run as one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::BundleError;
use super::archive::{UnpackedFile, unpack};
use super::index::Index;
use super::item::{Item, ItemKind};
use crate::state::ImageReference;

/// The name of the archive with the CNI plugins.
pub const CNI_PLUGINS: &str = "cni-plugins";

type Key = (ItemKind, String, String);

/// The items of all bundles that were given.
#[derive(Debug, Clone, Default)]
pub struct Bundles {
    architecture: Option<String>,
    items: BTreeMap<Key, Item>,
}

impl Bundles {
    /// Reads the indexes and looks at every file's size; digests are checked when an item is used. The same item in two
    /// bundles is taken from the first.
    ///
    /// # Errors
    /// A folder without an index, an index that says more than the format knows, a file that is missing, has another size or
    /// lies outside, and two bundles that disagree.
    pub fn open(folders: &[PathBuf]) -> Result<Self, BundleError> {
        let mut bundles = Self::default();
        for folder in folders {
            bundles.add(Index::read(folder)?)?;
        }
        Ok(bundles)
    }

    /// An image by its full name with tag.
    pub fn image(&self, reference: &ImageReference) -> Option<&Item> {
        self.items.get(&(ItemKind::Image, reference.0.clone(), reference.tag().to_owned()))
    }

    /// A file by name and version, such as `kubelet` and `v1.34.1`.
    pub fn file(&self, name: &str, version: &str) -> Option<&Item> {
        self.items.get(&(ItemKind::File, name.to_owned(), version.to_owned()))
    }

    /// Every item, images first, by name.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// The machine that the items are for, in Go's words (`amd64`); none without a bundle.
    pub fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    /// The CNI plugins of a version, unpacked into a file without a name, their archive's digest checked. Blocks, and takes about a
    /// second for the published archive: a run that knows the plugins' digests from its generation need not ask.
    pub fn cni_plugins(&self, version: &str) -> Result<Vec<UnpackedFile>, BundleError> {
        let missing = || BundleError::Missing { item: format!("file {CNI_PLUGINS} {version}") };
        unpack(self.file(CNI_PLUGINS, version).ok_or_else(missing)?)
    }

    /// Adds what did not come in a bundle. What a bundle holds already stays.
    pub fn add_item(&mut self, item: Item) -> Result<(), BundleError> {
        self.insert(item)
    }

    fn add(&mut self, index: Index) -> Result<(), BundleError> {
        let wanted = self.architecture.get_or_insert_with(|| index.architecture.clone()).clone();
        if wanted != index.architecture {
            return Err(BundleError::Architecture { path: index.path, found: index.architecture, wanted });
        }
        for item in index.items {
            self.insert(item)?;
        }
        Ok(())
    }

    fn insert(&mut self, item: Item) -> Result<(), BundleError> {
        let key = (item.kind, item.name.clone(), item.version.clone());
        match self.items.get(&key) {
            // Archives of one image made twice may differ in bytes; their configuration's digest is what counts.
            Some(known)
                if known.digest == item.digest || (item.image_id.is_some() && known.image_id == item.image_id) => {}
            Some(known) => {
                let (first, second) = (known.source.to_string(), item.source.to_string());
                return Err(BundleError::Conflict { item: item.to_string(), first, second });
            }
            None => {
                self.items.insert(key, item);
            }
        }
        Ok(())
    }
}

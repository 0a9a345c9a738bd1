//! Making a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::index::{INDEX, IndexFile, IndexItem, bundle_name, problem_of_name};
use super::item::ItemKind;
use super::{BundleError, CNI_PLUGINS};
use crate::base::Digest;
use crate::state::ImageReference;

/// The index of a bundle that is being made: what is whole in it so far. A folder with it may be gone on with.
const UNFINISHED: &str = "index.unfinished.json";
const IMAGES: &str = "images";
const FILES: &str = "files";
/// Ending of what is being written.
const PARTIAL: &str = ".partial";
/// Files that people may want to run where they lie.
const PROGRAMS: [&str; 2] = ["kubelet", "kubectl"];
const PIECE_BYTES: usize = 256 << 10;

type Key = (ItemKind, String, String);

/// A bundle that is being made. Its index is written last, so that what is not whole is no bundle; a second try in the same
/// folder goes on where the first one stopped. All methods read and write on this machine and block.
#[derive(Debug)]
pub struct BundleWriter {
    folder: PathBuf,
    architecture: String,
    /// What an earlier try left and nobody has asked for yet.
    left: BTreeMap<Key, IndexItem>,
    items: BTreeMap<Key, IndexItem>,
    /// Held as long as the bundle is being made.
    _lock: File,
}

impl BundleWriter {
    /// Begins a bundle for an architecture, in Go's words (`amd64`), in a folder that is made if it is not there.
    ///
    /// # Errors
    /// A folder that holds anything but a bundle that was begun for the same architecture, one that another process works in,
    /// and a disk that refuses.
    pub fn create(folder: &Path, architecture: &str) -> Result<Self, BundleError> {
        fs::create_dir_all(folder).map_err(failed("making", folder))?;
        let lock = lock(folder)?;
        let left = match begun(folder)? {
            Some(index) if index.architecture != architecture => {
                let reason =
                    format!("a bundle for {} was begun there; remove it or name another folder", index.architecture);
                return Err(BundleError::Occupied { path: folder.to_owned(), reason });
            }
            Some(index) => index.items.into_iter().map(|item| (key(&item), item)).collect(),
            None => BTreeMap::new(),
        };
        let (folder, architecture) = (folder.to_owned(), architecture.to_owned());
        let writer = Self { folder, architecture, left, items: BTreeMap::new(), _lock: lock };
        writer.note()?;
        for name in [IMAGES, FILES] {
            let path = writer.folder.join(name);
            fs::create_dir_all(&path).map_err(failed("making", &path))?;
        }
        sync(&writer.folder)?;
        Ok(writer)
    }

    /// Takes an image over that an earlier try left; tells whether it is there, has this id, and all its bytes are right.
    pub fn keep_image(&mut self, reference: &ImageReference, image_id: &Digest) -> Result<bool, BundleError> {
        let key = (ItemKind::Image, reference.0.clone(), reference.tag().to_owned());
        self.keep(&key, |item| item.image_id.as_ref() == Some(image_id))
    }

    /// Takes a file over that an earlier try left; tells whether it is there and is these bytes.
    pub fn keep_file(&mut self, name: &str, version: &str, digest: &Digest) -> Result<bool, BundleError> {
        let key = (ItemKind::File, name.to_owned(), version.to_owned());
        self.keep(&key, |item| item.sha256 == *digest)
    }

    /// Where the archive of an image belongs; whoever writes it there calls [`Self::add_image`] then.
    pub fn image_path(&self, reference: &ImageReference) -> PathBuf {
        self.folder.join(self.inner_image_path(reference))
    }

    /// Adds an image whose archive lies at [`Self::image_path`], with the size and digest that its writer told.
    ///
    /// # Errors
    /// A name without a tag, an archive that is not there or has another size, and a disk that refuses.
    pub fn add_image(
        &mut self,
        reference: &ImageReference,
        image_id: &Digest,
        size: u64,
        digest: &Digest,
    ) -> Result<(), BundleError> {
        let path = self.inner_image_path(reference);
        self.add(IndexItem {
            kind: ItemKind::Image,
            name: reference.0.clone(),
            version: reference.tag().to_owned(),
            path,
            size,
            sha256: digest.clone(),
            image_id: Some(image_id.clone()),
        })
    }

    /// Copies a file into the bundle and checks its digest on the way.
    ///
    /// # Errors
    /// A name or version that is none, other bytes than the digest says, and a disk that refuses. Nothing half-copied stays.
    pub fn add_file(&mut self, name: &str, version: &str, source: &Path, digest: &Digest) -> Result<(), BundleError> {
        let item = || format!("{} {name} {version}", ItemKind::File);
        if let Some(reason) = problem_of_name(ItemKind::File, name, version) {
            return Err(BundleError::Unfit { item: item(), reason });
        }
        let path = format!("{FILES}/{}", self.file_name(name, version));
        let target = self.folder.join(&path);
        let mode = if PROGRAMS.contains(&name) { 0o755 } else { 0o644 };
        let partial = partial(&target);
        let copied = copy(source, &partial, mode).and_then(|(size, found)| {
            if found == *digest {
                fs::rename(&partial, &target).map_err(failed("renaming to", &target))?;
                return Ok(size);
            }
            Err(BundleError::Digest { item: item(), path: source.to_owned(), wanted: digest.clone(), found })
        });
        let size = copied.inspect_err(|_| {
            let _the_error_counts = fs::remove_file(&partial);
        })?;
        let (name, version, sha256) = (name.to_owned(), version.to_owned(), digest.clone());
        self.add(IndexItem { kind: ItemKind::File, name, version, path, size, sha256, image_id: None })
    }

    /// Removes what an earlier try left and nobody asked for, writes the index and with it makes the folder a bundle.
    pub fn finish(self) -> Result<(), BundleError> {
        let wanted: BTreeSet<PathBuf> = self.items.values().map(|item| self.folder.join(&item.path)).collect();
        for folder in [IMAGES, FILES].map(|name| self.folder.join(name)) {
            for entry in fs::read_dir(&folder).map_err(failed("listing", &folder))? {
                let path = entry.map_err(failed("listing", &folder))?.path();
                if !wanted.contains(&path) {
                    fs::remove_file(&path).map_err(failed("removing", &path))?;
                }
            }
            sync(&folder)?;
        }
        self.write_index(INDEX, self.items.values())?;
        let unfinished = self.folder.join(UNFINISHED);
        fs::remove_file(&unfinished).map_err(failed("removing", &unfinished))?;
        sync(&self.folder)
    }

    fn keep(&mut self, key: &Key, fits: impl Fn(&IndexItem) -> bool) -> Result<bool, BundleError> {
        if self.items.get(key).is_some_and(&fits) {
            return Ok(true);
        }
        let Some(item) = self.left.get(key).filter(|item| fits(item)).cloned() else { return Ok(false) };
        // Whoever was interrupted may have lost bytes that were not synced, and media fail.
        let Ok(checked) = item.clone().check(&self.folder, &bundle_name(&self.folder)) else { return Ok(false) };
        match checked.verify() {
            Ok(()) => {}
            Err(BundleError::Digest { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.left.remove(key);
        self.items.insert(key.clone(), item);
        Ok(true)
    }

    fn add(&mut self, item: IndexItem) -> Result<(), BundleError> {
        let name = format!("{} {}", item.kind, item.name);
        let checked = item.clone().check(&self.folder, &bundle_name(&self.folder));
        let item_path = self.folder.join(&item.path);
        checked.map_err(|reason| BundleError::Unfit { item: name, reason })?;
        if let Some(folder) = item_path.parent() {
            sync(folder)?;
        }
        self.left.remove(&key(&item));
        self.items.insert(key(&item), item);
        self.note()
    }

    /// Writes down what is whole so far.
    fn note(&self) -> Result<(), BundleError> {
        self.write_index(UNFINISHED, self.items.values().chain(self.left.values()))
    }

    fn write_index<'a>(&self, name: &str, items: impl Iterator<Item = &'a IndexItem>) -> Result<(), BundleError> {
        let path = self.folder.join(name);
        let index = IndexFile::new(self.architecture.clone(), items.cloned().collect());
        let text = index.text().map_err(|error| failed("writing", &path)(io::Error::other(error)))?;
        let partial = partial(&path);
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&partial)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&partial, &path)
        };
        write().map_err(failed("writing", &path))?;
        sync(&self.folder)
    }

    fn inner_image_path(&self, reference: &ImageReference) -> String {
        let plain = reference.0.replace(['/', ':'], "_");
        let path = format!("{IMAGES}/{plain}.tar");
        // `a/b:c` and `a_b:c` are two images.
        let taken = |item: &&IndexItem| item.path.eq_ignore_ascii_case(&path) && item.name != reference.0;
        match self.items.values().chain(self.left.values()).find(taken) {
            Some(_) => format!("{IMAGES}/{plain}-{}.tar", Digest::of(&reference.0).short()),
            None => path,
        }
    }

    /// As upstream calls them.
    fn file_name(&self, name: &str, version: &str) -> String {
        match name {
            CNI_PLUGINS => format!("cni-plugins-linux-{}-{version}.tgz", self.architecture),
            _ => format!("{name}-{version}"),
        }
    }
}

fn key(item: &IndexItem) -> Key {
    (item.kind, item.name.clone(), item.version.clone())
}

/// One process at a time makes a bundle in a folder; the lock goes with the process.
fn lock(folder: &Path) -> Result<File, BundleError> {
    let file = File::open(folder).map_err(failed("opening", folder))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let reason = "another process makes one there; wait for it, or end it".to_owned();
            Err(BundleError::Occupied { path: folder.to_owned(), reason })
        }
        Err(fs::TryLockError::Error(error)) => Err(failed("locking", folder)(error)),
    }
}

/// What an earlier try noted; none in an empty folder.
fn begun(folder: &Path) -> Result<Option<IndexFile>, BundleError> {
    let refused = |reason: &str| BundleError::Occupied { path: folder.to_owned(), reason: reason.to_owned() };
    let (finished, unfinished) = (folder.join(INDEX), folder.join(UNFINISHED));
    let there = |path: &Path| path.try_exists().map_err(failed("looking at", path));
    if there(&finished)? {
        return Err(refused("it is a bundle already; remove it or name another folder"));
    }
    if there(&unfinished)? {
        return IndexFile::read(folder, &unfinished).map(Some);
    }
    let ours = partial(&unfinished);
    for entry in fs::read_dir(folder).map_err(failed("listing", folder))? {
        if entry.map_err(failed("listing", folder))?.path() != ours {
            return Err(refused("it is not empty; name a new folder"));
        }
    }
    Ok(None)
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL);
    name.into()
}

/// Copies, digests and syncs; gives the size.
fn copy(source: &Path, target: &Path, mode: u32) -> Result<(u64, Digest), BundleError> {
    let mut from = File::open(source).map_err(failed("reading", source))?;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(mode);
    let mut to = options.open(target).map_err(failed("writing", target))?;
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let length = from.read(&mut piece).map_err(failed("reading", source))?;
        if length == 0 {
            break;
        }
        hash.update(&piece[..length]);
        size += length as u64;
        to.write_all(&piece[..length]).map_err(failed("writing", target))?;
    }
    to.sync_all().map_err(failed("syncing", target))?;
    Ok((size, Digest::from_hash(hash.finalize().into())))
}

fn sync(folder: &Path) -> Result<(), BundleError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", folder))
}

/// Puts operation and path around the system's words.
fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BundleError::DiskFull { path },
        _ => BundleError::Disk { operation, path, source },
    }
}

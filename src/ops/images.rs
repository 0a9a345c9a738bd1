//! What a cluster needs, for those who mirror it, and bundles made of it.

use std::path::{Path, PathBuf};

use futures::future::join_all;

use crate::base::{Digest, KubernetesVersion};
use crate::bundle::{BundleError, BundleWriter, Item};
use crate::cluster::Cluster;
use crate::desired;
use crate::event::{Event, EventSink};
use crate::registry::ResolvedImage;
use crate::release::Release;
use crate::state::ImageReference;

use super::suppliers::{ARCHITECTURE, NetworkSuppliers, Suppliers, WantedFile};
use super::{Loaded, OperationError};

/// An image that hosts need.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeededImage {
    /// Its name in the release catalog, or in `system_images`.
    pub original: ImageReference,
    /// Where hosts pull it from: the same, or a registry of `private_registries`.
    pub pulled: ImageReference,
}

/// What only some want besides what a cluster needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// kubectl.
    pub kubectl: bool,
    /// The image of `check network`.
    pub network_check: bool,
}

/// The images of this cluster at a version, sorted; `None` means the version of `cluster.yml`.
///
/// # Errors
/// A version that the catalog does not have.
pub fn images(
    loaded: &Loaded,
    version: Option<&KubernetesVersion>,
    extras: Extras,
) -> Result<Vec<NeededImage>, OperationError> {
    let version = version.unwrap_or(&loaded.cluster.version);
    let release = loaded.catalog.release(version).map_err(|error| OperationError::Input(error.to_string()))?;
    let supply = &loaded.cluster.supply;
    let mut named = Release { images: supply.names(&release.images), ..release.clone() };
    let needed = names(&loaded.cluster, &named, extras);
    let mut originals = release.images;
    let mut images: Vec<NeededImage> = Vec::new();
    for ((_, store, name), (key, _, original)) in named.images.rows().into_iter().zip(originals.rows()) {
        if needed.contains(name) {
            let written = supply.images.iter().any(|(written, _)| written == key);
            let original = if written { name.clone() } else { original.clone() };
            images.push(NeededImage { original, pulled: supply.source(store, name) });
        }
    }
    images.sort();
    images.dedup();
    Ok(images)
}

fn names(cluster: &Cluster, release: &Release, extras: Extras) -> Vec<ImageReference> {
    let mut names: Vec<ImageReference> =
        desired::images(cluster, release).into_iter().map(|(_, reference)| reference).collect();
    names.extend(extras.network_check.then(|| release.images.network_check.clone()));
    names.dedup();
    names
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedBundle {
    /// Number of images.
    pub images: usize,
    /// Number of files.
    pub files: usize,
}

/// Makes a bundle of everything that this cluster needs at its version, under the names that its hosts know.
///
/// # Errors
/// Everything that registries and sites do not give, named at once; a folder that holds something else; a full disk. What
/// is whole by then stays, and the next call goes on from there.
pub async fn create_bundle(
    loaded: &Loaded,
    suppliers: &NetworkSuppliers,
    events: &dyn EventSink,
    folder: &Path,
    extras: Extras,
) -> Result<CreatedBundle, OperationError> {
    let mut writer = BundleWriter::create(folder, ARCHITECTURE)?;
    let release = &loaded.release;
    let names = names(&loaded.cluster, release, extras);
    events.emit(Event::Phase { text: format!("asking registries for {} images", names.len()) });
    let resolved = all(join_all(names.iter().map(|name| suppliers.resolve(name))).await)?;
    let files =
        all(join_all(files(release, extras.kubectl).iter().map(|file| suppliers.file(file, None, events))).await)?;
    for (name, image) in names.iter().zip(&resolved) {
        if !writer.keep_image(name, &image.config_digest)? {
            save(suppliers, events, &mut writer, (name, image)).await?;
        }
    }
    for file in &files {
        add_file(&mut writer, file)?;
    }
    writer.finish()?;
    Ok(CreatedBundle { images: names.len(), files: files.len() })
}

fn files(release: &Release, with_kubectl: bool) -> Vec<WantedFile> {
    let program = |name| WantedFile::Kubernetes { name, version: release.version.clone() };
    let mut files = vec![program("kubelet"), WantedFile::CniPlugins(release.cni_plugins.clone())];
    files.extend(with_kubectl.then(|| program("kubectl")));
    files
}

/// All, or every problem at once.
fn all<T>(answers: Vec<Result<T, String>>) -> Result<Vec<T>, OperationError> {
    let (mut good, mut problems) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(value) => good.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(good) } else { Err(OperationError::Supply(problems)) }
}

async fn save(
    suppliers: &NetworkSuppliers,
    events: &dyn EventSink,
    writer: &mut BundleWriter,
    (name, image): (&ImageReference, &ResolvedImage),
) -> Result<(), OperationError> {
    let refused = |problem: String| OperationError::Supply(vec![problem]);
    events.emit(Event::Phase { text: format!("fetching {name} ({} MB)", image.size / 1_000_000) });
    let path: PathBuf = writer.image_path(name);
    let registries = suppliers.registries().await.map_err(refused)?;
    let names = [name.clone()];
    let saved = registries.save(image, &names, &path, &|_| {}).await.map_err(|error| refused(error.to_string()))?;
    Ok(writer.add_image(name, &image.config_digest, saved.size, &saved.digest)?)
}

fn add_file(writer: &mut BundleWriter, file: &Item) -> Result<(), BundleError> {
    let digest: &Digest = &file.digest;
    if writer.keep_file(&file.name, &file.version, digest)? {
        return Ok(());
    }
    writer.add_file(&file.name, &file.version, &file.path, digest)
}

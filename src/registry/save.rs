//! From a registry to a file on this machine.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use futures::stream::{StreamExt as _, TryStreamExt as _, iter};

use super::archive::{Contents, SavedArchive, write};
use super::layer::{Fetching, disk_error};
use super::manifest::LayerKind;
use super::resolved_image::{Layer, ResolvedImage};
use super::{Registries, RegistryError};
use crate::state::ImageReference;

/// As many as Docker pulls at once.
const LAYERS_AT_ONCE: usize = 3;

impl Registries {
    /// Writes an image to a file as `docker save` does, so that Docker from 20.10 and containerd from 1.6 load it: under all the
    /// names given, layers as the registry has them but for zstd, which old engines do not know. Bytes are compared with their
    /// digests on the way. `progress` is told bytes received so far, of [`ResolvedImage::size`]. The target's folder must be there
    /// and have room for twice the image; until everything is whole and synced, the target is as it was.
    ///
    /// # Errors
    /// Every variant of [`RegistryError`] but `Name` and `Architecture`. Nothing half-written stays.
    pub async fn save(
        &self,
        resolved: &ResolvedImage,
        names: &[ImageReference],
        target: &Path,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<SavedArchive, RegistryError> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let client = self.client(&resolved.name);
        let received = AtomicU64::new(resolved.config.len() as u64);
        let fetching = Fetching { client, resolved, folder, received: &received, progress };
        let fetching = &fetching;
        let bring = |layer| async move { Ok::<_, RegistryError>((entry(layer), fetching.layer(layer).await?)) };
        let bringing: Vec<_> =
            unique(&resolved.layers).into_iter().map(|layer| futures::FutureExt::boxed(bring(layer))).collect();
        let bringing = iter(bringing).buffered(LAYERS_AT_ONCE);
        let files: Vec<(String, File)> = bringing.try_collect().await?;
        let contents = Contents {
            config_digest: resolved.config_digest.clone(),
            config: resolved.config.clone(),
            names: names.iter().map(|name| name.0.clone()).collect(),
            layers: resolved.layers.iter().map(entry).collect(),
            files,
        };
        let path = target.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&path, contents)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| disk_error(resolved, "writing", target, error))
    }
}

/// Each layer once, in order.
fn unique(layers: &[Layer]) -> Vec<&Layer> {
    let mut seen = BTreeSet::new();
    layers.iter().filter(|layer| seen.insert(&layer.digest)).collect()
}

/// The name of a layer in the archive.
fn entry(layer: &Layer) -> String {
    match layer.kind {
        LayerKind::Gzip => format!("{}.tar.gz", layer.digest.hexadecimal()),
        LayerKind::Plain | LayerKind::Zstd => format!("{}.tar", layer.diff_id.hexadecimal()),
    }
}

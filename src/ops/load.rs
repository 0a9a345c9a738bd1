//! From the files that the operator named to a checked cluster.

use std::path::{Path, PathBuf};

use crate::cluster::{self, Cluster};
use crate::config;
use crate::journal::{Generation, PinnedImage, Pins};
use crate::release::{Catalog, Images, Release};
use crate::state::{ImageReference, etcd_minor};

use super::OperationError;
use super::addons::Addons;
use super::authorities::{Authorities, read_authorities};
use super::key_files::check_key_files;

/// What the operator named, and the parts of the environment that matter.
#[derive(Debug, Clone)]
pub struct Setup {
    /// `cluster.yml`.
    pub config: PathBuf,
    /// A catalog laid over the built-in one.
    pub catalog: Option<PathBuf>,
    /// The operator's home folder, for `~` in paths.
    pub home: PathBuf,
}

impl Setup {
    /// The state folder beside `cluster.yml`.
    pub fn state_folder(&self) -> PathBuf {
        crate::journal::state_path(&self.config)
    }

    /// The file of known SSH host keys beside `cluster.yml`.
    pub fn known_hosts(&self) -> PathBuf {
        self.config.with_extension("known_hosts")
    }
}

/// A cluster that passed all checks which need no host.
#[derive(Debug)]
pub struct Loaded {
    /// The text of `cluster.yml`.
    pub text: String,
    /// What it means.
    pub cluster: Cluster,
    /// The catalog's row for its version.
    pub release: Release,
    /// The operator's add-ons beside the file.
    pub addons: Addons,
    /// Certificates of authorities that it names.
    pub authorities: Authorities,
    /// The versions that can be asked for.
    pub catalog: Catalog,
    /// Advice that does not stop a run, rendered.
    pub advice: Vec<String>,
}

/// Reads, parses, checks. All findings come at once. Add-ons at sites are still to be fetched: `fetch_addons`.
pub fn load(setup: &Setup) -> Result<Loaded, OperationError> {
    load_bytes(setup, &read(&setup.config)?, &setup.config.display().to_string(), None)
}

/// Reads the configuration of a generation as it was applied, with the images of then: those that the catalog names may be
/// others by now. Paths in it count from `cluster.yml`, as they did then.
///
/// # Errors
///
/// As for [`load`]; an add-on beside `cluster.yml` that has changed since is named, because its text of then is gone.
pub fn load_generation(setup: &Setup, generation: &Generation) -> Result<Loaded, OperationError> {
    let origin = format!("cluster.yml of generation {}", generation.number);
    load_bytes(setup, generation.config.as_bytes(), &origin, Some(&generation.lock.pins))
}

fn load_bytes(setup: &Setup, bytes: &[u8], origin: &str, pins: Option<&Pins>) -> Result<Loaded, OperationError> {
    let catalog = catalog(setup)?;
    let input = |findings: config::Findings| OperationError::Input(findings.to_string());
    let base = setup.config.parent().unwrap_or(Path::new("")).to_owned();
    let context = cluster::Context { home: setup.home.clone(), base };
    let cluster::Loaded { config, mut cluster, includes, advice } =
        cluster::load(bytes, origin, &catalog, &context).map_err(input)?;
    let authorities = match (check_key_files(&cluster, &config), read_authorities(&cluster, &config)) {
        (Ok(()), Ok(authorities)) => authorities,
        (Err(findings), Ok(_)) | (Ok(()), Err(findings)) => return Err(input(findings)),
        (Err(findings), Err(more)) => return Err(input(findings.and(more))),
    };
    let names = |images: &Images| pins.into_iter().fold(cluster.supply.names(images), as_pinned);
    let release = catalog.release_named(&cluster.version, names);
    let release = release.map_err(|error| OperationError::Input(error.to_string()))?;
    let addons = Addons::read(config, includes).map_err(input)?;
    cluster.addons = addons.objects(&cluster, &release)?;
    let text = String::from_utf8_lossy(bytes).into_owned();
    Ok(Loaded { text, cluster, release, addons, authorities, catalog, advice })
}

/// Each image that a generation has of the same name in the same store, with the tag of then.
fn as_pinned(mut images: Images, pins: &Pins) -> Images {
    for (key, store, image) in images.rows() {
        let is_another = |pin: &&PinnedImage| pin.store == store && pin.reference.repository() == image.repository();
        let mut pinned = pins.images.iter().filter(is_another).map(|pin| &pin.reference);
        // Canal's objects are those of the catalog's line of Calico, and its images with them. An older minor of etcd does not
        // read what a newer one has written.
        let is_apart = |only: &ImageReference| {
            key.starts_with("canal_") || (key == "etcd" && etcd_minor(only.tag()) != etcd_minor(image.tag()))
        };
        match (pinned.next(), pinned.next()) {
            (Some(only), None) if !is_apart(only) => *image = only.clone(),
            _ => {}
        }
    }
    images
}

fn read(path: &Path) -> Result<Vec<u8>, OperationError> {
    std::fs::read(path).map_err(|source| OperationError::LocalFile { operation: "reading", path: path.into(), source })
}

/// The versions that can be asked for: the built-in ones, and those that the operator has laid over them.
pub fn catalog(setup: &Setup) -> Result<Catalog, OperationError> {
    let wrong = |error: crate::release::CatalogError| OperationError::Input(error.to_string());
    let shipped = Catalog::shipped().map_err(wrong)?;
    let Some(path) = setup.catalog.as_deref() else { return Ok(shipped) };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    shipped.with_overlay(&text).map_err(wrong)
}

/// Reads a configuration that was applied once; none if this version no longer understands it.
pub(super) fn cluster_of(text: &str, catalog: &Catalog) -> Option<Cluster> {
    let context = cluster::Context { home: PathBuf::new(), base: PathBuf::new() };
    cluster::load(text.as_bytes(), "cluster.yml", catalog, &context).ok().map(|loaded| loaded.cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, KubernetesVersion};
    use crate::journal::Origin;
    use crate::state::ImageStore;

    #[test]
    fn a_generation_has_the_images_of_then_whatever_the_catalog_names_by_now() {
        let pin = |store, reference: &str| PinnedImage {
            store,
            reference: ImageReference(reference.into()),
            id: Digest::of(reference),
            manifest: None,
            origin: Origin::Registry(reference.into()),
        };
        let version = KubernetesVersion::parse("v1.24.17").unwrap();
        let today = Catalog::shipped().unwrap().release(&version).unwrap().images;
        let images = vec![
            pin(ImageStore::Docker, "registry.k8s.io/etcd:3.5.21-0"),
            pin(ImageStore::Docker, "registry.k8s.io/pause:3.6"),
            pin(ImageStore::Containerd, "registry.k8s.io/coredns/coredns:v1.9.3"),
            pin(ImageStore::Containerd, "docker.io/calico/node:v3.20.0"),
            pin(ImageStore::Docker, "site.example/haproxy:2.6.12"),
        ];
        let mut wanted = today.clone();
        wanted.etcd.0 = "registry.k8s.io/etcd:3.5.21-0".into();
        wanted.coredns.0 = "registry.k8s.io/coredns/coredns:v1.9.3".into();
        let pins = Pins { images, ..Pins::default() };
        assert_eq!(as_pinned(today.clone(), &pins), wanted);

        let mut newer = today;
        newer.etcd.0 = "registry.k8s.io/etcd:3.6.4-0".into();
        assert_eq!(as_pinned(newer.clone(), &pins).etcd, newer.etcd, "its data cannot be read by 3.5");
    }
}

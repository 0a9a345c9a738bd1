//! Which bytes every node runs: what the generation has locked, else what a bundle says, else what hosts hold.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::bundle::{Bundles, CNI_PLUGINS, Item, ItemSource, UnpackedFile};
use crate::cluster::Supply;
use crate::desired::{PayloadPin, Pins, cni_program_path};
use crate::host::{Payload, Pull, RegistryLogin, Transfer};
use crate::journal::{self, Origin, PinnedFile, PinnedImage};
use crate::plan::Sources;
use crate::release::Release;
use crate::state::{HostSnapshot, ImageReference, ImageStore, Observed, ObservedEntry, ObservedHost};

use super::OperationError;
use super::suppliers::OfferedImage;
use super::supply::{Offered, offered_id};

/// The name below which the catalog and the generation keep CNI programs.
pub(super) const CNI: &str = "cni/";

/// Pins with their origins, and where the bytes are that hosts may lack.
#[derive(Debug, Default)]
pub struct Resolved {
    /// For the generation.
    pub record: journal::Pins,
    /// For rendering.
    pub pins: Pins,
    /// For sending.
    pub sources: Sources,
}

/// Everything that pins are made from.
pub struct PinInput<'a> {
    pub release: &'a Release,
    pub locked: Option<&'a journal::Pins>,
    pub bundles: &'a Bundles,
    pub observed: &'a Observed,
    /// The CNI plugins, where they were unpacked while the hosts were being looked at.
    pub unpacked: Option<Vec<UnpackedFile>>,
    /// What registries have of what hosts lack.
    pub offered: &'a Offered,
    /// As whom hosts pull.
    pub supply: &'a Supply,
    pub images: Vec<(ImageStore, ImageReference)>,
}

/// Resolves all pins. What nobody can tell stays out; rendering or planning names it.
pub fn resolve(input: &PinInput<'_>) -> Result<Resolved, OperationError> {
    let mut resolved = Resolved::default();
    for (store, reference) in &input.images {
        if let Some(pin) = image(input, *store, reference) {
            resolved.pins.images.insert((*store, reference.clone()), pin.id.clone());
            if let Some(offered) = input.offered.get(&(*store, reference.clone())) {
                let pull = pull(input.supply, &pin, offered);
                resolved.sources.pulls.insert((*store, reference.clone()), pull);
            }
            resolved.record.images.push(pin);
        }
        if let Some(item) = input.bundles.image(reference) {
            resolved.sources.images.insert(reference.clone(), transfer(item));
        }
    }
    kubelet(input, &mut resolved);
    cni(input, &mut resolved)?;
    Ok(resolved)
}

pub(super) fn transfer(item: &Item) -> Transfer {
    Transfer { source: Payload::File(item.path.clone()), size: item.size, digest: item.digest.clone() }
}

fn pull(supply: &Supply, pin: &PinnedImage, offered: &OfferedImage) -> Pull {
    let stand_in = supply.stand_in(&pin.reference).filter(|_| pin.store == ImageStore::Containerd);
    let registry = stand_in.or_else(|| supply.registry(pin.reference.domain()));
    let login = registry.and_then(|registry| registry.credentials.as_ref());
    Pull {
        store: pin.store,
        reference: pin.reference.clone(),
        id: pin.id.clone(),
        manifest: offered.manifest.clone(),
        size: offered.size,
        login: login.map(|(user, password)| RegistryLogin { user: user.clone(), password: password.clone() }),
        timeout_seconds: supply.downloads.timeout_seconds,
    }
}

fn image(input: &PinInput<'_>, store: ImageStore, reference: &ImageReference) -> Option<PinnedImage> {
    let locked = input.locked.into_iter().flat_map(|pins| &pins.images);
    let locked = locked.into_iter().find(|pin| pin.store == store && pin.reference == *reference);
    if let Some(pin) = locked {
        return Some(pin.clone());
    }
    let pin = |id, manifest, origin| PinnedImage { store, reference: reference.clone(), id, manifest, origin };
    let bundled = input.bundles.image(reference).filter(|_| store == ImageStore::Docker);
    if let Some((id, item)) = bundled.and_then(|item| Some((item.image_id.clone()?, item))) {
        return Some(pin(id, None, origin(item)));
    }
    if let Some(offered) = input.offered.get(&(store, reference.clone())) {
        let origin = Origin::Registry(reference.0.clone());
        return Some(pin(offered_id(store, offered).clone(), Some(offered.manifest.clone()), origin));
    }
    input.observed.hosts.iter().find_map(|(node, host)| {
        let ObservedHost::Reached(snapshot) = host else { return None };
        let id = store_of(snapshot, store).get(reference)?;
        Some(pin(id.clone(), None, Origin::Host(node.clone())))
    })
}

pub(super) fn store_of(snapshot: &HostSnapshot, store: ImageStore) -> &BTreeMap<ImageReference, Digest> {
    match store {
        ImageStore::Docker => &snapshot.docker_images,
        ImageStore::Containerd => &snapshot.containerd_images,
    }
}

fn kubelet(input: &PinInput<'_>, resolved: &mut Resolved) {
    let version = input.release.version.to_string();
    let item = input.bundles.file("kubelet", &version);
    let locked = locked_files(input).find(|file| file.name == "kubelet" && file.version == version).cloned();
    let offered = item.map(|item| PinnedFile {
        name: "kubelet".into(),
        version: version.clone(),
        digest: item.digest.clone(),
        size: item.size,
        origin: origin(item),
    });
    if let Some(item) = item {
        resolved.sources.files.insert(item.digest.clone(), transfer(item));
    }
    if let Some(file) = locked.or(offered) {
        keep_file(resolved, file);
    }
}

fn locked_files<'a>(input: &PinInput<'a>) -> impl Iterator<Item = &'a PinnedFile> {
    input.locked.into_iter().flat_map(|pins| &pins.files)
}

fn keep_file(resolved: &mut Resolved, file: PinnedFile) {
    let pin = PayloadPin { digest: file.digest.clone(), size: file.size };
    resolved.pins.files.insert(file.name.clone(), pin);
    resolved.record.files.push(file);
}

/// The archive is unpacked only where its list is unknown or a host lacks a program or has another one: it costs a second and 100 MB of disk.
fn cni(input: &PinInput<'_>, resolved: &mut Resolved) -> Result<(), OperationError> {
    let version = &input.release.cni_plugins;
    let locked: Vec<PinnedFile> =
        locked_files(input).filter(|file| file.name.starts_with(CNI) && file.version == *version).cloned().collect();
    let bundled = input.bundles.file(CNI_PLUGINS, version);
    let complete = !locked.is_empty() && everywhere(input.observed, &locked);
    let unpacked = match (bundled, &input.unpacked) {
        (Some(_), Some(unpacked)) if !complete => unpacked.clone(),
        (Some(_), None) if !complete => input.bundles.cni_plugins(version)?,
        _ => Vec::new(),
    };
    let origin = bundled.map(origin);
    let offered = unpacked.iter().filter_map(|file| Some(pinned_program(file, version, origin.clone()?)));
    let files: Vec<PinnedFile> = if locked.is_empty() { offered.collect() } else { locked };
    files.into_iter().for_each(|file| keep_file(resolved, file));
    archive(input, resolved);
    for UnpackedFile { name, size, digest, file, offset } in unpacked {
        let source = Payload::Part { name: format!("{name} out of {CNI_PLUGINS} {version}"), file, offset };
        resolved.sources.files.insert(digest.clone(), Transfer { source, size, digest });
    }
    Ok(())
}

/// The archive itself is locked too: a host that joins later gets its programs out of the same one.
fn archive(input: &PinInput<'_>, resolved: &mut Resolved) {
    let version = &input.release.cni_plugins;
    let locked = locked_files(input).find(|file| file.name == CNI_PLUGINS && file.version == *version).cloned();
    let offered = input.bundles.file(CNI_PLUGINS, version).map(|item| PinnedFile {
        name: CNI_PLUGINS.into(),
        version: version.clone(),
        digest: item.digest.clone(),
        size: item.size,
        origin: origin(item),
    });
    resolved.record.files.extend(locked.or(offered));
}

fn origin(item: &Item) -> Origin {
    match &item.source {
        ItemSource::Bundle(name) => Origin::Bundle(name.clone()),
        ItemSource::Site(address) => Origin::Site(address.clone()),
    }
}

fn pinned_program(file: &UnpackedFile, version: &str, origin: Origin) -> PinnedFile {
    PinnedFile {
        name: format!("{CNI}{}", file.name),
        version: version.to_owned(),
        digest: file.digest.clone(),
        size: file.size,
        origin,
    }
}

/// Whether every host that was reached has these CNI programs.
pub(super) fn everywhere(observed: &Observed, programs: &[PinnedFile]) -> bool {
    let path = |file: &PinnedFile| cni_program_path(file.name.trim_start_matches(CNI));
    programs.iter().all(|file| is_everywhere(observed, &path(file), &file.digest))
}

/// Whether every host that was reached has these bytes at a path.
pub(super) fn is_everywhere(observed: &Observed, path: &str, wanted: &Digest) -> bool {
    observed.hosts.values().all(|host| {
        let ObservedHost::Reached(snapshot) = host else { return true };
        matches!(snapshot.entries.get(path), Some(ObservedEntry::File { digest, .. }) if digest == wanted)
    })
}

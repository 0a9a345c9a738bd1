//! Which bytes every node runs: what the generation has locked, else what a bundle says, else what hosts hold.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::bundle::{Bundles, Item, UnpackedFile};
use crate::desired::{PayloadPin, Pins};
use crate::host::{Payload, Transfer};
use crate::journal::{self, Origin, PinnedFile, PinnedImage};
use crate::plan::Sources;
use crate::release::Release;
use crate::state::{HostSnapshot, ImageReference, ImageStore, Observed, ObservedEntry, ObservedHost};

use super::OperationError;

/// The name below which the catalog and the generation keep CNI programs.
const CNI: &str = "cni/";

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
    pub images: Vec<(ImageStore, ImageReference)>,
}

/// Resolves all pins. What nobody can tell stays out; rendering or planning names it.
pub fn resolve(input: &PinInput<'_>) -> Result<Resolved, OperationError> {
    let mut resolved = Resolved::default();
    for (store, reference) in &input.images {
        if let Some((id, origin)) = image(input, *store, reference) {
            resolved.pins.images.insert((*store, reference.clone()), id.clone());
            let image = PinnedImage { store: *store, reference: reference.clone(), id, manifest: None, origin };
            resolved.record.images.push(image);
        }
        if let Some(item) = input.bundles.image(reference) {
            resolved.sources.images.insert(reference.clone(), transfer(item));
        }
    }
    kubelet(input, &mut resolved);
    cni(input, &mut resolved)?;
    Ok(resolved)
}

fn transfer(item: &Item) -> Transfer {
    Transfer { source: Payload::File(item.path.clone()), size: item.size, digest: item.digest.clone() }
}

fn image(input: &PinInput<'_>, store: ImageStore, reference: &ImageReference) -> Option<(Digest, Origin)> {
    let locked = input.locked.into_iter().flat_map(|pins| &pins.images);
    let locked = locked.into_iter().find(|pin| pin.store == store && pin.reference == *reference);
    if let Some(pin) = locked {
        return Some((pin.id.clone(), pin.origin.clone()));
    }
    let bundled = input.bundles.image(reference).filter(|_| store == ImageStore::Docker);
    if let Some((id, item)) = bundled.and_then(|item| Some((item.image_id.clone()?, item))) {
        return Some((id, Origin::Bundle(item.bundle.clone())));
    }
    input.observed.hosts.iter().find_map(|(node, host)| {
        let ObservedHost::Reached(snapshot) = host else { return None };
        let id = store_of(snapshot, store).get(reference)?;
        Some((id.clone(), Origin::Host(node.clone())))
    })
}

fn store_of(snapshot: &HostSnapshot, store: ImageStore) -> &BTreeMap<ImageReference, Digest> {
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
        origin: Origin::Bundle(item.bundle.clone()),
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
    let bundled = input.bundles.file("cni-plugins", version);
    let complete = !locked.is_empty() && everywhere(input.observed, &locked);
    let unpacked = match (bundled, &input.unpacked) {
        (Some(_), Some(unpacked)) if !complete => unpacked.clone(),
        (Some(_), None) if !complete => input.bundles.cni_plugins(version)?,
        _ => Vec::new(),
    };
    let origin = bundled.map(|item| Origin::Bundle(item.bundle.clone()));
    let offered = unpacked.iter().filter_map(|file| Some(pinned_program(file, version, origin.clone()?)));
    let files: Vec<PinnedFile> = if locked.is_empty() { offered.collect() } else { locked };
    files.into_iter().for_each(|file| keep_file(resolved, file));
    for UnpackedFile { name, size, digest, file, offset } in unpacked {
        let source = Payload::Part { name: format!("{name} out of cni-plugins {version}"), file, offset };
        resolved.sources.files.insert(digest.clone(), Transfer { source, size, digest });
    }
    Ok(())
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

fn everywhere(observed: &Observed, files: &[PinnedFile]) -> bool {
    observed.hosts.values().all(|host| {
        let ObservedHost::Reached(snapshot) = host else { return true };
        files.iter().all(|file| {
            let path = format!("/opt/cni/bin/{}", file.name.trim_start_matches(CNI));
            matches!(snapshot.entries.get(&path), Some(ObservedEntry::File { digest, .. }) if *digest == file.digest)
        })
    })
}

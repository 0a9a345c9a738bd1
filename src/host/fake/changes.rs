//! What each change does to a fake host.

use std::os::unix::fs::FileExt as _;

use crate::base::{Digest, Epoch, NodeName};
use crate::host::{Change, HostError, Payload, Pull, Transfer, request};
use crate::state::{
    ContainerSpec, Content, DirectorySpec, FileSpec, ImageReference, ImageStore, LinkSpec, ObservedContainer,
    ObservedEntry, Owner,
};

use super::machine::Machine;
use super::process::Moment;
use super::{snapshots, swaps};

/// Why a host refuses, in its words.
type Refusal = String;

/// Makes a change, or half of one that has parts when the process dies within it.
pub(super) fn make(
    node: &NodeName,
    machine: &mut Machine,
    epoch: Epoch,
    change: &Change,
    death: Option<Moment>,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), HostError> {
    let refused = |reason| HostError::Refused { host: node.clone(), operation: request::describe(change), reason };
    // What the door cannot say, the fake must not understand.
    let for_engines = matches!(
        change,
        Change::LoadImage { store: ImageStore::Docker, .. }
            | Change::PullImage(_)
            | Change::CreateContainer(_)
            | Change::StartContainer(_)
            | Change::StopContainer(_)
            | Change::RemoveContainer(_)
            | Change::SuspendContainer(_)
            | Change::ResumeContainer(_)
    );
    if !for_engines {
        request::encode(epoch, change).map_err(refused)?;
    }
    if let Change::Send { payload, .. } | Change::LoadImage { payload, .. } = change {
        let bytes = bytes_of(node, payload)?;
        progress(payload.size);
        return transfer(machine, change, bytes).map_err(refused);
    }
    let half = death == Some(Moment::Within);
    if let Change::Swap(swap) = change {
        return swaps::replace(node, machine, swap, half);
    }
    apply(machine, change, half).map_err(refused)
}

/// The first half, rounded down, or all.
fn part<T>(items: &[T], half: bool) -> &[T] {
    if half { &items[..items.len() / 2] } else { items }
}

fn apply(machine: &mut Machine, change: &Change, half: bool) -> Result<(), Refusal> {
    match change {
        Change::InstallPackages(names) => part(names, half).iter().for_each(|name| machine.install(name)),
        Change::MakeUser { name, owner } => make_account(machine, name, *owner)?,
        Change::Write { directories, files, links } => put(machine, (directories, files, links), half)?,
        Change::LoadModules(names) => {
            for name in part(names, half)
                .iter()
                .filter(|name| !machine.state.modules.contains(name))
                .cloned()
                .collect::<Vec<_>>()
            {
                machine.state.modules.push(name);
            }
        }
        Change::SetSysctls(settings) => machine.state.sysctls.extend(settings.clone()),
        Change::CreateContainer(spec) => create(machine, spec)?,
        Change::StartContainer(name) => start(machine, name)?,
        Change::StopContainer(name) => stop(machine, name),
        Change::RemoveContainer(name) => remove_container(machine, name)?,
        Change::Units { enable, start, restart } => {
            part(enable, half).iter().try_for_each(|unit| with_unit(machine, unit, true, false))?;
            part(start, half).iter().try_for_each(|unit| with_unit(machine, unit, false, true))?;
            part(restart, half).iter().try_for_each(|unit| with_unit(machine, unit, false, true))?;
        }
        Change::Remove(paths) => {
            for path in part(paths, half) {
                if matches!(machine.state.entries.get(path), Some(ObservedEntry::Directory { .. })) {
                    return Err(format!("rm: cannot remove '{path}': Is a directory"));
                }
                machine.remove(path);
            }
        }
        Change::PullImage(pull) => pull_image(machine, pull),
        Change::Settle(name) => swaps::settle(machine, name),
        Change::SuspendContainer(name) => snapshots::suspend(machine, name, half),
        Change::ResumeContainer(name) => snapshots::resume(machine, name, half)?,
        Change::SaveSnapshot(save) => snapshots::save(machine, save, half)?,
        Change::VerifySnapshot(check) => snapshots::verify(machine, check)?,
        Change::PrepareRestore(restore) => snapshots::prepare(machine, restore, half)?,
        Change::RestoreSnapshot(prepared) => snapshots::restore(machine, prepared, half)?,
        Change::DiscardRestore(stamp) => snapshots::discard(machine, stamp)?,
        Change::Send { .. } | Change::LoadImage { .. } | Change::Swap(_) => {}
    }
    Ok(())
}

/// One after the other, as the archive has them: a cut leaves the first of all.
pub(super) fn put(
    machine: &mut Machine,
    (directories, files, links): (&[DirectorySpec], &[FileSpec], &[LinkSpec]),
    half: bool,
) -> Result<(), Refusal> {
    let all = directories.len() + files.len() + links.len();
    let left = if half { all / 2 } else { all };
    for folder in directories.iter().take(left) {
        machine.add_parents(&folder.path);
        machine.add_folder(&folder.path, folder.owner, folder.mode);
    }
    let left = left.saturating_sub(directories.len());
    for file in files.iter().take(left) {
        write(machine, file)?;
    }
    for link in links.iter().take(left.saturating_sub(files.len())) {
        check_place(machine, &link.path)?;
        machine.add_parents(&link.path);
        machine.add_link(&link.path, &link.target);
    }
    Ok(())
}

fn pull_image(machine: &mut Machine, pull: &Pull) {
    let images = match pull.store {
        ImageStore::Docker => &mut machine.state.docker_images,
        ImageStore::Containerd => &mut machine.state.containerd_images,
    };
    images.insert(pull.reference.clone(), pull.id.clone());
}

fn make_account(machine: &mut Machine, name: &str, owner: Owner) -> Result<(), Refusal> {
    if machine.accounts.contains_key(name) {
        return Ok(());
    }
    if machine.accounts.values().any(|other| other.uid == owner.uid) {
        return Err(format!("useradd: UID {} is not unique", owner.uid));
    }
    machine.accounts.insert(name.to_owned(), owner);
    Ok(())
}

fn check_place(machine: &Machine, path: &str) -> Result<(), Refusal> {
    match machine.state.entries.get(path) {
        Some(ObservedEntry::Directory { .. }) => Err(format!("{path} is a directory")),
        _ => Ok(()),
    }
}

pub(super) fn write(machine: &mut Machine, file: &FileSpec) -> Result<(), Refusal> {
    check_place(machine, &file.path)?;
    let bytes = match &file.content {
        Content::Text(text) => text.as_bytes(),
        Content::Secret(secret) => secret.expose(),
        Content::Payload { .. } => return Err(format!("{} is too large to be written: it is sent", file.path)),
    };
    machine.add_parents(&file.path);
    machine.add_file(&file.path, file.owner, file.mode, bytes);
    Ok(())
}

pub(super) fn with_unit(machine: &mut Machine, name: &str, enable: bool, start: bool) -> Result<(), Refusal> {
    if start && name == "docker.service" {
        let driver = machine.cgroup_driver();
        if let Some(docker) = &mut machine.state.facts.docker {
            (docker.cgroup_driver, docker.running) = (driver, true);
        }
    }
    let unit = machine.state.units.get_mut(name).ok_or_else(|| format!("Unit {name} not found."))?;
    unit.enabled |= enable;
    if start {
        unit.active = "active".into();
    }
    Ok(())
}

/// What is sent, if it is what was promised.
fn bytes_of(node: &NodeName, payload: &Transfer) -> Result<Vec<u8>, HostError> {
    let (bytes, path) = match &payload.source {
        Payload::Bytes(bytes) => (bytes.to_vec(), "memory".to_owned()),
        Payload::File(path) => {
            let text = path.display().to_string();
            let read = std::fs::read(path);
            let bytes =
                read.map_err(|source| HostError::LocalFile { host: node.clone(), path: text.clone(), source })?;
            (bytes, text)
        }
        Payload::Part { name, file, offset } => {
            let mut bytes = vec![0; usize::try_from(payload.size).unwrap_or(usize::MAX)];
            let local = |source| HostError::LocalFile { host: node.clone(), path: name.clone(), source };
            file.read_exact_at(&mut bytes, *offset).map_err(local)?;
            (bytes, name.clone())
        }
    };
    let digest = Digest::of(&bytes);
    if bytes.len() as u64 == payload.size && digest == payload.digest {
        return Ok(bytes);
    }
    let reason = format!("its digest is {digest} instead of {}", payload.digest);
    Err(HostError::LocalContent { host: node.clone(), path, reason })
}

fn transfer(machine: &mut Machine, change: &Change, bytes: Vec<u8>) -> Result<(), Refusal> {
    match change {
        Change::Send { path, owner, mode, .. } => {
            check_place(machine, path)?;
            machine.add_parents(path);
            machine.add_file(path, *owner, *mode, &bytes);
            Ok(())
        }
        Change::LoadImage { store, reference, id, .. } => load(machine, *store, reference, id.as_ref(), &bytes),
        _ => Ok(()),
    }
}

/// A fake cannot look into an archive: the id that is expected is taken for the one that is in it.
fn load(
    machine: &mut Machine,
    store: ImageStore,
    reference: &ImageReference,
    id: Option<&Digest>,
    bytes: &[u8],
) -> Result<(), Refusal> {
    let digest = id.cloned().unwrap_or_else(|| Digest::of(bytes));
    let facts = &machine.state.facts;
    let (there, images) = match store {
        ImageStore::Docker => (docker_runs(machine), &mut machine.state.docker_images),
        ImageStore::Containerd => (facts.containerd_version.is_some(), &mut machine.state.containerd_images),
    };
    if !there {
        return Err(format!("{store} is not there"));
    }
    images.insert(reference.clone(), digest);
    Ok(())
}

fn docker_runs(machine: &Machine) -> bool {
    machine.state.facts.docker.as_ref().is_some_and(|docker| docker.running)
}

fn create(machine: &mut Machine, spec: &ContainerSpec) -> Result<(), Refusal> {
    create_as(machine, spec, &spec.name)
}

pub(super) fn create_as(machine: &mut Machine, spec: &ContainerSpec, name: &str) -> Result<(), Refusal> {
    if !docker_runs(machine) {
        return Err("Docker is not there".into());
    }
    match machine.state.docker_images.get(&spec.image.reference) {
        None => return Err(format!("image {} is not there", spec.image.reference)),
        Some(id) if *id != spec.image.id => {
            return Err(format!("{} has id {id} instead of {}", spec.image.reference, spec.image.id));
        }
        Some(_) => {}
    }
    let label = Some(spec.digest().as_str().to_owned());
    if let Some(there) = machine.state.containers.get(name) {
        let same = there.label == label;
        return if same { Ok(()) } else { Err(format!("the name {name} is in use by another container")) };
    }
    machine.containers_made += 1;
    let mut seen = ContainerSpec { name: name.to_owned(), ..spec.clone() };
    seen.arguments.append(&mut seen.first_start_arguments);
    let container = ObservedContainer {
        id: Digest::of(format!("{name} {}", machine.containers_made)).hexadecimal().to_owned(),
        name: name.to_owned(),
        spec: seen,
        irregularities: Vec::new(),
        status: "created".into(),
        running: false,
        exit_code: None,
        started_at: None,
        label,
    };
    machine.state.containers.insert(name.to_owned(), container);
    Ok(())
}

pub(super) fn start(machine: &mut Machine, name: &str) -> Result<(), Refusal> {
    let container = machine.state.containers.get_mut(name).ok_or_else(|| format!("No such container: {name}"))?;
    container.status = "running".into();
    container.running = true;
    container.exit_code = None;
    container.started_at.get_or_insert_with(|| "2026-01-01T00:00:00Z".into());
    Ok(())
}

pub(super) fn stop(machine: &mut Machine, name: &str) {
    if let Some(container) = machine.state.containers.get_mut(name).filter(|container| container.running) {
        container.status = "exited".into();
        container.running = false;
        container.exit_code = Some(0);
    }
}

fn remove_container(machine: &mut Machine, name: &str) -> Result<(), Refusal> {
    match machine.state.containers.get(name) {
        Some(container) if container.running => Err(format!("You cannot remove a running container {name}.")),
        _ => {
            machine.state.containers.remove(name);
            Ok(())
        }
    }
}

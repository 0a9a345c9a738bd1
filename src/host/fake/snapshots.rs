//! Snapshots of etcd on a fake host. What etcd holds is told by one file of its data.

use crate::base::Digest;
use crate::host::{PreparedRestore, SnapshotCheck, SnapshotRestore, SnapshotSave};
use crate::state::{ObservedContainer, ObservedEntry, Owner, SNAPSHOT_FOLDER};

use super::changes::{start, stop};
use super::machine::Machine;

/// Why a host refuses, in its words.
type Refusal = String;

/// Where a fake's etcd keeps all that it holds.
const HELD: &str = "/var/lib/etcd/member/held";
const MEMBER: &str = "/var/lib/etcd/member";
const SUSPENDED: &str = "restart policy: no";

pub(super) fn suspend(machine: &mut Machine, name: &str, half: bool) {
    if let Some(container) = machine.state.containers.get_mut(name) {
        if !container.irregularities.iter().any(|known| known == SUSPENDED) {
            container.irregularities.push(SUSPENDED.into());
        }
        if !half {
            stop(machine, name);
        }
    }
}

pub(super) fn resume(machine: &mut Machine, name: &str, half: bool) -> Result<(), Refusal> {
    let container = machine.state.containers.get_mut(name).ok_or("there is no such container")?;
    container.irregularities.retain(|known| known != SUSPENDED);
    if half { Ok(()) } else { start(machine, name) }
}

fn etcd(machine: &Machine) -> Option<&ObservedContainer> {
    machine.state.containers.get("etcd").filter(|container| container.running)
}

/// Half of it has left the file that etcd wrote, and nobody knows what it is.
pub(super) fn save(machine: &mut Machine, save: &SnapshotSave, half: bool) -> Result<(), Refusal> {
    let database = save.name.database_path();
    if machine.contents.contains_key(&database) {
        return Err(format!("{database} is there already"));
    }
    etcd(machine).ok_or("writing the canary key to etcd: connection refused")?;
    let held = machine.contents.get(HELD).cloned().unwrap_or_default();
    let bytes = [b"canary ", save.canary.as_bytes(), b"\n", &held].concat();
    machine.add_parents(&database);
    machine.add_folder(SNAPSHOT_FOLDER, Owner::ROOT, 0o700);
    machine.add_file(&database, Owner::ROOT, 0o600, &bytes);
    if half {
        return Ok(());
    }
    let facts = format!(
        "put {{\"header\":{{\"cluster_id\":10}}}}\nstatus {{\"hash\":{hash},\"revision\":7}}\nversion {version}\nsize {size}\nsha256 {digest}\n",
        version = save.image.reference.tag().split('-').next().unwrap_or_default(),
        hash = bytes.len(),
        size = bytes.len(),
        digest = Digest::of(&bytes).hexadecimal(),
    );
    machine.add_file(&save.name.facts_path(), Owner::ROOT, 0o600, facts.as_bytes());
    Ok(())
}

fn bytes_of(machine: &Machine, path: &str, size: u64, digest: &Digest) -> Result<Vec<u8>, Refusal> {
    let bytes = machine.contents.get(path).cloned().ok_or_else(|| format!("{path} is not there"))?;
    if bytes.len() as u64 != size {
        return Err(format!("{path} is damaged: it has {} bytes instead of {size}", bytes.len()));
    }
    let seen = Digest::of(&bytes);
    if seen == *digest {
        return Ok(bytes);
    }
    let (seen, wanted) = (seen.hexadecimal(), digest.hexadecimal());
    Err(format!("{path} is damaged: its digest is {seen} instead of {wanted}"))
}

pub(super) fn verify(machine: &Machine, check: &SnapshotCheck) -> Result<(), Refusal> {
    let record = &check.record;
    let path = record.name.database_path();
    let bytes = bytes_of(machine, &path, record.etcd.size, &record.etcd.sha256)?;
    let canary = format!("canary {}\n", record.canary);
    if bytes.starts_with(canary.as_bytes()) { Ok(()) } else { Err(format!("{path} holds another canary key")) }
}

/// Where a restore lays the new data, and the old.
fn folders(stamp: &str) -> (String, String) {
    (format!("/var/lib/etcd/restored-{stamp}"), format!("/var/lib/etcd/before-restore-{stamp}"))
}

/// Half of it has left what is not whole, and goes as it ends.
pub(super) fn prepare(machine: &mut Machine, restore: &SnapshotRestore, half: bool) -> Result<(), Refusal> {
    let (new, old) = folders(&restore.stamp);
    let bytes = bytes_of(machine, &restore.name.database_path(), restore.size, &restore.sha256)?;
    let is_there = |path: &String| machine.state.entries.contains_key(path);
    if is_there(&new) || is_there(&old) {
        return Ok(());
    }
    forget_given_up(machine);
    if machine.failing.contains(&restore.image.reference.0) {
        return Err(format!("restoring {}: unknown flag: --bump-revision", restore.name.database_path()));
    }
    if half {
        return Ok(());
    }
    let held = bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default().to_vec();
    machine.add_folder(&new, restore.owner, 0o700);
    machine.add_file(&format!("{new}/held"), restore.owner, 0o600, &held);
    Ok(())
}

/// Half of it has moved the old data away.
pub(super) fn restore(machine: &mut Machine, prepared: &PreparedRestore, half: bool) -> Result<(), Refusal> {
    let (new, old) = folders(&prepared.stamp);
    let (fresh, owner) = (format!("{new}/held"), prepared.owner);
    if etcd(machine).is_some() {
        return Err("etcd runs: its data is left alone".into());
    }
    let is_prepared = machine.contents.contains_key(&fresh);
    if !machine.state.entries.contains_key(&old) {
        if !is_prepared {
            return Err(format!("etcd's data is left alone: nothing was prepared for it in {new}"));
        }
        machine.add_folder(&old, owner, 0o700);
    }
    let Some(held) = machine.contents.get(&fresh).cloned() else { return Ok(()) };
    if let Some(held) = machine.contents.get(HELD).cloned() {
        machine.add_folder(&format!("{old}/member"), owner, 0o700);
        machine.add_file(&format!("{old}/member/held"), owner, 0o600, &held);
        machine.remove(HELD);
    }
    machine.remove(MEMBER);
    if half {
        return Ok(());
    }
    machine.state.entries.insert(MEMBER.into(), ObservedEntry::Directory { owner, mode: 0o700 });
    machine.add_file(HELD, owner, 0o600, &held);
    remove_all(machine, &new);
    Ok(())
}

pub(super) fn discard(machine: &mut Machine, stamp: &str) -> Result<(), Refusal> {
    let (_, old) = folders(stamp);
    if machine.state.entries.contains_key(&old) {
        return Err(format!("etcd's data is moved already: {old} is there"));
    }
    forget_given_up(machine);
    Ok(())
}

fn forget_given_up(machine: &mut Machine) {
    let stamp = |path: &String| path.strip_prefix("/var/lib/etcd/restored-").map(str::to_owned);
    let stamps: Vec<String> =
        machine.state.entries.keys().filter_map(stamp).filter(|rest| !rest.contains('/')).collect();
    for (new, old) in stamps.iter().map(|stamp| folders(stamp)) {
        if !machine.state.entries.contains_key(&old) {
            remove_all(machine, &new);
        }
    }
}

fn remove_all(machine: &mut Machine, folder: &str) {
    let is_in_it = |path: &&String| *path == folder || path.starts_with(&format!("{folder}/"));
    let paths: Vec<String> = machine.state.entries.keys().filter(is_in_it).cloned().collect();
    paths.iter().for_each(|path| machine.remove(path));
}

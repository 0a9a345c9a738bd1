//! What the door's script reads. Pure.

use bytes::Bytes;

use super::{Change, swap};
use crate::base::Epoch;
use crate::state::{Content, DirectorySpec, FileSpec, ImageStore, LinkSpec, Owner};

/// Why a change cannot be asked for.
pub(super) type Problem = String;

/// Where new files wait for their names, in each folder.
const NEW: &str = ".provision-new";

/// What is being done, for messages.
pub(super) fn describe(change: &Change) -> String {
    match change {
        Change::InstallPackages(names) => format!("installing {}", names.join(", ")),
        Change::MakeUser { name, .. } => format!("making account {name}"),
        Change::Write { directories, files, links } => {
            let first = files.first().map(|file| &file.path);
            let first =
                first.or(links.first().map(|link| &link.path)).or(directories.first().map(|folder| &folder.path));
            let count = directories.len() + files.len() + links.len();
            format!("writing {} and {} more", first.map_or("nothing", String::as_str), count.saturating_sub(1))
        }
        Change::Send { path, .. } => format!("sending {path}"),
        Change::LoadImage { store, reference, .. } => format!("loading {reference} into {store}"),
        Change::PullImage(pull) => format!("pulling {} into {}", pull.reference, pull.store),
        Change::LoadModules(names) => format!("loading kernel modules {}", names.join(", ")),
        Change::SetSysctls(settings) => {
            format!("setting {}", settings.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        Change::CreateContainer(spec) => format!("creating container {}", spec.name),
        Change::StartContainer(name) => format!("starting container {name}"),
        Change::StopContainer(name) => format!("stopping container {name}"),
        Change::RemoveContainer(name) => format!("removing container {name}"),
        Change::Units { enable, start, restart } => {
            let mut units: Vec<&str> = [enable, start, restart].into_iter().flatten().map(String::as_str).collect();
            units.dedup();
            format!("units {}", units.join(", "))
        }
        Change::Remove(paths) => format!("removing {}", paths.join(", ")),
        Change::Swap(swap) => format!("replacing {}", swap.replacement.name()),
        Change::Settle(name) => format!("ending what replacing {name} has left"),
        Change::SuspendContainer(name) => format!("stopping container {name} for as long as nobody starts it"),
        Change::ResumeContainer(name) => format!("starting container {name} again"),
        Change::SaveSnapshot(save) => format!("taking etcd snapshot {}", save.name),
        Change::VerifySnapshot(check) => format!("verifying etcd snapshot {}", check.record.name),
        Change::PrepareRestore(restore) => format!("making etcd's data of snapshot {}", restore.name),
        Change::RestoreSnapshot(_) => "giving etcd the data of a snapshot".into(),
        Change::DiscardRestore(_) => "taking away what a restore of etcd has prepared".into(),
    }
}

/// The epoch, the kind of request, and its values one a line; of a write also the archive.
pub(super) fn encode(epoch: Epoch, change: &Change) -> Result<Bytes, Problem> {
    let mut lines = Lines::new(epoch);
    match change {
        Change::InstallPackages(names) => lines.list("packages", names)?,
        Change::MakeUser { name, owner } => {
            lines.list("user", &[name.clone(), owner.uid.to_string(), owner.gid.to_string()])?;
        }
        Change::Write { directories, files, links } => {
            lines.add("put")?;
            for folder in folders(files, links)? {
                lines.add(&folder)?;
            }
            lines.0.push(b'\n');
            lines.0.extend(archive(directories, files, links)?);
        }
        Change::Send { path, owner, mode, payload } => {
            absolute(path)?;
            let (mode, owner) = (format!("{mode:04o}"), format!("{}:{}", owner.uid, owner.gid));
            lines.list("send", &[mode, owner, payload.digest.hexadecimal().to_owned(), path.clone()])?;
        }
        Change::LoadImage { store: ImageStore::Containerd, reference, .. } => {
            lines.list("import", std::slice::from_ref(&reference.0))?;
        }
        Change::LoadModules(names) => lines.list("modules", names)?,
        Change::SetSysctls(settings) => {
            let line = |(name, value): (&String, &String)| format!("{name} = {value}");
            lines.list("sysctls", &settings.iter().map(line).collect::<Vec<_>>())?;
        }
        Change::Units { enable, start, restart } => {
            lines.add("units")?;
            for (verb, units) in [("enable", enable), ("start", start), ("restart", restart)] {
                for unit in units {
                    lines.add(&format!("{verb} {unit}"))?;
                }
            }
        }
        Change::Remove(paths) => {
            paths.iter().try_for_each(|path| absolute(path))?;
            lines.list("remove", paths)?;
        }
        Change::Swap(swap) => return swap::encode(epoch, swap),
        Change::Settle(name) => return swap::encode_settle(epoch, name),
        Change::SaveSnapshot(save) => lines.list("save_snapshot", &save.values())?,
        Change::VerifySnapshot(check) => lines.list("verify_snapshot", &check.values())?,
        Change::PrepareRestore(restore) => lines.list("prepare_restore", &restore.values())?,
        Change::RestoreSnapshot(restore) => lines.list("restore_snapshot", &restore.values())?,
        Change::DiscardRestore(stamp) => lines.list("discard_restore", std::slice::from_ref(stamp))?,
        Change::LoadImage { store: ImageStore::Docker, .. }
        | Change::PullImage(_)
        | Change::CreateContainer(_)
        | Change::StartContainer(_)
        | Change::StopContainer(_)
        | Change::RemoveContainer(_)
        | Change::SuspendContainer(_)
        | Change::ResumeContainer(_) => return Err("an engine does this, not the script".into()),
    }
    Ok(lines.0.into())
}

pub(super) struct Lines(pub Vec<u8>);

impl Lines {
    /// The epoch comes first.
    pub fn new(epoch: Epoch) -> Self {
        Self(format!("{}\n", epoch.0).into_bytes())
    }

    pub fn list(&mut self, request: &str, values: &[String]) -> Result<(), Problem> {
        self.add(request)?;
        values.iter().try_for_each(|value| self.add(value))
    }

    /// A value with a line break would be two values, and one that begins with a dash an option.
    fn add(&mut self, value: &str) -> Result<(), Problem> {
        if value.is_empty() || value.starts_with('-') || value.contains(['\n', '\0']) {
            return Err(format!("{value:?} cannot be a value of a change"));
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
        Ok(())
    }
}

fn absolute(path: &str) -> Result<(), Problem> {
    let plain = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if path.starts_with('/') && path.len() > 1 && plain { Ok(()) } else { Err(format!("{path:?} is no absolute path")) }
}

/// Folder and name. A hidden name would not be found by the script when it moves the new files to their places.
pub(super) fn place(path: &str) -> Result<(&str, &str), Problem> {
    absolute(path)?;
    match path.rsplit_once('/') {
        Some((folder, name)) if !folder.is_empty() && !name.starts_with('.') => Ok((folder, name)),
        _ => Err(format!("{path:?} cannot be written: its name is hidden or it lies in /")),
    }
}

/// The folders in which something is written, in order, each once.
fn folders(files: &[FileSpec], links: &[LinkSpec]) -> Result<Vec<String>, Problem> {
    let mut found: Vec<String> = Vec::new();
    for path in files.iter().map(|file| &file.path).chain(links.iter().map(|link| &link.path)) {
        let (folder, _) = place(path)?;
        if !found.iter().any(|known| known == folder) {
            found.push(folder.to_owned());
        }
    }
    Ok(found)
}

/// What is in a small file.
pub(super) fn bytes_of(file: &FileSpec) -> Result<&[u8], Problem> {
    match &file.content {
        Content::Text(text) => Ok(text.as_bytes()),
        Content::Secret(secret) => Ok(secret.expose()),
        Content::Payload { .. } => Err(format!("{} is too large to be written: it is sent", file.path)),
    }
}

/// An archive is one program on the host, whatever the number of files; it carries owners and modes.
fn archive(directories: &[DirectorySpec], files: &[FileSpec], links: &[LinkSpec]) -> Result<Vec<u8>, Problem> {
    let mut archive = Archive(tar::Builder::new(Vec::new()));
    for folder in directories {
        absolute(&folder.path)?;
        archive.folder(&folder.path, folder.owner, folder.mode)?;
    }
    for folder in folders(files, links)? {
        archive.folder(&format!("{folder}/{NEW}"), Owner::ROOT, 0o700)?;
    }
    for file in files {
        let (folder, name) = place(&file.path)?;
        archive.file(&format!("{folder}/{NEW}/{name}"), file.owner, file.mode, bytes_of(file)?)?;
    }
    for link in links {
        let (folder, name) = place(&link.path)?;
        archive.link(&format!("{folder}/{NEW}/{name}"), &link.target)?;
    }
    archive.0.into_inner().map_err(|error| error.to_string())
}

pub(super) struct Archive(pub tar::Builder<Vec<u8>>);

impl Archive {
    fn header(kind: tar::EntryType, owner: Owner, mode: u32, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_uid(owner.uid.into());
        header.set_gid(owner.gid.into());
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_mtime(0);
        header
    }

    pub fn folder(&mut self, path: &str, owner: Owner, mode: u32) -> Result<(), Problem> {
        let mut header = Self::header(tar::EntryType::Directory, owner, mode, 0);
        self.append(&mut header, path, &[])
    }

    pub fn file(&mut self, path: &str, owner: Owner, mode: u32, bytes: &[u8]) -> Result<(), Problem> {
        let mut header = Self::header(tar::EntryType::Regular, owner, mode, bytes.len());
        self.append(&mut header, path, bytes)
    }

    fn append(&mut self, header: &mut tar::Header, path: &str, bytes: &[u8]) -> Result<(), Problem> {
        let result = self.0.append_data(header, path.trim_start_matches('/'), bytes);
        result.map_err(|error| format!("{path}: {error}"))
    }

    pub fn link(&mut self, path: &str, target: &str) -> Result<(), Problem> {
        let mut header = Self::header(tar::EntryType::Symlink, Owner::ROOT, 0o777, 0);
        let result = self.0.append_link(&mut header, path.trim_start_matches('/'), target);
        result.map_err(|error| format!("{path}: {error}"))
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

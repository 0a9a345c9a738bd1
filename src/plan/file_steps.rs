//! Steps that bring a host's files, folders and links.

use crate::desired::DesiredHost;
use crate::host::Change;
use crate::state::{Component, Content, DirectorySpec, FileSpec, LinkSpec, ObservedEntry};

use super::host_steps::{HostInput, mebibytes, missing_source};
use super::step::{Action, Plan, Step};
use super::{container_steps, swap_steps};

/// What no file can take the place of.
const DIRECTORY: &str = "directory";
const IN_ITS_PLACE: &str = "a directory is in its place, and whatever is in it is not the tool's to take away";

/// What encrypts Secrets.
const ENCRYPTION: &str = "/etc/kubernetes/ssl/kube-apiserver/encryption.yaml";
const OTHER_KEYS: &str = "Secrets may be encrypted with what is in it, and could not be read any more without it";

/// How an observed entry differs from a wanted file.
enum Difference {
    Missing,
    Metadata(String),
    Content(String),
    Kind(&'static str),
}

impl Difference {
    /// Whether other bytes are in its place: putting the right ones there changes what somebody may be reading.
    fn is_of_content(&self) -> bool {
        matches!(self, Self::Content(_) | Self::Kind(_))
    }

    fn describe(&self) -> String {
        match self {
            Self::Missing => "missing".into(),
            Self::Metadata(text) | Self::Content(text) => text.clone(),
            Self::Kind(kind) => format!("a {kind} is in its place"),
        }
    }
}

fn file_difference(host: &HostInput<'_>, file: &FileSpec) -> Option<Difference> {
    match host.snapshot.entries.get(&file.path) {
        None => Some(Difference::Missing),
        Some(ObservedEntry::Directory { .. }) => Some(Difference::Kind(DIRECTORY)),
        Some(ObservedEntry::Link { .. }) => Some(Difference::Kind("link")),
        Some(ObservedEntry::Other) => Some(Difference::Kind("socket or device")),
        Some(ObservedEntry::File { owner, mode, digest }) => {
            let wanted = file.content.digest();
            if *digest != wanted {
                let renewal = host.input.renewals.iter().find(|due| due.explains(digest));
                let edited = || format!("content differs ({} instead of {})", digest.short(), wanted.short());
                return Some(Difference::Content(renewal.map_or_else(edited, ToString::to_string)));
            }
            let same = (*owner, *mode) == (file.owner, file.mode);
            (!same).then(|| {
                let (was, is) = ((owner.uid, owner.gid, *mode), (file.owner.uid, file.owner.gid, file.mode));
                Difference::Metadata(format!(
                    "owner and mode {}:{} {:04o} instead of {}:{} {:04o}",
                    was.0, was.1, was.2, is.0, is.1, is.2
                ))
            })
        }
    }
}

/// Why kubelet's program stays as it is.
const PROGRAM: &str = "kubelet runs from it, and a program of the same version is not replaced below it";

/// What one step writes, and a line for each thing.
#[derive(Default)]
struct Writes {
    directories: Vec<DirectorySpec>,
    files: Vec<FileSpec>,
    links: Vec<LinkSpec>,
    details: Vec<String>,
}

/// One step writes all small files, directories and links: one request, one sync.
pub(super) fn add(host: &HostInput<'_>, plan: &mut Plan) {
    let mut writes = Writes::default();
    directories(host, &mut writes);
    files(host, &mut writes, plan);
    links(host, &mut writes);
    let Writes { directories, files, links, details } = writes;
    if details.is_empty() {
        return;
    }
    let title = format!("write {}", count(details.len(), "file or folder", "files and folders"));
    let reason = summary(&details);
    let change = Change::Write { directories, files, links };
    plan.steps.push(Step { details, ..host.step("files", title, reason, Action::Change(vec![change])) });
}

fn directories(host: &HostInput<'_>, writes: &mut Writes) {
    for directory in &host.wanted.directories {
        let wanted = ObservedEntry::Directory { owner: directory.owner, mode: directory.mode };
        let seen = host.snapshot.entries.get(&directory.path);
        if seen == Some(&wanted) {
            continue;
        }
        let why = seen.map_or("missing", |_| "owner or mode differs");
        writes.details.push(format!("{}/: {why}", directory.path));
        writes.directories.push(directory.clone());
    }
}

fn is_small(file: &&FileSpec) -> bool {
    !matches!(file.content, Content::Payload { .. })
}

/// Certificates of authorities go first: by them a later run knows a host on which this step was cut off as ours.
fn files(host: &HostInput<'_>, writes: &mut Writes, plan: &mut Plan) {
    for file in host.wanted.files.iter().filter(is_small) {
        let Some(difference) = file_difference(host, file) else { continue };
        let line = format!("{}: {}", file.path, difference.describe());
        let refused = if matches!(difference, Difference::Kind(DIRECTORY)) && host.is_alive(file.component) {
            Some(IN_ITS_PLACE)
        } else if difference.is_of_content() && file.path == ENCRYPTION && host.input.history.is_living() {
            Some(OTHER_KEYS)
        } else {
            None
        };
        if let Some(reason) = refused {
            plan.refusals.push(host.refusal(format!("file {}", file.path), reason, vec![line]));
        } else if !goes_with_swap(host, file, &difference) {
            writes.details.push(line);
            writes.files.push(file.clone());
        }
    }
    writes.files.sort_by_key(|file| !file.path.ends_with(".crt"));
}

fn links(host: &HostInput<'_>, writes: &mut Writes) {
    for link in &host.wanted.links {
        let wanted = ObservedEntry::Link { target: link.target.clone() };
        let seen = host.snapshot.entries.get(&link.path);
        if seen == Some(&wanted) {
            continue;
        }
        if link.component == Component::Kubelet && swap_steps::kubelet_is_swapped(host) {
            continue;
        }
        let why = seen.map_or("missing", |_| "points elsewhere");
        writes.details.push(format!("{} -> {}: {why}", link.path, link.target));
        writes.links.push(link.clone());
    }
}

/// What changes together with a component that is replaced: what it reads and what lies where it lay before, kubelet's unit,
/// and copies for people.
fn goes_with_swap(host: &HostInput<'_>, file: &FileSpec, difference: &Difference) -> bool {
    if is_unit(file) || swap_steps::is_copy(&file.path) {
        return is_changed(host, file, difference)
            && match file.component {
                Component::Kubelet => swap_steps::kubelet_is_swapped(host),
                component => container_steps::is_swapped(host, component),
            };
    }
    read_anew(host, file.component).iter().any(|(other, _)| other.path == file.path)
}

/// Files that a running component reads and that are there with other content, each with a line that tells how they differ: it
/// must be started anew for them. Whatever else differs at paths that stay comes along, so that no certificate ever lies beside
/// the key of another.
pub(super) fn read_anew<'a>(host: &'a HostInput<'_>, component: Component) -> Vec<(&'a FileSpec, String)> {
    if !host.is_alive(component) {
        return Vec::new();
    }
    let files = host.wanted.files.iter().filter(|file| file.component == component).filter(is_small);
    let read = files.filter(|file| !is_unit(file) && !swap_steps::is_copy(&file.path));
    let different: Vec<(&FileSpec, Difference)> =
        read.filter_map(|file| Some((file, file_difference(host, file)?))).collect();
    if !different.iter().any(|(_, difference)| difference.is_of_content()) {
        return Vec::new();
    }
    let moves = |(file, difference): &(&FileSpec, Difference)| difference.is_of_content() || stays(&file.path);
    let line =
        |(file, difference): (&'a FileSpec, Difference)| (file, format!("{}: {}", file.path, difference.describe()));
    different.into_iter().filter(moves).map(line).collect()
}

/// Whether a file lies at the same path whatever it holds: certificates, keys, and what encrypts Secrets.
fn stays(path: &str) -> bool {
    path.starts_with("/etc/kubernetes/ssl/") || path.starts_with("/etc/kubernetes/etcd/")
}

/// Whether a file's place holds something else than it shall. What is missing is simply put there, but for the unit of a kubelet
/// that is dead: it comes to life with it.
fn is_changed(host: &HostInput<'_>, file: &FileSpec, difference: &Difference) -> bool {
    let is_gone = matches!(difference, Difference::Missing);
    difference.is_of_content() || (is_gone && is_unit(file) && !host.is_alive(file.component))
}

fn is_unit(file: &FileSpec) -> bool {
    file.path.starts_with("/etc/systemd/system/")
}

/// Small files of a component that are changed, each with a line that tells how they differ.
pub(super) fn changed<'a>(
    host: &'a HostInput<'_>,
    component: Component,
) -> impl Iterator<Item = (&'a FileSpec, String)> {
    let files = host.wanted.files.iter().filter(move |file| file.component == component).filter(is_small);
    files.filter_map(|file| {
        let difference = file_difference(host, file).filter(|difference| is_changed(host, file, difference))?;
        Some((file, format!("{}: {}", file.path, difference.describe())))
    })
}

/// How the unit and the links of a service differ from what is wanted.
pub(super) fn differences(host: &HostInput<'_>, component: Component) -> Vec<String> {
    let units = changed(host, component).filter(|(file, _)| is_unit(file)).map(|(_, line)| line);
    let links = host.wanted.links.iter().filter(|link| link.component == component).filter_map(|link| {
        match host.snapshot.entries.get(&link.path) {
            Some(ObservedEntry::Link { target }) if *target == link.target => None,
            Some(ObservedEntry::Link { target }) => Some(format!("{}: {target} instead of {}", link.path, link.target)),
            Some(_) => Some(format!("{}: no link", link.path)),
            None => (!host.is_alive(component)).then(|| format!("{}: missing", link.path)),
        }
    });
    links.chain(units).collect()
}

/// Whether a run would write a file or link of this component: whoever reads it must be started again then.
pub(super) fn rewrites(host: &HostInput<'_>, component: Component) -> bool {
    let DesiredHost { files, links, .. } = host.wanted;
    let file = |file: &&FileSpec| file.component == component && file_difference(host, file).is_some();
    let link = |link: &&LinkSpec| {
        let wanted = ObservedEntry::Link { target: link.target.clone() };
        link.component == component && host.snapshot.entries.get(&link.path) != Some(&wanted)
    };
    files.iter().any(|each| file(&each)) || links.iter().any(|each| link(&each))
}

fn summary(details: &[String]) -> String {
    let missing = details.iter().filter(|line| line.ends_with("missing")).count();
    match (missing, details.len() - missing) {
        (missing, 0) => format!("{missing} missing"),
        (0, different) => format!("{different} different"),
        (missing, different) => format!("{missing} missing, {different} different"),
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Large files go one by one over the connection for big streams.
pub(super) fn payloads(host: &HostInput<'_>, plan: &mut Plan) {
    for file in &host.wanted.files {
        let Content::Payload { digest, size } = &file.content else { continue };
        let Some(difference) = file_difference(host, file) else { continue };
        let line = format!("{}: {}", file.path, difference.describe());
        if host.is_alive(file.component) && difference.is_of_content() {
            plan.refusals.push(host.refusal(format!("file {}", file.path), PROGRAM, vec![line]));
            continue;
        }
        let Some(payload) = host.input.sources.files.get(digest) else {
            plan.refusals.push(missing_source(host, &format!("file {}", file.path)));
            continue;
        };
        let change =
            Change::Send { path: file.path.clone(), owner: file.owner, mode: file.mode, payload: payload.clone() };
        let title = format!("send {} ({})", file.path, mebibytes(*size));
        let id = format!("file{}", file.path);
        let step = host.step(&id, title, difference.describe(), Action::Change(vec![change]));
        plan.steps.push(Step { after: vec![host.id("files")], ..step });
    }
}

//! The engines' configuration: keys in files that are not ours alone, drop-ins that are, and the restarts after both.

use std::collections::BTreeSet;

use crate::desired::{MergeFormat, MergedFile, PROXY_FILES, RESTARTS_DUE, merge, only_nodes_differ};
use crate::host::{Change, LogSource, Probe, Proof, Replacement, Swap};
use crate::state::{Component, Content, DirectorySpec, FileSpec, Owner};

use super::host_steps::HostInput;
use super::step::{Action, Step};
use super::{Refusal, rolling};

/// Seconds in which containerd must serve kubelet after its restart: it takes two on a busy machine, and what it refuses it
/// refuses at once.
const PATIENCE: u32 = 30;
/// It tells systemd when it is ready, and its plugins are made before: nothing is left to be seen later.
const STAYS: u32 = 0;

const LIVING: &str = "it would restart the runtime below running pods, which is not supported yet";

/// The one step for all of it, or none where everything is as wanted and in force.
pub(super) fn step(host: &HostInput<'_>, refusals: &mut Vec<Refusal>) -> Option<Step> {
    let difference = Difference { written: written(host, refusals), removed: removed(host, refusals), due: due(host) };
    difference.step(host)
}

/// What is not as wanted.
struct Difference<'a> {
    /// Files with the text that they shall have.
    written: Vec<(&'a MergedFile, String)>,
    /// Drop-ins of ours that nothing asks for any more, each with its unit.
    removed: Vec<(&'static str, &'static str)>,
    /// Units that an earlier run was to restart, and may not have.
    due: Vec<&'static str>,
}

fn written<'a>(host: &HostInput<'a>, refusals: &mut Vec<Refusal>) -> Vec<(&'a MergedFile, String)> {
    let mut changed = Vec::new();
    for file in &host.wanted.merged_files {
        let existing = host.snapshot.merged_files.get(&file.path).map(String::as_str);
        match merge(existing, file) {
            Ok(None) => {}
            Ok(Some(text))
                if host.kubelet_is_active()
                    && file.unit == rolling::RESTARTED_BELOW_PODS
                    && file.format == MergeFormat::Toml =>
            {
                changed.push((file, text))
            }
            Ok(Some(text)) if host.kubelet_is_active() => {
                let is_proxy = file.format == MergeFormat::Whole;
                if !(is_proxy && existing.is_some_and(|existing| only_nodes_differ(existing, &text))) {
                    refusals.push(host.refusal(format!("file {}", file.path), LIVING, vec![detail(file)]));
                }
            }
            Ok(Some(text)) => changed.push((file, text)),
            Err(error) => {
                refusals.push(host.refusal(format!("file {}", file.path), &error.to_string(), Vec::new()));
            }
        }
    }
    changed
}

/// Never what is in the file: it may hold a password.
fn detail(file: &MergedFile) -> String {
    match file.format {
        MergeFormat::Whole => format!("{}: not as wanted", file.path),
        MergeFormat::Json | MergeFormat::Toml => format!("{}: keys that the tool owns differ", file.path),
    }
}

fn removed(host: &HostInput<'_>, refusals: &mut Vec<Refusal>) -> Vec<(&'static str, &'static str)> {
    let wanted = |path: &str| host.wanted.merged_files.iter().any(|file| file.path == path);
    let is_left = |(path, _): &(&str, &str)| !wanted(path) && host.snapshot.merged_files.contains_key(*path);
    let left: Vec<_> = PROXY_FILES.into_iter().filter(is_left).collect();
    if !host.kubelet_is_active() {
        return left;
    }
    for (path, _) in left {
        refusals.push(host.refusal(format!("file {path}"), LIVING, vec![format!("{path}: not wanted")]));
    }
    Vec::new()
}

fn due(host: &HostInput<'_>) -> Vec<&'static str> {
    let Some(noted) = host.snapshot.merged_files.get(RESTARTS_DUE) else { return Vec::new() };
    let may = |unit: &&str| !host.kubelet_is_active() || *unit == rolling::RESTARTED_BELOW_PODS;
    let is_due = |unit: &&str| noted.lines().any(|line| line == *unit) && is_there(host, unit) && may(unit);
    PROXY_FILES.into_iter().map(|(_, unit)| unit).filter(is_due).collect()
}

/// Whether an engine is installed, so that it has to be restarted. One that is not starts with its configuration.
fn is_there(host: &HostInput<'_>, unit: &str) -> bool {
    let facts = &host.snapshot.facts;
    if unit == "docker.service" { facts.docker.is_some() } else { facts.containerd_version.is_some() }
}

impl Difference<'_> {
    fn step(&self, host: &HostInput<'_>) -> Option<Step> {
        let restart = self.restart(host);
        let mut deeds = Vec::new();
        if !self.written.is_empty() {
            deeds.push("write the runtime's configuration".to_owned());
        }
        if !self.removed.is_empty() {
            deeds.push("take the engines' proxies away".to_owned());
        }
        if !restart.is_empty() {
            deeds.push(format!("restart {}", restart.join(", ")));
        }
        if deeds.is_empty() {
            return None;
        }
        let (title, reason, details) = (deeds.join(" and "), self.reason(), self.details());
        if !host.kubelet_is_active() {
            let changes = Action::Change(self.changes(host, restart));
            return Some(Step { details, ..host.step("runtime", title, reason, changes) });
        }
        // Below pods it is a part of the node's own upgrade, for which nothing else on the host waits.
        let step = host.step(rolling::RUNTIME, title, reason, Action::Change(self.swap()));
        Some(Step { details, log: Some(LogSource::Unit(rolling::RESTARTED_BELOW_PODS.into())), ..step })
    }

    /// On a node that serves, the host puts the old configuration back where containerd refuses the new one.
    fn swap(&self) -> Vec<Change> {
        let reads = self.written.iter().map(|(file, text)| specification(file, text)).collect();
        let replacement = Replacement::Service(rolling::RESTARTED_BELOW_PODS.to_owned());
        let proof = Proof { probes: vec![Probe::Runtime], stays_seconds: STAYS };
        let swap = Swap { replacement, files: Vec::new(), reads, proof, patience_seconds: PATIENCE };
        let mut changes = vec![Change::Swap(Box::new(swap))];
        if !self.due.is_empty() {
            changes.push(Change::Remove(vec![RESTARTS_DUE.to_owned()]));
        }
        changes
    }

    /// In the order of their names.
    fn restart(&self, host: &HostInput<'_>) -> Vec<String> {
        let written = self.written.iter().map(|(file, _)| file.unit.as_str());
        let removed = self.removed.iter().map(|(_, unit)| *unit);
        let all: BTreeSet<&str> = written.chain(removed).chain(self.due.iter().copied()).collect();
        all.into_iter().filter(|unit| is_there(host, unit)).map(str::to_owned).collect()
    }

    /// What is to be restarted is noted with the first change and forgotten after the last.
    fn changes(&self, host: &HostInput<'_>, restart: Vec<String>) -> Vec<Change> {
        let mut files = Vec::new();
        if !restart.is_empty() {
            files.push(note(&restart));
        }
        files.extend(self.written.iter().map(|(file, text)| specification(file, text)));
        let mut changes = Vec::new();
        if !files.is_empty() {
            changes.push(Change::Write { directories: self.directories(host), files, links: Vec::new() });
        }
        if !self.removed.is_empty() {
            changes.push(Change::Remove(self.removed.iter().map(|(path, _)| (*path).to_owned()).collect()));
        }
        if !restart.is_empty() {
            changes.push(Change::Units { enable: Vec::new(), start: Vec::new(), restart });
            changes.push(Change::Remove(vec![RESTARTS_DUE.to_owned()]));
        }
        changes
    }

    /// Folders of the configuration. Before the packages are there, theirs are not either; those of drop-ins nobody else
    /// makes.
    fn directories(&self, host: &HostInput<'_>) -> Vec<DirectorySpec> {
        let fresh = host.snapshot.facts.docker.is_none();
        let is_new = |file: &MergedFile| fresh || file.format == MergeFormat::Whole;
        let parent = |path: &str| path.rsplit_once('/').map_or("/", |(parent, _)| parent).to_owned();
        let files = self.written.iter().map(|(file, _)| file).filter(|file| is_new(file));
        let paths: BTreeSet<String> = files.map(|file| parent(&file.path)).collect();
        let spec = |path| DirectorySpec { path, component: Component::Runtime, owner: Owner::ROOT, mode: 0o755 };
        paths.into_iter().map(spec).collect()
    }

    fn details(&self) -> Vec<String> {
        let written = self.written.iter().map(|(file, _)| detail(file));
        let removed = self.removed.iter().map(|(path, _)| format!("{path}: not wanted"));
        let due = self.due.iter().map(|unit| format!("{unit}: an earlier run ended before it was restarted"));
        written.chain(removed).chain(due).collect()
    }

    fn reason(&self) -> String {
        let reason = match self {
            Self { written, .. } if !written.is_empty() => "keys differ",
            Self { removed, .. } if !removed.is_empty() => "cluster.yml names none",
            _ => "an earlier run ended before it",
        };
        reason.to_owned()
    }
}

fn specification(file: &MergedFile, text: &str) -> FileSpec {
    FileSpec {
        path: file.path.clone(),
        component: Component::Runtime,
        owner: Owner::ROOT,
        mode: file.mode,
        content: match file.format {
            MergeFormat::Whole => Content::Secret(text.as_bytes().to_vec().into()),
            MergeFormat::Json | MergeFormat::Toml => Content::Text(text.to_owned()),
        },
    }
}

fn note(restart: &[String]) -> FileSpec {
    FileSpec {
        path: RESTARTS_DUE.to_owned(),
        component: Component::Runtime,
        owner: Owner::ROOT,
        mode: 0o600,
        content: Content::Text(restart.iter().map(|unit| format!("{unit}\n")).collect()),
    }
}

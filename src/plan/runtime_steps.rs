//! Steps that give a host its container runtime and its kernel settings.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{DesiredHost, MergeFormat, MergedFile, PROXY_FILES, merge};
use crate::host::Change;
use crate::state::{Component, Content, DirectorySpec, FileSpec, HostSnapshot, Owner};

use super::host_steps::HostInput;
use super::step::{Action, Plan, Step};

/// Packages and the configuration that is not ours alone.
///
/// On a fresh host the configuration is written *before* the packages, so that the daemons start with it and need no
/// restart.
pub(super) fn add(host: &HostInput<'_>, plan: &mut Plan) {
    let files = merged_files(host, plan);
    let fresh = host.snapshot.facts.docker.is_none();
    if !files.is_empty() {
        plan.steps.push(write_configuration(host, files, fresh));
    }
    unwanted_proxies(host, plan);
    let missing = missing_packages(host.wanted, host.snapshot);
    if missing.is_empty() {
        return;
    }
    let title = format!("install {}", missing.join(", "));
    let change = Change::InstallPackages(missing);
    let step = host.step("packages", title, "not installed".into(), Action::Change(vec![change]));
    plan.steps.push(Step { after: vec![host.id("runtime")], ..step });
    if fresh {
        let action = Action::VerifyRuntime;
        let title = "compare the installed runtime with what was planned for".into();
        let step = host.step("verify-runtime", title, "newly installed".into(), action);
        plan.steps.push(Step { after: vec![host.id("packages")], ..step });
    }
}

/// What must be installed.
pub(super) fn missing_packages(wanted: &DesiredHost, snapshot: &HostSnapshot) -> Vec<String> {
    wanted.packages.iter().filter(|name| !snapshot.packages.contains_key(*name)).cloned().collect()
}

fn merged_files<'a>(host: &HostInput<'a>, plan: &mut Plan) -> Vec<(&'a MergedFile, String)> {
    let mut changed = Vec::new();
    for file in &host.wanted.merged_files {
        let existing = host.snapshot.merged_files.get(&file.path).map(String::as_str);
        match merge(existing, file) {
            Ok(None) => {}
            Ok(Some(_)) if host.kubelet_is_active() => {
                let reason = "it would restart the runtime below running pods, which is not supported yet";
                let line = format!("{}: keys that the tool owns differ", file.path);
                plan.refusals.push(host.refusal(format!("file {}", file.path), reason, vec![line]));
            }
            Ok(Some(text)) => changed.push((file, text)),
            Err(error) => {
                plan.refusals.push(host.refusal(format!("file {}", file.path), &error.to_string(), Vec::new()));
            }
        }
    }
    changed
}

/// Drop-ins of ours that cluster.yml no longer asks for.
fn unwanted_proxies(host: &HostInput<'_>, plan: &mut Plan) {
    let wanted = |path: &str| host.wanted.merged_files.iter().any(|file| file.path == path);
    let left: Vec<(&str, &str)> = PROXY_FILES
        .into_iter()
        .filter(|(path, _)| !wanted(path) && host.snapshot.merged_files.contains_key(*path))
        .collect();
    if left.is_empty() {
        return;
    }
    let details: Vec<String> = left.iter().map(|(path, _)| format!("{path}: not wanted")).collect();
    if host.kubelet_is_active() {
        let reason = "it would restart the runtime below running pods, which is not supported yet";
        plan.refusals.push(host.refusal("the engines' proxies".into(), reason, details));
        return;
    }
    let paths = left.iter().map(|(path, _)| (*path).to_owned()).collect();
    let restart = left.iter().map(|(_, unit)| (*unit).to_owned()).collect();
    let changes = vec![Change::Remove(paths), Change::Units { enable: Vec::new(), start: Vec::new(), restart }];
    let title = "take the engines' proxies away and restart them".to_owned();
    let step = host.step("proxies", title, "cluster.yml names none".into(), Action::Change(changes));
    plan.steps.push(Step { details, after: vec![host.id("runtime")], ..step });
}

fn write_configuration(host: &HostInput<'_>, merged: Vec<(&MergedFile, String)>, fresh: bool) -> Step {
    let details = merged.iter().map(|(file, _)| format!("{}: keys that the tool owns differ", file.path)).collect();
    let mut restart: Vec<String> = merged.iter().map(|(file, _)| file.unit.clone()).collect();
    restart.sort();
    restart.dedup();
    let spec = |(file, text): (&MergedFile, String)| FileSpec {
        path: file.path.clone(),
        component: Component::Runtime,
        owner: Owner::ROOT,
        mode: file.mode,
        content: match file.format {
            MergeFormat::Whole => Content::Secret(text.into_bytes().into()),
            MergeFormat::Json | MergeFormat::Toml => Content::Text(text),
        },
    };
    // Before the packages are there, the folders of their configuration are not either.
    let directories = if fresh { parents(&host.wanted.merged_files) } else { Vec::new() };
    let files = merged.into_iter().map(spec).collect();
    let mut changes = vec![Change::Write { directories, files, links: Vec::new() }];
    let mut title = "write the runtime's configuration".to_owned();
    if !fresh {
        title = format!("{title} and restart {}", restart.join(", "));
        changes.push(Change::Units { enable: Vec::new(), start: Vec::new(), restart });
    }
    Step { details, ..host.step("runtime", title, "keys differ".into(), Action::Change(changes)) }
}

fn parents(merged: &[MergedFile]) -> Vec<DirectorySpec> {
    let parent = |file: &MergedFile| file.path.rsplit_once('/').map_or("/", |(parent, _)| parent).to_owned();
    let paths: BTreeSet<String> = merged.iter().map(parent).collect();
    let spec = |path| DirectorySpec { path, component: Component::Runtime, owner: Owner::ROOT, mode: 0o755 };
    paths.into_iter().map(spec).collect()
}

/// Modules and sysctls that are not in force.
pub(super) fn kernel(host: &HostInput<'_>, plan: &mut Plan) {
    let modules: Vec<String> =
        host.wanted.modules.iter().filter(|name| !host.snapshot.modules.contains(name)).cloned().collect();
    let differs = |(name, value): &(&String, &String)| host.snapshot.sysctls.get(*name) != Some(*value);
    let sysctls: BTreeMap<String, String> =
        host.wanted.sysctls.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut details: Vec<String> = modules.iter().map(|name| format!("module {name}: not loaded")).collect();
    for (name, value) in &sysctls {
        let was = host.snapshot.sysctls.get(name).map_or("not there", String::as_str);
        details.push(format!("{name}: {was} instead of {value}"));
    }
    let mut changes = Vec::new();
    if !modules.is_empty() {
        changes.push(Change::LoadModules(modules));
    }
    if !sysctls.is_empty() {
        changes.push(Change::SetSysctls(sysctls));
    }
    if changes.is_empty() {
        return;
    }
    let step = host.step("kernel", "set kernel settings".into(), details.join("; "), Action::Change(changes));
    plan.steps.push(Step { details, after: vec![host.id("files"), host.id("packages")], ..step });
}

//! Steps that give a host its container runtime and its kernel settings.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{MergedFile, merge};
use crate::host::Change;
use crate::state::{Component, Content, DirectorySpec, FileSpec, Owner};

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
    let missing: Vec<String> =
        host.wanted.packages.iter().filter(|name| !host.snapshot.packages.contains_key(*name)).cloned().collect();
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

fn write_configuration(host: &HostInput<'_>, merged: Vec<(&MergedFile, String)>, fresh: bool) -> Step {
    let details = merged.iter().map(|(file, _)| format!("{}: keys that the tool owns differ", file.path)).collect();
    let mut restart: Vec<String> = merged.iter().map(|(file, _)| file.unit.clone()).collect();
    restart.dedup();
    let spec = |(file, text): (&MergedFile, String)| FileSpec {
        path: file.path.clone(),
        component: Component::Runtime,
        owner: Owner::ROOT,
        mode: file.mode,
        content: Content::Text(text),
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

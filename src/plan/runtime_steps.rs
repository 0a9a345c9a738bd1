//! Steps that give a host its container runtime and its kernel settings.

use std::collections::BTreeMap;

use crate::desired::DesiredHost;
use crate::host::Change;
use crate::state::HostSnapshot;

use super::host_steps::HostInput;
use super::runtime_configuration;
use super::step::{Action, Plan, Step};

/// Packages and the configuration that is not ours alone.
///
/// On a fresh host the configuration is written *before* the packages, so that the daemons start with it and need no
/// restart.
pub(super) fn add(host: &HostInput<'_>, plan: &mut Plan) {
    let fresh = host.snapshot.facts.docker.is_none();
    plan.steps.extend(runtime_configuration::step(host, &mut plan.refusals));
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

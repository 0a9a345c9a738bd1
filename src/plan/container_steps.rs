//! Steps that bring a host's containers.

use crate::base::StepId;
use crate::host::{Change, LogSource};
use crate::state::{Component, ContainerSpec, Mount, ObservedContainer};

use super::host_steps::HostInput;
use super::step::{Action, Plan, Step};
use super::{cluster_steps, file_steps, restore_steps, swap_steps};

/// What has to be done about a container.
enum Need {
    Run { reason: &'static str },
    Start { reason: String },
    Replace { differences: Vec<String> },
    Swap { differences: Vec<String> },
    Mend { differences: Vec<String> },
    Refuse { reason: &'static str, differences: Vec<String> },
}

fn need(host: &HostInput<'_>, component: Component, spec: &ContainerSpec) -> Option<Need> {
    let Some(seen) = host.snapshot.containers.get(&spec.name) else {
        // In the middle of a replacement neither has the name.
        let is_replaced = host.snapshot.is_replaced_now(&spec.name);
        return Some(if is_replaced {
            Need::Swap { differences: Vec::new() }
        } else {
            Need::Run { reason: "missing" }
        });
    };
    let mut differences = container_differences(spec, seen);
    let reads: Vec<String> = file_steps::read_anew(host, component).into_iter().map(|(_, line)| line).collect();
    if differences.is_empty() && !reads.is_empty() && host.mends(component) {
        return Some(Need::Mend { differences: reads });
    }
    differences.extend(reads);
    if host.input.restoration.is_some() && restore_steps::is_stopped_for_restore(&spec.name) {
        differences.retain(|difference| !seen.irregularities.contains(difference));
        if differences.is_empty() {
            return None;
        }
    }
    if differences.is_empty() {
        let reason = || format!("{} (exit code {})", seen.status, seen.exit_code.unwrap_or_default());
        return (!seen.running).then(|| Need::Start { reason: reason() });
    }
    // What has no label of ours is somebody else's; what a first run has left never served anybody.
    if seen.label.is_none() {
        let reason = "it is not provision's, and has the name of what cluster.yml asks for";
        return Some(Need::Refuse { reason, differences });
    }
    let is_living = host.input.history.is_living();
    Some(if is_living { Need::Swap { differences } } else { Need::Replace { differences } })
}

/// Runs, starts or replaces one container, or says why not.
pub(super) fn add(host: &HostInput<'_>, component: Component, spec: &ContainerSpec, plan: &mut Plan) {
    let Some(need) = need(host, component, spec) else { return };
    let is_swap = matches!(need, Need::Swap { .. } | Need::Mend { .. });
    let id = format!("container/{}", spec.name);
    let title = format!("start container {}", spec.name);
    let run = || Action::RunContainer(Box::new(spec.clone()));
    let step = match need {
        Need::Run { reason } => host.step(&id, title, reason.into(), run()),
        Need::Start { reason } => host.step(&id, title, reason, Action::StartContainer(spec.name.clone())),
        Need::Replace { differences } => {
            plan.steps.push(remove(host, spec, differences));
            host.step(&id, title, "replaces the removed one".into(), run())
        }
        Need::Mend { differences } => swap_steps::mend_container(host, component, spec, differences),
        Need::Swap { differences } => swap_steps::swap_container(host, component, spec, differences),
        Need::Refuse { reason, differences } => {
            plan.refusals.push(host.refusal(format!("container {}", spec.name), reason, differences));
            return;
        }
    };
    let mut after = host.runtime();
    after.extend([host.id("files"), host.id("kernel"), host.id(&format!("container/{}/remove", spec.name))]);
    after.push(host.id(&format!("image/docker/{}", spec.image.reference)));
    // What is replaced has an order of its own, which may be the opposite one.
    if !is_swap {
        after.extend(prerequisites(host, component));
    }
    plan.steps.push(Step { after, log: Some(LogSource::Container(spec.name.clone())), ..step });
}

/// Whether the container serves a living cluster and shall be another.
pub(super) fn is_swapped(host: &HostInput<'_>, component: Component) -> bool {
    let specs = host.wanted.containers.iter().filter(|(wanted, _)| *wanted == component);
    specs.into_iter().any(|(_, spec)| matches!(need(host, component, spec), Some(Need::Swap { .. })))
}

fn remove(host: &HostInput<'_>, spec: &ContainerSpec, differences: Vec<String>) -> Step {
    let changes = vec![Change::StopContainer(spec.name.clone()), Change::RemoveContainer(spec.name.clone())];
    let title = format!("remove container {}", spec.name);
    let reason = "an interrupted first run made it from another cluster.yml".into();
    let step = host.step(&format!("container/{}/remove", spec.name), title, reason, Action::Change(changes));
    Step { details: differences, after: host.runtime(), ..step }
}

/// The order of a first start, found by measuring: who starts before what it needs waits out a retry of seconds.
fn prerequisites(host: &HostInput<'_>, component: Component) -> Vec<StepId> {
    let is_first = cluster_steps::first_api(host.input) == Some(host.id("api"));
    match component {
        Component::KubeApiserver => {
            let members = host.input.cluster.etcd_members();
            let etcd = members.map(|member| StepId(format!("{}/container/etcd", member.name)));
            etcd.chain(cluster_steps::first_api_answers(host.input).filter(|_| !is_first)).collect()
        }
        // Those of other nodes stand by; one of each is enough to get pods going.
        Component::KubeControllerManager | Component::KubeScheduler => {
            let first = cluster_steps::first_healthy(host.input, component).filter(|_| !is_first);
            [host.id("api")].into_iter().chain(first).collect()
        }
        // It is of use to nobody before there are Services, and until then others need the processor.
        Component::KubeProxy => {
            [host.id("registered")].into_iter().chain(cluster_steps::first_api(host.input)).collect()
        }
        _ => Vec::new(),
    }
}

fn container_differences(wanted: &ContainerSpec, seen: &ObservedContainer) -> Vec<String> {
    let mut differences = seen.irregularities.clone();
    for ((name, is), (_, wants)) in settings(&seen.spec).into_iter().zip(settings(wanted)) {
        if is != wants {
            differences.push(format!("{name}: {is} instead of {wants}"));
        }
    }
    differences.extend(argument_differences(wanted, &seen.spec.arguments));
    differences
}

/// Everything but the arguments, in words: equal words mean equal settings.
fn settings(spec: &ContainerSpec) -> [(&'static str, String); 10] {
    let mount = |mount: &Mount| format!("{}{}", mount.path, if mount.writable { " (writable)" } else { "" });
    [
        ("image", spec.image.id.to_string()),
        ("entrypoint", spec.entrypoint.join(" ")),
        ("user", spec.user.clone()),
        ("mounts", spec.mounts.iter().map(mount).collect::<Vec<_>>().join(", ")),
        ("privileged", spec.privileged.to_string()),
        ("capabilities", spec.capabilities.join(" ")),
        ("read-only root", spec.read_only_root.to_string()),
        ("tmpfs", spec.tmpfs.join(" ")),
        ("oom_score_adj", spec.oom_score_adj.to_string()),
        ("cgroup parent and stop time-out", format!("{}, {} s", spec.cgroup_parent, spec.stop_timeout_seconds)),
    ]
}

/// First-start arguments may follow the lasting ones and do not count.
fn argument_differences(wanted: &ContainerSpec, seen: &[String]) -> Vec<String> {
    let lasting: Vec<&String> = seen.iter().filter(|argument| !argument.starts_with("--initial-")).collect();
    if lasting.iter().copied().eq(wanted.arguments.iter()) {
        return Vec::new();
    }
    let added = lasting.iter().filter(|argument| !wanted.arguments.contains(argument));
    let removed = wanted.arguments.iter().filter(|argument| !lasting.contains(argument));
    let mut lines: Vec<String> = added.map(|argument| format!("argument not wanted: {argument}")).collect();
    lines.extend(removed.map(|argument| format!("argument missing: {argument}")));
    if lines.is_empty() {
        lines.push("arguments in another order".into());
    }
    lines
}

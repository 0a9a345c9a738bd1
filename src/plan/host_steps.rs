//! Steps of one host: files, images, containers, units.

use crate::base::{NodeName, StepId};
use crate::desired::{DesiredHost, DesiredImage, UnitSpec};
use crate::host::{Change, LogSource};
use crate::state::{
    Component, Content, ContainerSpec, FileSpec, HostSnapshot, ImageStore, ObservedContainer, ObservedEntry,
};

use super::step::{Action, Plan, Step};
use super::{Input, Refusal, runtime_steps};

/// One host as the planner sees it.
pub(super) struct HostInput<'a> {
    pub input: &'a Input<'a>,
    pub name: &'a NodeName,
    pub wanted: &'a DesiredHost,
    pub snapshot: &'a HostSnapshot,
}

impl HostInput<'_> {
    /// A step id of this host.
    pub fn id(&self, rest: &str) -> StepId {
        StepId(format!("{}/{rest}", self.name))
    }

    /// Whether the component runs now, so that a change of its files is a change of something alive.
    fn is_alive(&self, component: Component) -> bool {
        match component {
            Component::Kubelet => self.kubelet_is_active(),
            Component::Runtime | Component::Kernel | Component::Base | Component::Cni => false,
            container => self.snapshot.containers.get(container.as_str()).is_some_and(|container| container.running),
        }
    }

    /// Whether kubelet runs: from then on the host carries pods.
    pub fn kubelet_is_active(&self) -> bool {
        self.snapshot.units.get("kubelet.service").is_some_and(|unit| unit.active == "active")
    }

    /// What every step that talks to Docker or containerd must wait for.
    pub fn runtime(&self) -> Vec<StepId> {
        vec![self.id("packages"), self.id("runtime"), self.id("verify-runtime")]
    }

    /// A step of this host with no log of its own.
    pub fn step(&self, id: &str, title: String, reason: String, action: Action) -> Step {
        Step {
            id: self.id(id),
            host: Some(self.name.clone()),
            title,
            reason,
            details: Vec::new(),
            action,
            after: Vec::new(),
            log: None,
        }
    }

    /// A refusal on this host.
    pub fn refusal(&self, subject: String, reason: &str, details: Vec<String>) -> Refusal {
        Refusal {
            host: Some(self.name.clone()),
            subject,
            reason: reason.into(),
            hint: "undo what was changed by hand or in cluster.yml, then run `provision plan` again".into(),
            details,
        }
    }
}

const ALIVE: &str = "it belongs to a component that runs, and changing a running component is not supported yet";

/// Adds all steps of a host, in the order in which people read them.
pub(super) fn add(host: &HostInput<'_>, plan: &mut Plan) {
    runtime_steps::add(host, plan);
    users(host, plan);
    files(host, plan);
    runtime_steps::kernel(host, plan);
    payloads(host, plan);
    for image in &host.wanted.images {
        load_image(host, image, plan);
    }
    for (component, spec) in &host.wanted.containers {
        container(host, *component, spec, plan);
    }
    strangers(host, plan);
    for unit in &host.wanted.units {
        start_unit(host, unit, plan);
    }
}

fn users(host: &HostInput<'_>, plan: &mut Plan) {
    for user in &host.wanted.users {
        if host.snapshot.facts.etcd_user == Some((user.owner.uid, user.owner.gid)) {
            continue;
        }
        let title = format!("make system account {} ({}:{})", user.name, user.owner.uid, user.owner.gid);
        let change = Change::MakeUser { name: user.name.clone(), owner: user.owner };
        let id = format!("user/{}", user.name);
        plan.steps.push(host.step(&id, title, "no such account".into(), Action::Change(vec![change])));
    }
}

/// How an observed entry differs from a wanted file.
enum Difference {
    Missing,
    Metadata(String),
    Content(String),
    Kind(&'static str),
}

impl Difference {
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
        Some(ObservedEntry::Directory { .. }) => Some(Difference::Kind("directory")),
        Some(ObservedEntry::Link { .. }) => Some(Difference::Kind("link")),
        Some(ObservedEntry::Other) => Some(Difference::Kind("socket or device")),
        Some(ObservedEntry::File { owner, mode, digest }) => {
            let wanted = file.content.digest();
            if *digest != wanted {
                let text = format!("content differs ({} instead of {})", digest.short(), wanted.short());
                return Some(Difference::Content(text));
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

/// One step writes all small files, directories and links: one request, one sync.
fn files(host: &HostInput<'_>, plan: &mut Plan) {
    let mut details = Vec::new();
    let mut directories = Vec::new();
    for directory in &host.wanted.directories {
        let wanted = ObservedEntry::Directory { owner: directory.owner, mode: directory.mode };
        match host.snapshot.entries.get(&directory.path) {
            Some(seen) if *seen == wanted => {}
            seen => {
                let why = seen.map_or("missing", |_| "owner or mode differs");
                details.push(format!("{}/: {why}", directory.path));
                directories.push(directory.clone());
            }
        }
    }
    let mut files = Vec::new();
    for file in host.wanted.files.iter().filter(|file| !matches!(file.content, Content::Payload { .. })) {
        let Some(difference) = file_difference(host, file) else { continue };
        let line = format!("{}: {}", file.path, difference.describe());
        match difference {
            Difference::Content(_) | Difference::Kind(_) if host.is_alive(file.component) => {
                plan.refusals.push(host.refusal(format!("file {}", file.path), ALIVE, vec![line]));
            }
            _ => {
                details.push(line);
                files.push(file.clone());
            }
        }
    }
    let mut links = Vec::new();
    for link in &host.wanted.links {
        let wanted = ObservedEntry::Link { target: link.target.clone() };
        match host.snapshot.entries.get(&link.path) {
            Some(seen) if *seen == wanted => {}
            Some(_) if host.is_alive(link.component) => {
                let line = format!("{}: does not point to {}", link.path, link.target);
                plan.refusals.push(host.refusal(format!("link {}", link.path), ALIVE, vec![line]));
            }
            seen => {
                let why = seen.map_or("missing", |_| "points elsewhere");
                details.push(format!("{} -> {}: {why}", link.path, link.target));
                links.push(link.clone());
            }
        }
    }
    if details.is_empty() {
        return;
    }
    let title = format!("write {}", count(details.len(), "file or folder", "files and folders"));
    let reason = if files.is_empty() { "folders or links differ".into() } else { summary(&details) };
    let change = Change::Write { directories, files, links };
    plan.steps.push(Step { details, ..host.step("files", title, reason, Action::Change(vec![change])) });
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
fn payloads(host: &HostInput<'_>, plan: &mut Plan) {
    for file in &host.wanted.files {
        let Content::Payload { digest, size } = &file.content else { continue };
        let Some(difference) = file_difference(host, file) else { continue };
        let line = format!("{}: {}", file.path, difference.describe());
        if host.is_alive(file.component) && !matches!(difference, Difference::Missing | Difference::Metadata(_)) {
            plan.refusals.push(host.refusal(format!("file {}", file.path), ALIVE, vec![line]));
            continue;
        }
        let Some(payload) = host.input.sources.files.get(digest) else {
            plan.refusals.push(missing_source(host, &format!("file {}", file.path)));
            continue;
        };
        let change = Change::Send {
            path: file.path.clone(),
            owner: file.owner,
            mode: file.mode,
            payload: payload.clone(),
        };
        let title = format!("send {} ({})", file.path, mebibytes(*size));
        let id = format!("file{}", file.path);
        let step = host.step(&id, title, difference.describe(), Action::Change(vec![change]));
        plan.steps.push(Step { after: vec![host.id("files")], ..step });
    }
}

fn mebibytes(size: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mebibytes = size as f64 / 1_048_576.0;
    format!("{mebibytes:.1} MiB")
}

fn missing_source(host: &HostInput<'_>, what: &str) -> Refusal {
    Refusal {
        host: Some(host.name.clone()),
        subject: what.to_owned(),
        reason: "the host lacks it and no bundle that was given holds it".into(),
        hint: "give a bundle that holds it: --bundle PATH (see docs/bundle.md)".into(),
        details: Vec::new(),
    }
}

fn load_image(host: &HostInput<'_>, image: &DesiredImage, plan: &mut Plan) {
    let seen = match image.store {
        ImageStore::Docker => host.snapshot.docker_images.get(&image.reference),
        ImageStore::Containerd => host.snapshot.containerd_images.get(&image.reference),
    };
    let reason = match (seen, &image.id) {
        (None, _) => "missing".to_owned(),
        (Some(seen), Some(wanted)) if seen != wanted => {
            format!("holds other bytes under this name ({} instead of {})", seen.short(), wanted.short())
        }
        _ => return,
    };
    let Some(payload) = host.input.sources.images.get(&image.reference) else {
        plan.refusals.push(missing_source(host, &format!("image {} for {}", image.reference, image.store)));
        return;
    };
    let title = format!("load {} into {} ({})", image.reference, image.store, mebibytes(payload.size));
    let change = Change::LoadImage {
        store: image.store,
        reference: image.reference.clone(),
        id: image.id.clone(),
        payload: payload.clone(),
    };
    let step = host.step(&image_id(image), title, reason, Action::Change(vec![change]));
    plan.steps.push(Step { after: host.runtime(), ..step });
}

fn image_id(image: &DesiredImage) -> String {
    let store = match image.store {
        ImageStore::Docker => "docker",
        ImageStore::Containerd => "containerd",
    };
    format!("image/{store}/{}", image.reference)
}

fn container(host: &HostInput<'_>, component: Component, spec: &ContainerSpec, plan: &mut Plan) {
    let id = format!("container/{}", spec.name);
    let log = Some(LogSource::Container(spec.name.clone()));
    let title = format!("start container {}", spec.name);
    let step = match host.snapshot.containers.get(&spec.name) {
        None => host.step(&id, title, "missing".into(), Action::RunContainer(Box::new(spec.clone()))),
        Some(seen) => {
            let differences = container_differences(spec, seen);
            if differences.is_empty() {
                if seen.running {
                    return;
                }
                let reason = format!("{} (exit code {})", seen.status, seen.exit_code.unwrap_or_default());
                host.step(&id, title, reason, Action::StartContainer(spec.name.clone()))
            } else if seen.running || host.input.history.is_living() || seen.label.is_none() {
                let reason = if seen.running { ALIVE } else { "it is not the container that cluster.yml asks for" };
                plan.refusals.push(host.refusal(format!("container {}", spec.name), reason, differences));
                return;
            } else {
                // Left by an interrupted first run with other options: it never served anybody.
                let remove = Action::Change(vec![Change::RemoveContainer(spec.name.clone())]);
                let remove_id = format!("container/{}/remove", spec.name);
                let remove_title = format!("remove stopped container {}", spec.name);
                let reason = "left by an interrupted run".into();
                plan.steps.push(Step { details: differences, ..host.step(&remove_id, remove_title, reason, remove) });
                host.step(&id, title, "missing".into(), Action::RunContainer(Box::new(spec.clone())))
            }
        }
    };
    let mut after = host.runtime();
    after.extend([host.id("files"), host.id("kernel"), host.id(&format!("container/{}/remove", spec.name))]);
    after.push(host.id(&format!("image/docker/{}", spec.image.reference)));
    after.extend(component_prerequisites(host, component));
    plan.steps.push(Step { after, log, ..step });
}

/// The order of a first start, found by measuring: who starts before what it needs waits out a retry of seconds.
fn component_prerequisites(host: &HostInput<'_>, component: Component) -> Vec<StepId> {
    match component {
        Component::KubeApiserver => {
            let members = host.input.cluster.etcd_members();
            members.map(|member| StepId(format!("{}/container/etcd", member.name))).collect()
        }
        Component::KubeControllerManager | Component::KubeScheduler => vec![host.id("api")],
        Component::KubeProxy => vec![host.id("registered")],
        _ => Vec::new(),
    }
}

fn container_differences(wanted: &ContainerSpec, seen: &ObservedContainer) -> Vec<String> {
    let mut differences = seen.irregularities.clone();
    let is = &seen.spec;
    let mut compare = |field: &str, same: bool, was: String, wants: String| {
        if !same {
            differences.push(format!("{field}: {was} instead of {wants}"));
        }
    };
    compare("image", is.image.id == wanted.image.id, is.image.id.short().into(), wanted.image.id.short().into());
    compare("entrypoint", is.entrypoint == wanted.entrypoint, is.entrypoint.join(" "), wanted.entrypoint.join(" "));
    compare("user", is.user == wanted.user, is.user.clone(), wanted.user.clone());
    compare("mounts", is.mounts == wanted.mounts, format!("{:?}", is.mounts), format!("{:?}", wanted.mounts));
    compare("privileged", is.privileged == wanted.privileged, is.privileged.to_string(), wanted.privileged.to_string());
    compare(
        "capabilities",
        is.capabilities == wanted.capabilities,
        is.capabilities.join(" "),
        wanted.capabilities.join(" "),
    );
    compare(
        "read-only root",
        is.read_only_root == wanted.read_only_root,
        is.read_only_root.to_string(),
        wanted.read_only_root.to_string(),
    );
    compare("tmpfs", is.tmpfs == wanted.tmpfs, is.tmpfs.join(" "), wanted.tmpfs.join(" "));
    compare(
        "oom_score_adj",
        is.oom_score_adj == wanted.oom_score_adj,
        is.oom_score_adj.to_string(),
        wanted.oom_score_adj.to_string(),
    );
    compare(
        "cgroup parent",
        is.cgroup_parent == wanted.cgroup_parent,
        is.cgroup_parent.clone(),
        wanted.cgroup_parent.clone(),
    );
    compare(
        "stop time-out",
        is.stop_timeout_seconds == wanted.stop_timeout_seconds,
        is.stop_timeout_seconds.to_string(),
        wanted.stop_timeout_seconds.to_string(),
    );
    differences.extend(argument_differences(wanted, &is.arguments));
    differences
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

/// Containers with our label that nothing asks for: a role was taken from the node.
fn strangers(host: &HostInput<'_>, plan: &mut Plan) {
    let wanted = |name: &str| host.wanted.containers.iter().any(|(_, spec)| spec.name == name);
    for seen in host.snapshot.containers.values().filter(|seen| seen.label.is_some() && !wanted(&seen.name)) {
        let reason = "cluster.yml no longer asks for it on this node; taking a role from a node is not supported yet";
        let refusal = host.refusal(format!("container {}", seen.name), reason, Vec::new());
        plan.refusals.push(refusal);
    }
}

fn start_unit(host: &HostInput<'_>, unit: &UnitSpec, plan: &mut Plan) {
    let seen = host.snapshot.units.get(&unit.name);
    if seen.is_some_and(|seen| seen.enabled && seen.active == "active") {
        return;
    }
    let reason = seen.map_or("missing".into(), |seen| {
        format!("{}, {}", if seen.enabled { "enabled" } else { "not enabled" }, seen.active)
    });
    let title = format!("enable and start {}", unit.name);
    let step = host.step(&format!("unit/{}", unit.name), title, reason, Action::StartUnit(unit.name.clone()));
    let mut after = host.runtime();
    after.extend([host.id("files"), host.id("kernel")]);
    if unit.component == Component::Kubelet {
        after.extend(kubelet_prerequisites(host));
    }
    plan.steps.push(Step { after, log: Some(LogSource::Unit(unit.name.clone())), ..step });
}

/// kubelet registers at its first try if the API is there; otherwise it backs off for up to seven seconds.
fn kubelet_prerequisites(host: &HostInput<'_>) -> Vec<StepId> {
    let payloads = host.wanted.files.iter().filter(|file| matches!(file.content, Content::Payload { .. }));
    let mut after: Vec<StepId> = payloads.map(|file| host.id(&format!("file{}", file.path))).collect();
    let pods = host.wanted.images.iter().filter(|image| image.store == ImageStore::Containerd);
    after.extend(pods.map(|image| host.id(&image_id(image))));
    after.push(host.id("container/api-proxy"));
    after.extend(host.input.cluster.control_planes().map(|node| StepId(format!("{}/api", node.name))));
    after
}

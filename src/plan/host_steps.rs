//! Steps of one host: files, images, containers, units.

use crate::base::{NodeName, StepId};
use crate::desired::{DesiredHost, DesiredImage, UnitSpec};
use crate::host::{Change, LogSource, Transfer};
use crate::state::{Component, Content, HostSnapshot, ImageStore, ObservedApi};

use super::step::{Action, Plan, Step};
use super::{
    Input, Refusal, cluster_steps, container_steps, file_steps, missing_image, runtime_steps, settle_steps, swap_steps,
};

/// One host as the planner sees it.
pub(super) struct HostInput<'a> {
    pub input: &'a Input<'a>,
    pub name: &'a NodeName,
    pub wanted: &'a DesiredHost,
    pub snapshot: &'a HostSnapshot,
}

const KUBELET: &str = "kubelet.service";

impl HostInput<'_> {
    /// A step id of this host.
    pub fn id(&self, rest: &str) -> StepId {
        StepId(format!("{}/{rest}", self.name))
    }

    /// Whether the component serves a living cluster now, so that a change of its files is a change of something alive.
    /// Before the first `up` has ended well nothing has served anybody, and a wrong option can simply be put right.
    pub fn is_alive(&self, component: Component) -> bool {
        if !self.input.history.is_living() {
            return false;
        }
        match component {
            Component::Kubelet => self.kubelet_is_active(),
            Component::Runtime | Component::Kernel | Component::Base | Component::Cni => false,
            container => {
                let name = container.as_str();
                self.snapshot.is_replaced_now(name)
                    || self.snapshot.containers.get(name).is_some_and(|seen| seen.running)
            }
        }
    }

    /// Whether what the API is made of is just started anew with other files: where none of it works, as when all certificates
    /// have run out, none of it can prove itself alone.
    pub fn mends(&self, component: Component) -> bool {
        let carries_the_api = matches!(component, Component::ApiProxy | Component::Etcd | Component::KubeApiserver);
        let is_gone = matches!(self.input.observed.api, ObservedApi::Unreachable(_));
        carries_the_api && is_gone && self.input.restoration.is_none()
    }

    /// Whether kubelet runs: from then on the host carries pods.
    pub fn kubelet_is_active(&self) -> bool {
        self.snapshot.has_active_kubelet()
    }

    /// Whether a living cluster counts on this host's kubelet, be it that it does not run now: what it runs changes in its turn,
    /// and not before. One that crashes would start with whatever it finds.
    pub fn has_kubelet(&self) -> bool {
        let is_known = self.snapshot.units.contains_key(KUBELET) && self.input.history.has_node(self.name);
        self.is_alive(Component::Kubelet) || is_known
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
            contained: false,
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

/// Adds all steps of a host, in the order in which people read them.
pub(super) fn add(host: &HostInput<'_>, plan: &mut Plan) {
    runtime_steps::add(host, plan);
    users(host, plan);
    file_steps::add(host, plan);
    runtime_steps::kernel(host, plan);
    file_steps::payloads(host, plan);
    for image in &host.wanted.images {
        bring_image(host, image, plan);
    }
    for (component, spec) in &host.wanted.containers {
        if *component == Component::Etcd && lost_data(host, plan) {
            continue;
        }
        container_steps::add(host, *component, spec, plan);
    }
    strangers(host, plan);
    for unit in &host.wanted.units {
        start_unit(host, unit, plan);
    }
    settle_steps::add(host, plan);
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

/// A member that was once part of the whole cluster never starts with empty data: it would vote with no memory.
fn lost_data(host: &HostInput<'_>, plan: &mut Plan) -> bool {
    let was_complete = host.input.history.complete_etcd_members.contains(host.name);
    // A restore that ended in the middle may have taken it away, and goes on.
    if host.input.restoration.is_some() || !was_complete || host.snapshot.entries.contains_key(ETCD_DATA) {
        return false;
    }
    let reason = "etcd's data is gone from this host; a member that is started empty could lose what was written, and \
                  replacing a member is not supported yet";
    plan.refusals.push(Refusal {
        hint: format!("put {ETCD_DATA} back from a copy of the disk, with its owner and modes"),
        ..host.refusal("container etcd".into(), reason, vec![format!("{ETCD_DATA}: missing")])
    });
    true
}

/// etcd makes it when it first starts.
const ETCD_DATA: &str = "/var/lib/etcd/member";

/// A size for people.
pub(super) fn mebibytes(size: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mebibytes = size as f64 / 1_048_576.0;
    format!("{mebibytes:.1} MiB")
}

/// What a host lacks and nobody has.
pub(super) fn missing_source(host: &HostInput<'_>, what: &str) -> Refusal {
    Refusal {
        host: Some(host.name.clone()),
        subject: what.to_owned(),
        reason: "the host lacks it and no bundle that was given holds it".into(),
        hint: "give a bundle that holds it: --bundle PATH (see docs/bundle.md)".into(),
        details: Vec::new(),
    }
}

fn bring_image(host: &HostInput<'_>, image: &DesiredImage, plan: &mut Plan) {
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
    let sources = &host.input.sources;
    let pull = sources.pulls.get(&(image.store, image.reference.clone()));
    let (title, change) = match (sources.images.get(&image.reference), pull) {
        (Some(payload), _) => load(image, payload),
        (None, Some(pull)) => {
            let title = format!("pull {} into {} ({})", image.reference, image.store, mebibytes(pull.size));
            (title, Change::PullImage(Box::new(pull.clone())))
        }
        (None, None) => {
            let is_allowed = host.input.allow_missing_images && image.store == ImageStore::Containerd && seen.is_none();
            if is_allowed && missing_image::note(host.input, &image.reference, host.name, plan) {
                return;
            }
            plan.refusals.push(missing_source(host, &format!("image {} for {}", image.reference, image.store)));
            return;
        }
    };
    let step = host.step(&image_id(image), title, reason, Action::Change(vec![change]));
    let mut after = host.runtime();
    // Certificates and stand-ins of registries are among the files.
    after.extend(pull.map(|_| host.id("files")));
    plan.steps.push(Step { after, ..step });
}

fn load(image: &DesiredImage, payload: &Transfer) -> (String, Change) {
    let title = format!("load {} into {} ({})", image.reference, image.store, mebibytes(payload.size));
    let (store, reference, id) = (image.store, image.reference.clone(), image.id.clone());
    (title, Change::LoadImage { store, reference, id, payload: payload.clone() })
}

fn image_id(image: &DesiredImage) -> String {
    let store = match image.store {
        ImageStore::Docker => "docker",
        ImageStore::Containerd => "containerd",
    };
    format!("image/{store}/{}", image.reference)
}
/// Containers with our label that nothing asks for: a role was taken from the node.
fn strangers(host: &HostInput<'_>, plan: &mut Plan) {
    // What an interrupted replacement has left goes with the next one.
    let wanted = |name: &str| {
        let name = name.strip_suffix(".next").unwrap_or(name);
        host.wanted.containers.iter().any(|(_, spec)| spec.name == name)
    };
    for seen in host.snapshot.containers.values().filter(|seen| seen.label.is_some() && !wanted(&seen.name)) {
        let reason = "cluster.yml no longer asks for it on this node; taking a role from a node is not supported yet";
        let refusal = host.refusal(format!("container {}", seen.name), reason, Vec::new());
        plan.refusals.push(refusal);
    }
}

fn start_unit(host: &HostInput<'_>, unit: &UnitSpec, plan: &mut Plan) {
    let seen = host.snapshot.units.get(&unit.name);
    if let Some(step) = swap_steps::swap_kubelet(host, unit).filter(|_| unit.component == Component::Kubelet) {
        if !seen.is_some_and(|seen| seen.enabled) {
            enable_unit(host, unit, plan);
        }
        let mut after = host.runtime();
        after.extend([host.id("files"), host.id("kernel"), host.id(&enable_id(unit))]);
        // What is replaced has an order of its own, which may be the opposite one.
        after.extend(kubelet_prerequisites(host).into_iter().filter(|id| !plan.swaps(id)));
        plan.steps.push(Step { after, ..step });
        return;
    }
    let runs = seen.is_some_and(|seen| seen.enabled && seen.active == "active");
    let restart = runs && !host.input.history.is_living() && file_steps::rewrites(host, unit.component);
    if runs && !restart {
        return;
    }
    let reason = match seen {
        _ if restart => "its files are written anew".into(),
        None => "missing".into(),
        Some(seen) => format!("{}, {}", if seen.enabled { "enabled" } else { "not enabled" }, seen.active),
    };
    if !seen.is_some_and(|seen| seen.enabled) {
        enable_unit(host, unit, plan);
    }
    let title = format!("{} {}", if restart { "restart" } else { "start" }, unit.name);
    let action = Action::StartUnit { name: unit.name.clone(), restart };
    let step = host.step(&format!("unit/{}", unit.name), title, reason, action);
    let mut after = host.runtime();
    after.extend([host.id("files"), host.id("kernel"), host.id(&enable_id(unit))]);
    if unit.component == Component::Kubelet {
        after.extend(kubelet_prerequisites(host));
    }
    plan.steps.push(Step { after, log: Some(LogSource::Unit(unit.name.clone())), ..step });
}

/// A step of its own, since systemd reads all units again for it: that is done while the API is awaited.
fn enable_unit(host: &HostInput<'_>, unit: &UnitSpec, plan: &mut Plan) {
    let change = Change::Units { enable: vec![unit.name.clone()], start: Vec::new(), restart: Vec::new() };
    let title = format!("enable {}", unit.name);
    let step = host.step(&enable_id(unit), title, "not enabled".into(), Action::Change(vec![change]));
    plan.steps.push(Step { after: vec![host.id("files")], ..step });
}

fn enable_id(unit: &UnitSpec) -> String {
    format!("unit/{}/enable", unit.name)
}

/// kubelet needs about a second before it registers, in which an API that answers gets ready. One that is not
/// there yet makes it wait twice as long after each try, up to seven seconds.
fn kubelet_prerequisites(host: &HostInput<'_>) -> Vec<StepId> {
    let mut after = kubelet_bytes(host);
    after.push(host.id("container/api-proxy"));
    after.extend(cluster_steps::first_api_answers(host.input));
    after
}

/// Its program and the images of its pods.
fn kubelet_bytes(host: &HostInput<'_>) -> Vec<StepId> {
    let payloads = host.wanted.files.iter().filter(|file| matches!(file.content, Content::Payload { .. }));
    let mut after: Vec<StepId> = payloads.map(|file| host.id(&format!("file{}", file.path))).collect();
    let pods = host.wanted.images.iter().filter(|image| image.store == ImageStore::Containerd);
    after.extend(pods.map(|image| host.id(&image_id(image))));
    after
}

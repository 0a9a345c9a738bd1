//! Steps for objects of the API: what differs is applied in order, and what was applied is awaited.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Input;
use super::cluster_steps::{first_api, host_id, live, wait};
use super::inventory_steps::{self, NOTE};
use super::object_difference::object_difference;
use super::owned_fields::as_it_is;
use super::readiness::{has_condition, is_awaited, workload_is_ready};
use super::step::{Action, Condition, Plan, Step};
use crate::base::StepId;
use crate::cluster::NetworkPlugin;
use crate::desired::NETWORK;
use crate::state::{Object, ObjectKey, ObservedApi, Resource, ResourceKind};

/// The order in which objects are applied, each stage at once. Deleting goes the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Kinds of their own.
    Definitions,
    /// What others lie in.
    Namespaces,
    /// Roles, policies, configuration, services: all that pods need.
    Foundation,
    /// What runs pods.
    Workloads,
    /// What pods serve: objects of custom kinds, APIs, webhooks. A webhook that nobody answers stops all others.
    Resources,
}

impl Stage {
    pub const ALL: [Self; 5] =
        [Self::Definitions, Self::Namespaces, Self::Foundation, Self::Workloads, Self::Resources];

    /// By kind.
    pub fn of(key: &ObjectKey) -> Self {
        match key.kind.as_str() {
            "CustomResourceDefinition" => Self::Definitions,
            "Namespace" => Self::Namespaces,
            "CronJob"
            | "DaemonSet"
            | "Deployment"
            | "Job"
            | "Pod"
            | "ReplicaSet"
            | "ReplicationController"
            | "StatefulSet" => Self::Workloads,
            "APIService"
            | "MutatingWebhookConfiguration"
            | "ValidatingAdmissionPolicyBinding"
            | "ValidatingWebhookConfiguration" => Self::Resources,
            _ if Resource::built_in(&key.resource_kind()).is_none() => Self::Resources,
            _ => Self::Foundation,
        }
    }

    pub fn id(self) -> &'static str {
        match self {
            Self::Definitions => "definitions",
            Self::Namespaces => "namespaces",
            Self::Foundation => "foundation",
            Self::Workloads => "workloads",
            Self::Resources => "resources",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Definitions => "definitions of kinds",
            Self::Namespaces => "namespaces",
            Self::Foundation => "roles, policies and configuration",
            Self::Workloads => "workloads",
            Self::Resources => "objects that need workloads or definitions",
        }
    }
}

/// Adds everything about objects: the inventory first, then ours, then those of the operator's add-ons.
pub(super) fn add(input: &Input<'_>, plan: &mut Plan) {
    inventory_steps::note(input, plan);
    let (own, others) = input.desired.objects.split_at(own_objects(input));
    let ours = Group { prefix: "cluster".into(), name: None, objects: own.iter().collect() };
    ours.add(input, Vec::new(), plan);
    let groups = user_groups(others);
    require_kinds(input, others, plan);
    for group in &groups {
        group.add(input, foreign_steps(group, &groups), plan);
    }
}

/// How many of the wanted objects are the tool's own: the first ones.
pub(super) fn own_objects(input: &Input<'_>) -> usize {
    let others: usize = input.cluster.addons.iter().map(|addon| addon.objects.len()).sum();
    input.desired.objects.len().saturating_sub(others)
}

/// One for each add-on, in the order of the file.
fn user_groups(objects: &[Object]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for object in objects {
        match groups.iter_mut().find(|group| group.name == Some(&object.addon)) {
            Some(group) => group.objects.push(object),
            None => groups.push(Group {
                prefix: format!("addon/{}", object.addon),
                name: Some(&object.addon),
                objects: vec![object],
            }),
        }
    }
    groups
}

/// Of a new cluster nobody can ask beforehand which kinds it serves. Nothing of an add-on is applied before that is known.
fn require_kinds(input: &Input<'_>, objects: &[Object], plan: &mut Plan) {
    let kinds: BTreeSet<ResourceKind> = objects.iter().map(|object| object.key.resource_kind()).collect();
    let unknown: Vec<ResourceKind> = kinds.into_iter().filter(|kind| Resource::built_in(kind).is_some()).collect();
    if unknown.is_empty() || matches!(input.observed.api, ObservedApi::Reached { .. }) {
        return;
    }
    plan.steps.push(Step {
        id: StepId(KINDS.into()),
        host: None,
        title: "ask the API for the kinds of the add-ons".into(),
        reason: "it was not there to be asked".into(),
        details: Vec::new(),
        action: Action::RequireKinds(unknown),
        after: first_api(input).into_iter().collect(),
        log: None,
        contained: true,
    });
}

const KINDS: &str = "addon/kinds";

/// Objects that are applied together: the tool's own, or those of one add-on.
struct Group<'a> {
    prefix: String,
    /// The add-on; none for the tool's own, whose objects have several.
    name: Option<&'a String>,
    objects: Vec<&'a Object>,
}

impl<'a> Group<'a> {
    fn id(&self, stage: Stage) -> StepId {
        StepId(format!("{}/{}", self.prefix, stage.id()))
    }

    fn established(&self) -> StepId {
        StepId(format!("{}/established", self.prefix))
    }

    fn of(&self, stage: Stage) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().copied().filter(move |object| Stage::of(&object.key) == stage)
    }

    fn add(&self, input: &Input<'_>, foreign: Vec<StepId>, plan: &mut Plan) {
        for stage in Stage::ALL {
            let mut after = self.before(stage, input);
            // Definitions and namespaces need nobody else's: else two add-ons could wait for each other.
            if stage >= Stage::Foundation {
                after.extend(foreign.iter().cloned());
            }
            self.apply(stage, input, after, plan);
            if stage == Stage::Definitions {
                self.await_definitions(input, plan);
            }
        }
    }

    /// Edges of a stage. Steps that the plan does not hold are no edges.
    fn before(&self, stage: Stage, input: &Input<'_>) -> Vec<StepId> {
        let mut after: Vec<StepId> = first_api(input).into_iter().collect();
        after.push(StepId(NOTE.into()));
        after.extend(Stage::ALL.into_iter().filter(|earlier| *earlier < stage).map(|earlier| self.id(earlier)));
        if stage >= Stage::Workloads {
            after.push(self.established());
        }
        if self.name.is_some() {
            after.push(StepId(KINDS.into()));
            let own = Group { prefix: "cluster".into(), name: None, objects: Vec::new() };
            after.extend(Stage::ALL.map(|stage| own.id(stage)));
        }
        after
    }

    fn apply(&self, stage: Stage, input: &Input<'_>, after: Vec<StepId>, plan: &mut Plan) {
        let (mut objects, mut details, mut missing) = (Vec::new(), Vec::new(), 0);
        for object in self.of(stage) {
            let Some(line) = object_line(input, object) else { continue };
            missing += usize::from(live(input, &object.key).is_none());
            objects.push(object.clone());
            details.push(line);
        }
        if objects.is_empty() {
            return;
        }
        let of = self.name.map(|name| format!(" of add-on {name}")).unwrap_or_default();
        let count = objects.len();
        plan.steps.push(Step {
            id: self.id(stage),
            host: None,
            title: format!("apply {}{of} ({count} object{})", stage.what(), if count == 1 { "" } else { "s" }),
            reason: format!("{missing} missing, {} different", count - missing),
            details,
            action: Action::Apply(objects),
            after,
            log: None,
            contained: self.name.is_some(),
        });
    }

    fn await_definitions(&self, input: &Input<'_>, plan: &mut Plan) {
        let is_open = |object: &&Object| {
            applying_step(plan, &object.key).is_some()
                || !live(input, &object.key).is_some_and(|live| has_condition(live, "Established"))
        };
        let open: Vec<&Object> = self.of(Stage::Definitions).filter(is_open).collect();
        let Some(first) = open.first() else { return };
        let addon = first.addon.clone();
        let keys = open.iter().map(|object| object.key.clone()).collect();
        let title = format!("wait until the kinds of add-on {addon} are served");
        let step = wait(self.established(), None, title, Condition::Established { addon, keys });
        plan.steps.push(Step { after: vec![self.id(Stage::Definitions)], contained: true, ..step });
    }

    /// The kinds that it defines.
    fn kinds(&self) -> BTreeSet<ResourceKind> {
        self.of(Stage::Definitions)
            .flat_map(|object| Resource::defined_by(&object.body))
            .map(|(kind, _)| kind)
            .collect()
    }
}

/// Steps of other add-ons that bring kinds or namespaces which this one uses.
fn foreign_steps(group: &Group<'_>, groups: &[Group<'_>]) -> Vec<StepId> {
    let kinds: BTreeSet<ResourceKind> = group.objects.iter().map(|object| object.key.resource_kind()).collect();
    let namespaces: BTreeSet<&str> = group.objects.iter().map(|object| object.key.namespace.as_str()).collect();
    let mut steps = Vec::new();
    for other in groups.iter().filter(|other| other.name != group.name) {
        if !other.kinds().is_disjoint(&kinds) {
            steps.extend([other.id(Stage::Definitions), other.established()]);
        }
        if other.of(Stage::Namespaces).any(|object| namespaces.contains(object.key.name.as_str())) {
            steps.push(other.id(Stage::Namespaces));
        }
    }
    steps
}

fn object_line(input: &Input<'_>, object: &Object) -> Option<String> {
    let Some(live) = live(input, &object.key) else { return Some(format!("{}: missing", object.key)) };
    let differences = object_difference(&object.body, live);
    let first = differences.first()?;
    let more = if differences.len() > 1 { format!(" and {} more", differences.len() - 1) } else { String::new() };
    Some(format!("{}: {first}{more}", object.key))
}

/// The step that applies an object, where there is one.
fn applying_step(plan: &Plan, key: &ObjectKey) -> Option<StepId> {
    let applies = |step: &&Step| match &step.action {
        Action::Apply(objects) => objects.iter().any(|applied| applied.key == *key),
        _ => false,
    };
    plan.steps.iter().find(applies).map(|step| step.id.clone())
}

/// The workloads of the network plugin: when a node is not Ready, their pods tell why.
pub(super) fn network_workloads(input: &Input<'_>) -> Vec<ObjectKey> {
    let own = input.desired.objects.iter().take(own_objects(input));
    let plugin = own.filter(|object| object.addon == NETWORK && is_awaited(&object.key.kind));
    plugin.map(|object| object.key.clone()).collect()
}

/// Adds waits for what was applied, for what an earlier run has not seen ready, and for what has to come back once nodes are
/// replaced below it: after `moved`, the ends of these.
pub(super) fn waits(input: &Input<'_>, moved: &[StepId], plan: &mut Plan) {
    // Without a network plugin of ours pods start only when the operator has installed one.
    let all_ready = input
        .cluster
        .nodes
        .iter()
        .all(|node| live(input, &ObjectKey::node(&node.name)).is_some_and(super::readiness::node_is_ready));
    if input.cluster.network.plugin == NetworkPlugin::None && !all_ready {
        return;
    }
    // Where no node has a network, only the pods of its plugin come to be.
    let none_has_network = input.cluster.nodes.iter().all(|node| plan.is_without_network(&node.name));
    let ready: Vec<StepId> = input.cluster.nodes.iter().map(|node| host_id(&node.name, "ready")).collect();
    let own = own_objects(input);
    for (position, object) in input.desired.objects.iter().enumerate() {
        if none_has_network && object.addon != NETWORK {
            continue;
        }
        let Some(condition) = awaited(object, plan) else { continue };
        let applied = applying_step(plan, &object.key);
        let comes_back = !moved.is_empty() && object.key.kind != "Job";
        if applied.is_none() && !comes_back && live(input, &object.key).is_some_and(|live| holds(&condition, live)) {
            continue;
        }
        let is_own = position < own;
        let of = if is_own { String::new() } else { format!(" of add-on {}", object.addon) };
        let title = match &condition {
            Condition::OnlyImagesMissing { .. } => format!("wait until pods of {} wait for their images", object.key),
            _ => format!("wait for {}{of} to be ready", object.key),
        };
        let step = wait(ready_id(object, is_own), None, title, condition);
        let reason = if applied.is_none() && comes_back { "its pods move".into() } else { step.reason };
        let after = ready.iter().chain(moved).cloned().chain(applied).collect();
        let step = Step { reason, after, contained: true, ..step };
        plan.steps.push(if is_own { proven(step, object, input, plan) } else { step });
    }
}

/// The wait for a workload that comes over one that is ready, which is put back with all else of its add-on that the plan applies
/// over others, but for definitions and namespaces. On the way back nothing is put back: what runs then is what the way leads away from.
fn proven(step: Step, workload: &Object, input: &Input<'_>, plan: &Plan) -> Step {
    let Action::Wait(Condition::WorkloadReady { addon, key }) = &step.action else { return step };
    let was_ready = live(input, key).is_some_and(workload_is_ready);
    let leads_back = input.history.goes_back || input.restoration.is_some();
    if !was_ready || leads_back || applying_step(plan, key).is_none() {
        return step;
    }
    let applied = |object: &&Object| object.addon == workload.addon && applying_step(plan, &object.key).is_some();
    let objects: Vec<&Object> = input.desired.objects.iter().take(own_objects(input)).filter(applied).collect();
    // An older definition may not know what is stored by now.
    let before = [Stage::Foundation, Stage::Workloads, Stage::Resources].map(|stage| {
        let of_stage = objects.iter().copied().filter(|object| Stage::of(&object.key) == stage);
        let as_before = |object: &Object| {
            Some(Object { body: as_it_is(live(input, &object.key)?, &object.body), ..object.clone() })
        };
        of_stage.filter_map(as_before).collect()
    });
    let reason = "comes over one that is ready, which is put back where it does not get ready".into();
    let action = Action::Prove { addon: addon.clone(), key: key.clone(), before: before.into() };
    Step { reason, action, ..step }
}

/// What an object is awaited by, where it is one that can be.
fn awaited(object: &Object, plan: &Plan) -> Option<Condition> {
    let (addon, key) = (object.addon.clone(), object.key.clone());
    let images = plan.missing_of(&key);
    if !images.is_empty() {
        return Some(Condition::OnlyImagesMissing { addon, key, images });
    }
    match key.kind.as_str() {
        // One without a service is answered by the apiserver itself.
        "APIService" if object.body["spec"]["service"].is_object() => Some(Condition::ServiceAvailable { addon, key }),
        kind if is_awaited(kind) && Resource::built_in(&key.resource_kind()).is_some() => {
            Some(Condition::WorkloadReady { addon, key })
        }
        _ => None,
    }
}

fn holds(condition: &Condition, live: &Value) -> bool {
    match condition {
        Condition::ServiceAvailable { .. } => has_condition(live, "Available"),
        // Only its pods can tell.
        Condition::OnlyImagesMissing { .. } => false,
        _ => workload_is_ready(live),
    }
}

fn ready_id(object: &Object, is_own: bool) -> StepId {
    let ObjectKey { kind, namespace, name, .. } = &object.key;
    StepId(if is_own {
        format!("cluster/ready/{name}")
    } else {
        format!("addon/{}/ready/{kind}/{namespace}/{name}", object.addon)
    })
}

//! Steps that need the whole cluster: etcd's and the API's health, objects, nodes.

use serde_json::Value;

use crate::base::{NodeName, StepId};
use crate::cluster::Node;
use crate::desired::NodeMetadata;
use crate::host::LogSource;
use crate::state::{Component, ObjectKey, ObservedApi};

use super::readiness::node_is_ready;
use super::step::{Action, Condition, Plan, Step};
use super::{Input, addon_steps, inventory_steps};

/// Adds waits for what was started, objects that differ, and labels and taints.
pub(super) fn add(input: &Input<'_>, plan: &mut Plan) {
    control_plane_waits(input, plan);
    component_waits(input, plan);
    addon_steps::add(input, plan);
    for node in &input.cluster.nodes {
        self::node(input, node, plan);
    }
    inventory_steps::prune(input, plan);
}

pub(super) fn host_id(node: &NodeName, rest: &str) -> StepId {
    StepId(format!("{node}/{rest}"))
}

/// The wait for the first apiserver of a cluster: objects need only one of them.
pub(super) fn first_api(input: &Input<'_>) -> Option<StepId> {
    input.cluster.control_planes().next().map(|node| host_id(&node.name, "api"))
}

pub(super) fn wait(id: StepId, host: Option<NodeName>, title: String, condition: Condition) -> Step {
    Step {
        id,
        host,
        title,
        reason: "newly started or not ready".into(),
        details: Vec::new(),
        action: Action::Wait(condition),
        after: Vec::new(),
        log: None,
        contained: false,
    }
}

/// Whether a living cluster's API answers.
fn serves(input: &Input<'_>) -> bool {
    matches!(input.observed.api, ObservedApi::Reached { .. }) && input.history.is_living()
}

/// The wait until that apiserver answers at all. It then fills the empty store; the others start meanwhile and find it
/// full, while three at once would do the same work and get in each other's way. None where the API answers: what is started
/// then does not wait for the replacement of an apiserver.
pub(super) fn first_api_answers(input: &Input<'_>) -> Option<StepId> {
    if serves(input) {
        return None;
    }
    input.cluster.control_planes().next().map(|node| host_id(&node.name, "api-answers"))
}

/// The wait until a component of the first control plane is healthy.
pub(super) fn first_healthy(input: &Input<'_>, component: Component) -> Option<StepId> {
    input.cluster.control_planes().next().map(|node| host_id(&node.name, &format!("healthy/{}", component.as_str())))
}

/// Waits are planned where something was started, and where an earlier run ended before it had seen the end.
fn control_plane_waits(input: &Input<'_>, plan: &mut Plan) {
    let members: Vec<NodeName> = input.cluster.etcd_members().map(|node| node.name.clone()).collect();
    // What was replaced on its host was proven there, and comes in another order.
    let is_started = |id: &StepId| plan.has(id) && !plan.swaps(id);
    let started: Vec<StepId> = members.iter().map(|name| host_id(name, "container/etcd")).filter(is_started).collect();
    let etcd = StepId("cluster/etcd".into());
    if !started.is_empty() {
        let step = wait(etcd.clone(), None, "wait for etcd".into(), Condition::EtcdHealthy(members.clone()));
        let log = started.first().map(|_| LogSource::Container("etcd".into()));
        plan.steps.push(Step { after: started, log, ..step });
    }
    for name in &members {
        look_at_data(input, name, plan);
    }
    // An apiserver that a first run had just started answers before it has made the system namespaces.
    for node in input.cluster.control_planes() {
        let container = host_id(&node.name, "container/kube-apiserver");
        if serves(input) && !plan.has(&container) {
            continue;
        }
        if Some(host_id(&node.name, "api")) == first_api(input) {
            plan.steps.push(api_answers(node, container.clone()));
        }
        let title = "wait for the API".into();
        let step =
            wait(host_id(&node.name, "api"), Some(node.name.clone()), title, Condition::ApiReady(node.name.clone()));
        let log = Some(LogSource::Container("kube-apiserver".into()));
        plan.steps.push(Step { after: vec![container, etcd.clone()], log, ..step });
    }
}

/// Last part of the id of the step that looks whether a member's data is damaged.
pub(super) const ETCD_DATA: &str = "etcd-data";

/// A member of a living cluster is started or replaced only where its data is whole: what cannot read it now will not read it
/// then, and only makes it worse.
fn look_at_data(input: &Input<'_>, name: &NodeName, plan: &mut Plan) {
    let is_there = input.snapshot(name).is_some_and(|host| host.containers.contains_key("etcd"));
    let id = host_id(name, ETCD_DATA);
    let starts = host_id(name, "container/etcd");
    let Some(start) = plan.steps.iter_mut().find(|step| step.id == starts) else { return };
    if !is_there || !input.history.is_living() {
        return;
    }
    start.after.push(id.clone());
    let title = "see that etcd's data is not damaged".to_owned();
    let step = wait(id, Some(name.clone()), title, Condition::EtcdDataWhole(name.clone()));
    let log = Some(LogSource::Container("etcd".into()));
    plan.steps.push(Step { reason: "the member is about to start anew".into(), log, ..step });
}

fn api_answers(node: &Node, container: StepId) -> Step {
    let title = "wait for the API to answer".into();
    let condition = Condition::ApiAnswers(node.name.clone());
    let step = wait(host_id(&node.name, "api-answers"), Some(node.name.clone()), title, condition);
    Step { after: vec![container], log: Some(LogSource::Container("kube-apiserver".into())), ..step }
}

/// What is started and not seen through the API is awaited by its own port: a crash loop must not pass for success.
fn component_waits(input: &Input<'_>, plan: &mut Plan) {
    let awaited = |component: &Component| component.health_port().is_some();
    for (node, host) in &input.desired.hosts {
        for (component, spec) in host.containers.iter().filter(|(component, _)| awaited(component)) {
            let container = host_id(node, &format!("container/{}", spec.name));
            // What was replaced on its host was proven there.
            if !plan.has(&container) || plan.swaps(&container) {
                continue;
            }
            let id = host_id(node, &format!("healthy/{}", spec.name));
            let title = format!("wait for {component} to listen");
            let step = wait(id, Some(node.clone()), title, Condition::ComponentHealthy(node.clone(), *component));
            let log = Some(LogSource::Container(spec.name.clone()));
            plan.steps.push(Step { after: vec![container], log, ..step });
        }
    }
}

pub(super) fn live<'a>(input: &Input<'a>, key: &ObjectKey) -> Option<&'a Value> {
    match &input.observed.api {
        ObservedApi::Reached { objects, .. } => objects.get(key),
        ObservedApi::Unreachable(_) => None,
    }
}

/// Registration, labels and taints, readiness of one node.
fn node(input: &Input<'_>, node: &Node, plan: &mut Plan) {
    let key = ObjectKey::node(&node.name);
    let live = live(input, &key);
    let unit = host_id(&node.name, "unit/kubelet.service");
    let registered = host_id(&node.name, "registered");
    let name = || node.name.clone();
    let log = Some(LogSource::Unit("kubelet.service".into()));
    if live.is_none() {
        let step = wait(
            registered.clone(),
            Some(name()),
            "wait for the node to register".into(),
            Condition::NodeRegistered(name()),
        );
        plan.steps.push(Step { after: vec![unit.clone()], log: log.clone(), ..step });
    }
    let metadata = input.desired.nodes.iter().find(|metadata| metadata.name == node.name);
    let details = metadata.map(|metadata| metadata_differences(metadata, live)).unwrap_or_default();
    if let Some(metadata) = metadata.filter(|_| !details.is_empty()) {
        plan.steps.push(Step {
            id: host_id(&node.name, "metadata"),
            host: Some(name()),
            title: "set the node's labels and taints".into(),
            reason: details.join("; "),
            details,
            action: Action::SetNodeMetadata(metadata.clone()),
            after: vec![registered.clone()],
            log: None,
            contained: false,
        });
    }
    // Without a network plugin of ours a node becomes Ready only when the operator has installed one.
    let by_operator = input.cluster.network.plugin == crate::cluster::NetworkPlugin::None;
    let ready = live.is_some_and(node_is_ready);
    let waits_for_images = plan.is_without_network(&node.name);
    if !by_operator && !waits_for_images && (!ready || plan.has(&unit)) {
        let step = wait(
            host_id(&node.name, "ready"),
            Some(name()),
            "wait for the node to be Ready".into(),
            Condition::NodeReady { node: name(), network: addon_steps::network_workloads(input) },
        );
        let after = vec![registered, host_id(&node.name, "metadata"), unit, StepId("cluster/workloads".into())];
        plan.steps.push(Step { after, log, ..step });
    }
}

fn metadata_differences(wanted: &NodeMetadata, live: Option<&Value>) -> Vec<String> {
    let label = |name: &str| live.and_then(|node| node["metadata"]["labels"][name].as_str());
    let mut lines: Vec<String> = wanted
        .labels
        .iter()
        .filter(|(name, value)| label(name) != Some(value))
        .map(|(name, value)| format!("label {name}={value}"))
        .collect();
    let taints = live.and_then(|node| node.pointer("/spec/taints")).and_then(Value::as_array);
    let has = |taint: &crate::cluster::Taint| {
        taints.into_iter().flatten().any(|seen| {
            seen["key"] == *taint.key
                && seen["effect"] == *taint.effect
                && seen["value"].as_str().unwrap_or_default() == taint.value
        })
    };
    let missing = wanted.taints.iter().filter(|taint| !has(taint));
    lines.extend(missing.map(|taint| format!("taint {}={}:{}", taint.key, taint.value, taint.effect)));
    lines
}

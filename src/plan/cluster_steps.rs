//! Steps that need the whole cluster: etcd's and the API's health, objects, nodes.

use serde_json::Value;

use crate::base::{NodeName, StepId};
use crate::cluster::Node;
use crate::desired::NodeMetadata;
use crate::host::LogSource;
use crate::state::{Component, Object, ObjectKey, ObservedApi};

use super::Input;
use super::object_difference::object_difference;
use super::step::{Action, Condition, Plan, Step};

/// Adds waits for what was started, objects that differ, and labels and taints.
pub(super) fn add(input: &Input<'_>, plan: &mut Plan) {
    control_plane_waits(input, plan);
    component_waits(input, plan);
    objects(input, plan);
    for node in &input.cluster.nodes {
        self::node(input, node, plan);
    }
    workload_waits(input, plan);
}

fn host_id(node: &NodeName, rest: &str) -> StepId {
    StepId(format!("{node}/{rest}"))
}

/// The wait for the first apiserver of a cluster: objects need only one of them.
pub(super) fn first_api(input: &Input<'_>) -> Option<StepId> {
    input.cluster.control_planes().next().map(|node| host_id(&node.name, "api"))
}

fn wait(id: StepId, host: Option<NodeName>, title: String, condition: Condition) -> Step {
    Step {
        id,
        host,
        title,
        reason: "newly started or not ready".into(),
        details: Vec::new(),
        action: Action::Wait(condition),
        after: Vec::new(),
        log: None,
    }
}

/// The wait until that apiserver answers at all. It then fills the empty store; the others start meanwhile and find it
/// full, while three at once would do the same work and get in each other's way.
pub(super) fn first_api_answers(input: &Input<'_>) -> Option<StepId> {
    input.cluster.control_planes().next().map(|node| host_id(&node.name, "api-answers"))
}

/// The wait until a component of the first control plane is healthy.
pub(super) fn first_healthy(input: &Input<'_>, component: Component) -> Option<StepId> {
    input.cluster.control_planes().next().map(|node| host_id(&node.name, &format!("healthy/{}", component.as_str())))
}

/// Waits are planned where something was started, and where an earlier run ended before it had seen the end.
fn control_plane_waits(input: &Input<'_>, plan: &mut Plan) {
    let members: Vec<NodeName> = input.cluster.etcd_members().map(|node| node.name.clone()).collect();
    let started: Vec<StepId> =
        members.iter().map(|name| host_id(name, "container/etcd")).filter(|id| plan.has(id)).collect();
    let etcd = StepId("cluster/etcd".into());
    if !started.is_empty() {
        let step = wait(etcd.clone(), None, "wait for etcd".into(), Condition::EtcdHealthy(members));
        let log = started.first().map(|_| LogSource::Container("etcd".into()));
        plan.steps.push(Step { after: started, log, ..step });
    }
    // An apiserver that a first run had just started answers before it has made the system namespaces.
    let reached = matches!(input.observed.api, ObservedApi::Reached { .. }) && input.history.is_living();
    for node in input.cluster.control_planes() {
        let container = host_id(&node.name, "container/kube-apiserver");
        if reached && !plan.has(&container) {
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
            if !plan.has(&container) {
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

fn live<'a>(input: &Input<'a>, key: &ObjectKey) -> Option<&'a Value> {
    match &input.observed.api {
        ObservedApi::Reached { objects } => objects.get(key),
        ObservedApi::Unreachable(_) => None,
    }
}

/// Workloads come after everything that they need; all objects of one of the two steps are applied at once.
fn objects(input: &Input<'_>, plan: &mut Plan) {
    let mut foundation = (Vec::new(), Vec::new());
    let mut workloads = (Vec::new(), Vec::new());
    for object in &input.desired.objects {
        let Some(line) = object_line(input, object) else { continue };
        let group = if is_workload(&object.key) { &mut workloads } else { &mut foundation };
        group.0.push(object.clone());
        group.1.push(line);
    }
    let ready: Vec<StepId> = first_api(input).into_iter().collect();
    push_objects(plan, "foundation", "roles, policies and configuration", foundation, ready.clone());
    let mut after = ready;
    after.push(StepId("cluster/foundation".into()));
    push_objects(plan, "workloads", "system workloads", workloads, after);
}

fn is_workload(key: &ObjectKey) -> bool {
    matches!(key.kind.as_str(), "Deployment" | "DaemonSet")
}

fn object_line(input: &Input<'_>, object: &Object) -> Option<String> {
    let Some(live) = live(input, &object.key) else { return Some(format!("{}: missing", object.key)) };
    let differences = object_difference(&object.body, live);
    let first = differences.first()?;
    let more = if differences.len() > 1 { format!(" and {} more", differences.len() - 1) } else { String::new() };
    Some(format!("{}: {first}{more}", object.key))
}

fn push_objects(plan: &mut Plan, id: &str, what: &str, group: (Vec<Object>, Vec<String>), after: Vec<StepId>) {
    let (objects, details) = group;
    if objects.is_empty() {
        return;
    }
    let missing = details.iter().filter(|line| line.ends_with(": missing")).count();
    plan.steps.push(Step {
        id: StepId(format!("cluster/{id}")),
        host: None,
        title: format!("apply {what} ({} objects)", objects.len()),
        reason: format!("{missing} missing, {} different", objects.len() - missing),
        details,
        action: Action::Apply(objects),
        after,
        log: None,
    });
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
        });
    }
    // Without a network plugin of ours a node becomes Ready only when the operator has installed one.
    let by_operator = input.cluster.network.plugin == crate::cluster::NetworkPlugin::None;
    let ready = live.is_some_and(node_is_ready);
    if !by_operator && (!ready || plan.has(&unit)) {
        let step = wait(
            host_id(&node.name, "ready"),
            Some(name()),
            "wait for the node to be Ready".into(),
            Condition::NodeReady(name()),
        );
        let after = vec![registered, host_id(&node.name, "metadata"), unit, StepId("cluster/workloads".into())];
        plan.steps.push(Step { after, log, ..step });
    }
}

/// Whether a Node object says that it is Ready.
pub fn node_is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
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

fn workload_waits(input: &Input<'_>, plan: &mut Plan) {
    if input.cluster.network.plugin == crate::cluster::NetworkPlugin::None {
        return;
    }
    let ready: Vec<StepId> = input.cluster.nodes.iter().map(|node| host_id(&node.name, "ready")).collect();
    for object in input.desired.objects.iter().filter(|object| is_workload(&object.key)) {
        let applied = plan.steps.iter().any(|step| match &step.action {
            Action::Apply(objects) => objects.iter().any(|applied| applied.key == object.key),
            _ => false,
        });
        if !applied && live(input, &object.key).is_some_and(workload_is_ready) {
            continue;
        }
        let id = StepId(format!("cluster/ready/{}", object.key.name));
        let title = format!("wait for {} to be ready", object.key);
        let mut after = ready.clone();
        after.push(StepId("cluster/workloads".into()));
        plan.steps.push(Step { after, ..wait(id, None, title, Condition::WorkloadReady(object.key.clone())) });
    }
}

/// Whether a Deployment or DaemonSet runs its newest revision everywhere.
pub fn workload_is_ready(live: &Value) -> bool {
    let number = |pointer: &str| live.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let current = number("/status/observedGeneration") >= number("/metadata/generation");
    let ready = if live["kind"] == "DaemonSet" {
        let wanted = number("/status/desiredNumberScheduled");
        wanted > 0 && number("/status/numberReady") == wanted && number("/status/updatedNumberScheduled") == wanted
    } else {
        let wanted = live.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        // Ready ones of the revision before count among the ready: there must be none left.
        let all = ["/status/replicas", "/status/updatedReplicas", "/status/readyReplicas"];
        all.iter().all(|pointer| number(pointer) == wanted)
    };
    current && ready
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_not_ready_while_a_pod_of_its_old_revision_serves() {
        let live = |replicas: i64, updated: i64, ready: i64| {
            let status = json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready});
            json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status})
        };
        assert!(workload_is_ready(&live(2, 2, 2)));
        assert!(!workload_is_ready(&live(3, 2, 2)), "one old and one new pod are ready, the second new one is not");
        assert!(!workload_is_ready(&live(2, 2, 1)));
    }
}

//! In what order what runs is replaced, so that the cluster goes on serving.

use std::collections::BTreeSet;

use crate::base::{KubernetesVersion, Minor, NodeName, StepId};
use crate::cluster::Node;
use crate::host::Change;
use crate::state::{ObjectKey, ObservedApi};

use super::Input;
use super::cluster_steps::{ETCD_DATA, host_id, live, wait};
use super::drain::{drain_steps, uncordon_step};
use super::label_steps::{self, LABEL_NAMESPACES};
use super::snapshot_steps::snapshot_step;
use super::step::{Action, Condition, Plan, Step};

/// Last part of the id of the step that restarts containerd on a drained node.
pub(super) const RUNTIME: &str = "restart-runtime";

/// The engine whose configuration may change on a living node, once its pods have left. Docker's may not: what runs the
/// node's way to the API would go with it.
pub(super) const RESTARTED_BELOW_PODS: &str = "containerd.service";

/// In what order components are replaced; each phase is over on all nodes before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    ApiProxy,
    Etcd,
    Apiserver,
    /// Controller-manager and scheduler.
    Controllers,
    /// kubelet and kube-proxy.
    Node,
}

impl Phase {
    /// One node at a time.
    const CONTROL_PLANE: [Self; 4] = [Self::ApiProxy, Self::Etcd, Self::Apiserver, Self::Controllers];

    fn of(name: &str) -> Self {
        match name {
            "api-proxy" => Self::ApiProxy,
            "etcd" => Self::Etcd,
            "kube-apiserver" => Self::Apiserver,
            "kube-controller-manager" | "kube-scheduler" => Self::Controllers,
            _ => Self::Node,
        }
    }
}

/// A replacement of the plan.
struct Move {
    id: StepId,
    host: NodeName,
    phase: Phase,
}

fn moves(plan: &Plan) -> Vec<Move> {
    let of = |step: &Step| {
        let Action::Change(changes) = &step.action else { return None };
        let host = step.host.clone()?;
        let swap = changes.iter().find_map(|change| if let Change::Swap(swap) = change { Some(swap) } else { None });
        let phase = match swap {
            Some(swap) => Phase::of(swap.replacement.name()),
            None if step.id == host_id(&host, RUNTIME) => Phase::Node,
            None => return None,
        };
        Some(Move { id: step.id.clone(), host, phase })
    };
    plan.steps.iter().filter_map(of).collect()
}

/// Puts all replacements in order. Everything that they need is on all hosts before the first one begins. Gives what has to
/// be over before it can be seen whether pods are back, which moved with the nodes that were replaced below them.
pub(super) fn order(input: &Input<'_>, plan: &mut Plan) -> Vec<StepId> {
    let moves = moves(plan);
    if moves.is_empty() {
        return Vec::new();
    }
    let mut edges = Edges { before: staging(plan), ..Edges::default() };
    let canaries = canaries(input, &moves);
    plan.steps.extend(soak(input, &canaries));
    let drained = drained(input, plan, &moves);
    for node in &drained {
        plan.steps.extend(drain_steps(node, &input.cluster.upgrade.drain_options));
        plan.steps.push(uncordon_step(node));
    }
    // A kubelet is never newer than an apiserver. On the way back it goes first, as long as there is an API to empty its
    // node through.
    let nodes_first = input.history.goes_back && matches!(input.observed.api, ObservedApi::Reached { .. });
    let mut ends = Vec::new();
    if nodes_first {
        ends = nodes(input, plan, &moves, &mut edges);
    }
    let mut phases = Phase::CONTROL_PLANE;
    if input.history.goes_back {
        phases.reverse();
    }
    for phase in phases {
        if phase == Phase::Etcd {
            snapshot(input, plan, &moves, &mut edges);
        }
        if phase == Phase::Apiserver {
            label_namespaces(input, plan, &mut edges);
        }
        if phase == Phase::Etcd {
            gates(input, plan, &moves);
        }
        control_plane(input, plan, &moves, phase, &mut edges);
    }
    if !nodes_first {
        ends = nodes(input, plan, &moves, &mut edges);
    }
    let moved = ends.clone();
    ends.extend(edges.before.iter().cloned());
    edges.apply(plan);
    addons_last(plan, &ends);
    moved
}

/// The snapshot to go back to, before anything that etcd holds can change its form.
fn snapshot(input: &Input<'_>, plan: &mut Plan, moves: &[Move], edges: &mut Edges) {
    let minor_changes = input.crossing.is_some();
    let etcd_changes = moves.iter().any(|step| step.phase == Phase::Etcd);
    let Some(spec) = input.snapshot.clone().filter(|_| minor_changes || etcd_changes) else { return };
    let reason = if etcd_changes { "etcd is about to be replaced" } else { "another minor version is about to come" };
    let step = snapshot_step(spec, reason);
    edges.follow(vec![step.id.clone()]);
    plan.steps.push(step);
}

/// From the next version on Pod Security admission is all that keeps pods from what they may not do.
fn label_namespaces(input: &Input<'_>, plan: &mut Plan, edges: &mut Edges) {
    let report = input.crossing.and_then(|crossing| crossing.pod_security.as_ref());
    let Some(step) = report.and_then(|report| label_steps::label_namespaces(report, Vec::new())) else { return };
    edges.follow(vec![step.id.clone()]);
    plan.steps.push(step);
}

const GATE: &str = "etcd-gate";

/// Before a member stops, all others are healthy: they are what keeps serving. It hands its leadership on when it is told to
/// stop.
fn gates(input: &Input<'_>, plan: &mut Plan, moves: &[Move]) {
    let members: Vec<NodeName> = input.cluster.etcd_members().map(|node| node.name.clone()).collect();
    for step in moves.iter().filter(|step| step.phase == Phase::Etcd) {
        let others: Vec<NodeName> = members.iter().filter(|name| **name != step.host).cloned().collect();
        if others.is_empty() {
            continue;
        }
        let id = host_id(&step.host, GATE);
        let title = "see that the other members of etcd are healthy".to_owned();
        let gate = wait(id, Some(step.host.clone()), title, Condition::EtcdHealthy(others));
        plan.steps.push(Step { reason: "this one is about to stop".into(), ..gate });
    }
}

/// One phase, a node at a time.
fn control_plane(input: &Input<'_>, plan: &Plan, moves: &[Move], phase: Phase, edges: &mut Edges) {
    for node in &input.cluster.nodes {
        let steps = moves.iter().filter(|step| step.phase == phase && step.host == node.name);
        let mut done: Vec<StepId> = steps.map(|step| step.id.clone()).collect();
        if done.is_empty() {
            continue;
        }
        let gate: Vec<StepId> = follow_ups(plan, &node.name, &[GATE]).filter(|_| phase == Phase::Etcd).collect();
        if !gate.is_empty() {
            edges.require(&gate);
            edges.before = gate;
        }
        edges.require(&done);
        // An apiserver's own wait is the end of its replacement.
        done.extend(follow_ups(plan, &node.name, &["api"]).filter(|_| phase == Phase::Apiserver));
        edges.before = done;
    }
}

/// What has to hold before steps may begin.
#[derive(Default)]
struct Edges {
    /// Ends of what comes before whatever is required next.
    before: Vec<StepId>,
    all: Vec<(StepId, Vec<StepId>)>,
}

impl Edges {
    fn require(&mut self, steps: &[StepId]) {
        self.all.extend(steps.iter().map(|step| (step.clone(), self.before.clone())));
    }

    /// Steps that come next, alone.
    fn follow(&mut self, steps: Vec<StepId>) {
        self.require(&steps);
        self.before = steps;
    }

    fn apply(self, plan: &mut Plan) {
        for (id, before) in self.all {
            if let Some(step) = plan.steps.iter_mut().find(|step| step.id == id) {
                step.after.extend(before);
            }
        }
    }
}

/// Images, programs and files: bringing them disturbs nobody, no more than a look at the data of members.
fn staging(plan: &Plan) -> Vec<StepId> {
    let brings = |step: &&Step| {
        let Some(host) = &step.host else { return false };
        let rest = step.id.0.strip_prefix(&format!("{host}/")).unwrap_or_default();
        [ETCD_DATA, "file", "image/", "kernel", "packages", "runtime"].iter().any(|start| rest.starts_with(start))
    };
    plan.steps.iter().filter(brings).map(|step| step.id.clone()).collect()
}

fn follow_ups<'a>(plan: &'a Plan, node: &'a NodeName, names: &'a [&'a str]) -> impl Iterator<Item = StepId> + 'a {
    let ids = names.iter().map(move |name| host_id(node, name));
    ids.filter(|id| plan.has(id))
}

/// kubelet and kube-proxy, control planes first, as many nodes at once as `upgrade_strategy` allows. Gives the last step of
/// each node.
fn nodes(input: &Input<'_>, plan: &Plan, moves: &[Move], edges: &mut Edges) -> Vec<StepId> {
    let moved = |node: &&Node| is_moved(moves, node);
    let (workers, others): (Vec<&Node>, Vec<&Node>) =
        input.cluster.nodes.iter().filter(moved).partition(is_plain_worker);
    let (first, rest) = workers.split_at(canaries(input, moves).len());
    let mut ends = Vec::new();
    for (group, at_once) in
        [(others, 1), (first.to_vec(), 1), (rest.to_vec(), input.cluster.upgrade.batch(workers.len()))]
    {
        let is_canary = !group.is_empty() && group == first;
        let before = edges.before.clone();
        let mut group_ends: Vec<Vec<StepId>> = Vec::new();
        for (number, node) in group.into_iter().enumerate() {
            edges.before = match number.checked_sub(at_once) {
                Some(earlier) => group_ends[earlier].clone(),
                None => before.clone(),
            };
            group_ends.push(node_steps(plan, moves, &node.name, edges));
        }
        if !group_ends.is_empty() {
            edges.before = group_ends.iter().flatten().cloned().collect();
        }
        ends.extend(group_ends.into_iter().flatten());
        if is_canary && plan.has(&StepId(SOAK.into())) {
            edges.follow(vec![StepId(SOAK.into())]);
        }
    }
    ends
}

fn is_plain_worker(node: &&Node) -> bool {
    node.roles.worker && !node.roles.control_plane && !node.roles.etcd
}

fn is_moved(moves: &[Move], node: &Node) -> bool {
    moves.iter().any(|step| step.phase == Phase::Node && step.host == node.name)
}

/// The workers that go first, and alone.
fn canaries(input: &Input<'_>, moves: &[Move]) -> Vec<NodeName> {
    let workers = input.cluster.nodes.iter().filter(|node| is_moved(moves, node)).filter(is_plain_worker);
    let count = usize::try_from(input.cluster.upgrade.canary).unwrap_or(usize::MAX);
    workers.take(count).map(|node| node.name.clone()).collect()
}

const SOAK: &str = "cluster/soak";

/// The wait after the canaries, in which they show whether they stay well.
fn soak(input: &Input<'_>, canaries: &[NodeName]) -> Option<Step> {
    let duration = input.cluster.upgrade.soak;
    if canaries.is_empty() || duration.is_zero() {
        return None;
    }
    let names: Vec<&str> = canaries.iter().map(NodeName::as_str).collect();
    let title = format!("watch {} for {} s", names.join(", "), duration.as_secs());
    let condition = Condition::Soaked { nodes: canaries.to_vec(), duration };
    Some(Step { reason: "they went first".into(), ..wait(StepId(SOAK.into()), None, title, condition) })
}

/// Nodes that are emptied first: where kubelet becomes another minor, or the runtime is restarted, unless the file says
/// otherwise.
fn drained(input: &Input<'_>, plan: &Plan, moves: &[Move]) -> Vec<NodeName> {
    let is_drained = |node: &&Node| {
        let has_runtime = plan.has(&host_id(&node.name, RUNTIME));
        let has_kubelet = moves.iter().any(|step| step.host == node.name && step.id.0.contains("/unit/"));
        let minor_changes = minor_of_kubelet(input, &node.name) != Some(input.cluster.version.minor());
        (has_kubelet || has_runtime) && input.cluster.upgrade.draining.drains(has_runtime || minor_changes)
    };
    input.cluster.nodes.iter().filter(is_drained).map(|node| node.name.clone()).collect()
}

fn minor_of_kubelet(input: &Input<'_>, node: &NodeName) -> Option<Minor> {
    let live = live(input, &ObjectKey::node(node))?;
    let text = live.pointer("/status/nodeInfo/kubeletVersion")?.as_str()?;
    KubernetesVersion::parse(text).ok().map(|version| version.minor())
}

/// One node, from its emptying to its return. Gives its ends.
fn node_steps(plan: &Plan, moves: &[Move], node: &NodeName, edges: &mut Edges) -> Vec<StepId> {
    let has = |names: &[&str]| -> Vec<StepId> { follow_ups(plan, node, names).collect() };
    let moved = |id: &StepId| moves.iter().any(|step| step.id == *id);
    let kubelet: Vec<StepId> = has(&["unit/kubelet.service"]).into_iter().filter(moved).collect();
    let proxy: Vec<StepId> = has(&["container/kube-proxy"]).into_iter().filter(moved).collect();
    for steps in
        [has(&["cordon"]), has(&["drain"]), has(&[RUNTIME]), kubelet, proxy, has(&["ready"]), has(&["uncordon"])]
    {
        if !steps.is_empty() {
            edges.require(&steps);
            edges.before = steps;
        }
    }
    edges.before.clone()
}

/// Add-ons come when all nodes have what they may need; what only waits for a node does not wait for them.
fn addons_last(plan: &mut Plan, ends: &[StepId]) {
    let is_addon = |step: &Step| matches!(step.action, Action::Apply(_) | Action::Note(_) | Action::RequireKinds(_));
    let applies = |step: &Step| is_addon(step) && step.id.0 != LABEL_NAMESPACES;
    let addons: BTreeSet<StepId> = plan.steps.iter().filter(|step| applies(step)).map(|step| step.id.clone()).collect();
    let hosts: BTreeSet<StepId> =
        plan.steps.iter().filter(|step| step.host.is_some()).map(|step| step.id.clone()).collect();
    for step in &mut plan.steps {
        if hosts.contains(&step.id) {
            step.after.retain(|id| !addons.contains(id));
        } else if addons.contains(&step.id) {
            step.after.extend(ends.iter().cloned());
        }
    }
}

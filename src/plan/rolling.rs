//! In what order what runs is replaced, so that the cluster goes on serving.

mod kubelets;
mod leaders;
mod restore;

use std::collections::BTreeSet;

use crate::base::{NodeName, StepId};
use crate::cluster::Node;
use crate::host::Change;
use crate::state::ObservedApi;

use super::Input;
use super::cluster_steps::{host_id, wait};
use super::label_steps::{self, LABEL_NAMESPACES, UNLABEL_NAMESPACES};
use super::snapshot_steps::snapshot_step;
use super::staging;
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
    /// kubelet, kube-proxy, and what runs pods.
    Node,
}

impl Phase {
    /// Those of the control plane, one node at a time in each.
    fn in_order(input: &Input<'_>, has_api: bool) -> [Self; 4] {
        match (input.history.goes_back, input.restoration, has_api) {
            (false, ..) => [Self::ApiProxy, Self::Etcd, Self::Apiserver, Self::Controllers],
            (true, None, true) => [Self::Controllers, Self::Apiserver, Self::Etcd, Self::ApiProxy],
            // Nothing else can be proven while there is no API, and a controller-manager ends where it finds none.
            (true, None, false) => [Self::Etcd, Self::Apiserver, Self::Controllers, Self::ApiProxy],
            // None of them runs, and controllers get healthy through an apiserver.
            (true, Some(_), _) => [Self::Apiserver, Self::Controllers, Self::Etcd, Self::ApiProxy],
        }
    }

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
    /// Whether it is a swap, which ends with something that works, and so begins with it.
    is_proven: bool,
}

/// What a step replaces, by its name on its host; none where it replaces nothing.
pub(super) fn replaced(step: &Step) -> Option<&str> {
    let Action::Change(changes) = &step.action else { return None };
    match changes.as_slice() {
        [Change::StopContainer(name), Change::Write { .. }, Change::StartContainer(_)] => Some(name),
        _ => changes.iter().find_map(|change| match change {
            Change::Swap(swap) => Some(swap.replacement.name()),
            _ => None,
        }),
    }
}

fn moves(plan: &Plan) -> Vec<Move> {
    let of = |step: &Step| {
        let (host, phase) = (step.host.clone()?, Phase::of(replaced(step)?));
        Some(Move { id: step.id.clone(), host, phase, is_proven: plan.swaps(&step.id) })
    };
    plan.steps.iter().filter_map(of).collect()
}

/// Puts all replacements in order. Everything that they need is on all hosts before the first one begins. Gives what has to
/// be over before it can be seen whether pods are back which moved, or whose API lost its way to them; nothing where none did.
pub(super) fn order(input: &Input<'_>, plan: &mut Plan) -> Vec<StepId> {
    let mut moves = moves(plan);
    if moves.is_empty() && input.restoration.is_none() {
        return Vec::new();
    }
    let mut edges = Edges::default();
    let drained = prepare(input, plan, &moves, &mut edges);
    let has_api = matches!(input.observed.api, ObservedApi::Reached { .. });
    // A kubelet is never newer than an apiserver. On the way back it goes first, as long as there is an API to empty its
    // node through.
    let nodes_first = input.history.goes_back && has_api;
    let mut ends = Vec::new();
    if nodes_first {
        snapshot(input, plan, &moves, &mut edges);
        leaders::wait_for(leaders::BEFORE_NODES, &drained, plan, &mut edges);
        ends = nodes(input, plan, &moves, &mut edges);
    }
    if let Some(restoration) = input.restoration {
        restore::data(input, restoration, plan, &mut moves, &mut edges);
    }
    for phase in Phase::in_order(input, has_api) {
        phase_steps(input, plan, &moves, phase, &mut edges);
        if phase == Phase::Apiserver && input.history.goes_back {
            restore::kubelets(input, plan, (&moves, nodes_first), &edges);
        }
    }
    if nodes_first {
        // What is read of workloads after this is what became of them.
        leaders::wait_for(leaders::AFTER_ALL, &drained, plan, &mut edges);
    } else {
        edges.require(&kubelets::newcomers(input, plan, &moves));
        leaders::wait_for(leaders::BEFORE_NODES, &drained, plan, &mut edges);
        ends = nodes(input, plan, &moves, &mut edges);
    }
    ends.extend(edges.before.iter().cloned());
    edges.apply(plan);
    addons_last(plan, &ends);
    let shakes_pods = |step: &Move| matches!(step.phase, Phase::Apiserver | Phase::Node);
    if moves.iter().any(shakes_pods) { ends } else { Vec::new() }
}

/// What is to be done besides replacements, and what comes before all of them. Gives the nodes that are emptied.
fn prepare(input: &Input<'_>, plan: &mut Plan, moves: &[Move], edges: &mut Edges) -> Vec<NodeName> {
    staging::gently(input, plan);
    edges.before = staging::all(plan);
    plan.steps.extend(soak(input, &canaries(input, moves)));
    plan.warnings.extend(nobody_is_canary(input, moves));
    let drained = kubelets::drained(input, plan, moves);
    for node in &drained {
        kubelets::empty(input, node, plan);
    }
    if let Some(restoration) = input.restoration {
        restore::prepare(input, restoration, plan, edges);
    }
    drained
}

/// The replacements of one phase, with what has to come right before and right after them.
fn phase_steps(input: &Input<'_>, plan: &mut Plan, moves: &[Move], phase: Phase, edges: &mut Edges) {
    let goes_back = input.history.goes_back;
    if phase == Phase::Etcd {
        if !goes_back {
            snapshot(input, plan, moves, edges);
        }
        gates(input, plan, moves);
    }
    if phase == Phase::Apiserver && !goes_back {
        label_namespaces(input, plan, edges);
    }
    control_plane(input, plan, moves, phase, edges);
    if phase == Phase::Apiserver && goes_back {
        unlabel_namespaces(input, plan, edges);
    }
}

/// The snapshot to go back to, before anything that etcd holds can change its form. On the way back that is before all else:
/// an older apiserver may write in an older form what a newer one has written. Without an API there may be no etcd to ask, and
/// the snapshot of the way forward is there.
fn snapshot(input: &Input<'_>, plan: &mut Plan, moves: &[Move], edges: &mut Edges) {
    let changes = |phase| moves.iter().any(|step| step.phase == phase && step.is_proven);
    let reason = if changes(Phase::Etcd) {
        "etcd is about to be replaced"
    } else if input.crossing.is_some() {
        "another minor version is about to come"
    } else if input.history.goes_back && changes(Phase::Apiserver) {
        "an older apiserver is about to come"
    } else {
        return;
    };
    let Some(spec) = input.snapshot.clone().filter(|_| input.restoration.is_none()) else { return };
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

/// What was put on namespaces on the way there goes once policies are what keeps pods again.
fn unlabel_namespaces(input: &Input<'_>, plan: &mut Plan, edges: &mut Edges) {
    let Some(step) = label_steps::unlabel_namespaces(input.unlabelled) else { return };
    edges.follow(vec![step.id.clone()]);
    plan.steps.push(step);
}

const GATE: &str = "etcd-gate";

/// Before a member stops, all others are healthy: they are what keeps serving. It hands its leadership on when it is told to
/// stop.
fn gates(input: &Input<'_>, plan: &mut Plan, moves: &[Move]) {
    let members: Vec<NodeName> = input.cluster.etcd_members().map(|node| node.name.clone()).collect();
    for step in moves.iter().filter(|step| step.phase == Phase::Etcd && step.is_proven) {
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

/// One phase, a node at a time, the one that leads last: whoever leads after it is replaced no more.
fn control_plane(input: &Input<'_>, plan: &Plan, moves: &[Move], phase: Phase, edges: &mut Edges) {
    let leader = leaders::leader(input, phase);
    let (last, first): (Vec<&Node>, Vec<&Node>) =
        input.cluster.nodes.iter().partition(|node| leader == Some(&node.name));
    for node in first.into_iter().chain(last) {
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
    // Those too that an earlier run has brought so far: the share does not shrink with what is left.
    let all_workers = input.cluster.nodes.iter().filter(is_plain_worker).count();
    let mut ends = Vec::new();
    for (group, at_once) in
        [(others, 1), (first.to_vec(), 1), (rest.to_vec(), input.cluster.upgrade.batch(all_workers))]
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

fn nobody_is_canary(input: &Input<'_>, moves: &[Move]) -> Option<String> {
    let moves_nodes = moves.iter().any(|step| step.phase == Phase::Node);
    let is_meant = moves_nodes
        && input.cluster.upgrade.canary > 0
        && !input.cluster.nodes.iter().any(|node| is_plain_worker(&node));
    is_meant.then(|| {
        "`upgrade_strategy.canary` names nobody: canaries are nodes that are workers alone, and there are none".into()
    })
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

/// One node, from its emptying to its return. Gives its ends.
fn node_steps(plan: &Plan, moves: &[Move], node: &NodeName, edges: &mut Edges) -> Vec<StepId> {
    let has = |names: &[&str]| -> Vec<StepId> { follow_ups(plan, node, names).collect() };
    let moved = |id: &StepId| moves.iter().any(|step| step.id == *id);
    // Neither needs the other: kubelet reaches the API through the node's own proxy.
    let both: Vec<StepId> = has(&[kubelets::UNIT, "container/kube-proxy"]).into_iter().filter(moved).collect();
    for steps in [has(&["cordon"]), has(&["drain"]), has(&[RUNTIME]), both, has(&["ready"]), has(&["uncordon"])] {
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
    let applies = |step: &Step| is_addon(step) && ![LABEL_NAMESPACES, UNLABEL_NAMESPACES].contains(&step.id.0.as_str());
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

//! Components that are replaced while the cluster serves: in which order, and what a death in the middle leaves.

use provision::host::{Change, FakeProcess};
use provision::ops::{OperationError, UpOutcome};
use provision::plan::{Action, Plan};

use super::{Case, Desk, Stage};

const OLD: &str = "kubernetes_version: v1.24.16\n";
const PATCH: &str = "kubernetes_version: v1.24.17\n";
const MINOR: &str = "kubernetes_version: v1.25.4\n";

fn desk() -> Desk {
    Desk::of(&["v1.24.16", "v1.24.17", "v1.25.4"])
}

const fn upgrade(name: &'static str, nodes: (usize, usize), to: &'static str) -> Case {
    Case { name, before: Some(nodes), nodes, rest: (OLD, to), calls: 14 }
}

const ONE_NODE: Case = upgrade("a patch on one node", (1, 0), PATCH);
const FOUR_NODES: Case = upgrade("a minor on three nodes and two workers", (3, 2), MINOR);

#[test]
fn a_patch_survives_a_death_at_every_host_call() {
    ONE_NODE.dies_at_every_host_call_on(&desk());
}

/// Components by host in the order in which they are replaced, as far as edges say it.
fn replaced(plan: &Plan) -> Vec<String> {
    let swaps = |step: &provision::plan::Step| match &step.action {
        Action::Change(changes) => changes.iter().any(|change| matches!(change, Change::Swap(_))),
        _ => false,
    };
    let mut done: Vec<&str> = Vec::new();
    let mut order = Vec::new();
    while let Some(step) = plan.steps.iter().find(|step| {
        let is_done = |id: &str| done.contains(&id);
        !is_done(&step.id.0) && step.after.iter().all(|id| is_done(&id.0))
    }) {
        done.push(&step.id.0);
        order.extend(swaps(step).then(|| step.id.0.clone()));
    }
    assert_eq!(done.len(), plan.steps.len(), "some steps wait for each other: {plan}");
    order
}

fn planned<'a>(desk: &'a Desk, case: &Case) -> (Stage<'a>, Plan) {
    let (stage, loaded) = case.stage(desk);
    let plan = stage.plan(&loaded);
    (stage, plan)
}

#[test]
fn components_are_replaced_phase_by_phase_and_node_by_node() {
    let desk = desk();
    let (_, plan) = planned(&desk, &FOUR_NODES);
    let order = replaced(&plan);
    let mut wanted = Vec::new();
    for node in 1..=3 {
        wanted.push(format!("h{node}/container/kube-apiserver"));
    }
    for node in 1..=3 {
        wanted.push(format!("h{node}/container/kube-controller-manager"));
        wanted.push(format!("h{node}/container/kube-scheduler"));
    }
    for node in 1..=5 {
        wanted.push(format!("h{node}/unit/kubelet.service"));
        wanted.push(format!("h{node}/container/kube-proxy"));
    }
    assert_eq!(order, wanted);
}

#[test]
fn an_upgrade_leaves_the_new_version_everywhere_and_nothing_to_do() {
    let desk = desk();
    let (stage, loaded) = FOUR_NODES.stage(&desk);
    stage.must(&loaded, "the upgrade");
    assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
}

#[test]
fn a_component_that_fails_is_back_and_nothing_after_it_was_touched() {
    let desk = desk();
    let (stage, loaded) = FOUR_NODES.stage(&desk);
    let image = "registry.k8s.io/kube-apiserver:v1.25.4";
    for machine in stage.world.machines.lock().unwrap().values() {
        machine.let_fail(image);
    }
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(OperationError::Incomplete { failed }) => {
            assert_eq!(failed.len(), 1, "{failed:?}");
            assert_eq!(failed[0].0.0, "h1/container/kube-apiserver");
        }
        other => panic!("{other:?}"),
    }
    for machine in stage.world.machines.lock().unwrap().values() {
        machine.by_hand(|state| {
            let images = state.containers.values().map(|container| container.spec.image.reference.0.as_str());
            assert!(images.clone().all(|name| !name.ends_with("v1.25.4")), "{:?}", images.collect::<Vec<_>>());
            assert!(state.containers.values().all(|container| container.running));
        });
    }
}

#[test]
fn going_back_is_pointed_to_rollback() {
    let desk = desk();
    let back = Case { rest: (PATCH, OLD), ..ONE_NODE };
    let (stage, loaded) = back.stage(&desk);
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(OperationError::Refused(plan)) => assert!(plan.to_string().contains("provision rollback"), "{plan}"),
        other => panic!("{other:?}"),
    }
}

//! Components that are replaced while the cluster serves: in which order, and what a death in the middle leaves.

use std::path::Path;

use provision::host::{Change, FakeProcess, Moment};
use provision::journal::{RunHistory, RunRecord, StateFolder};
use provision::ops::{Loaded, OperationError, UpOutcome};
use provision::plan::{Action, Plan};
use provision::state::{Listener, ObservedSwap};

use super::world::World;
use super::{Case, Desk, Stage, Way, Yes, holder, open, run, run_in};

const OLD: &str = "kubernetes_version: v1.24.16\n";
const PATCH: &str = "kubernetes_version: v1.24.17\n";
const MINOR: &str = "kubernetes_version: v1.25.4\n";

fn desk() -> Desk {
    Desk::of(&["v1.24.16", "v1.24.17", "v1.25.4"])
}

const fn upgrade(name: &'static str, nodes: (usize, usize), to: &'static str) -> Case {
    Case { name, before: Some(nodes), nodes, rest: (OLD, to), calls: 10 }
}

const ONE_NODE: Case = upgrade("a patch on one node", (1, 0), PATCH);
const FOUR_NODES: Case = upgrade("a minor on three nodes and two workers", (3, 2), MINOR);

#[test]
fn a_patch_survives_a_death_at_every_host_call() {
    ONE_NODE.dies_at_every_host_call_on(&desk());
}

/// Components by host in the order in which they are replaced, as far as edges say it.
pub fn replaced(plan: &Plan) -> Vec<String> {
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

/// Whether one step of a plan comes after another, at once or by way of others.
fn waits_for(plan: &Plan, step: &str, other: &str) -> bool {
    let found = plan.steps.iter().find(|found| found.id.0 == step);
    found.is_some_and(|found| found.after.iter().any(|id| id.0 == other || waits_for(plan, &id.0, other)))
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
        // Its pods' first container is another.
        wanted.push(format!("h{node}/restart-runtime"));
        wanted.push(format!("h{node}/container/kube-proxy"));
        wanted.push(format!("h{node}/unit/kubelet.service"));
    }
    assert_eq!(order, wanted);
}

#[test]
fn a_plan_says_what_comes_in_which_place_and_lists_steps_behind_what_they_need() {
    let desk = desk();
    let (_, plan) = planned(&desk, &Case { nodes: (1, 1), before: Some((1, 1)), ..FOUR_NODES });
    let mut seen: Vec<&str> = Vec::new();
    for step in &plan.steps {
        assert!(step.after.iter().all(|id| seen.contains(&&*id.0)), "{} stands before what it needs: {plan}", step.id);
        seen.push(&step.id.0);
    }
    let text = plan.to_string();
    let (_, order) = text.split_once("may come at once\n").expect("an order");
    let order: Vec<&str> = order.lines().take_while(|line| line.starts_with("  ")).collect();
    let wanted = [
        "    1 cluster: take etcd snapshot before-upgrade",
        "    2 h1: replace container kube-apiserver",
        "    3 h1: replace container kube-controller-manager",
        "    3 h1: replace container kube-scheduler",
        "    4 h1: cordon h1",
        "    5 h1: drain h1",
        "    6 h1: write the runtime's configuration and restart containerd.service",
        "    7 h1: replace container kube-proxy",
        "    7 h1: replace kubelet.service",
        "    8 h1: uncordon h1",
        "    9 h2: cordon h2",
        "   10 h2: drain h2",
        "   11 h2: write the runtime's configuration and restart containerd.service",
        "   12 h2: replace container kube-proxy",
        "   12 h2: replace kubelet.service",
        "   13 h2: uncordon h2",
    ];
    assert_eq!(order, wanted);
}

/// One kubelet ends again and again, and one more finds nothing to run; another was stopped.
fn kubelets_die(world: &World) {
    for (name, machine) in world.machines.lock().unwrap().iter() {
        let active = if name.as_str() == "h1" { "inactive" } else { "activating" };
        machine.by_hand(|state| {
            state.units.get_mut("kubelet.service").unwrap().active = active.into();
            if name.as_str() == "h3" {
                state.entries.remove(LINK);
            }
        });
    }
}

const LINK: &str = "/opt/provision/kubelet/current";

#[test]
fn a_dead_kubelet_gets_the_new_version_in_its_turn_and_not_before_the_apiservers() {
    let desk = Desk { between: kubelets_die, ..desk() };
    let nodes = (1, 2);
    let (_, plan) = planned(&desk, &Case { nodes, before: Some(nodes), ..FOUR_NODES });
    for step in &plan.steps {
        let Action::Change(changes) = &step.action else { continue };
        let links = changes.iter().filter_map(|change| match change {
            Change::Write { links, files, .. } => {
                Some(links.iter().map(|link| &link.path).chain(files.iter().map(|file| &file.path)))
            }
            _ => None,
        });
        let is_kubelets = |path: &&String| *path == LINK || path.ends_with("/kubelet.service");
        assert_eq!(links.flatten().find(is_kubelets), None, "{}", step.id);
    }
    let mut before = "h1/container/kube-apiserver".to_owned();
    for node in ["h1", "h2", "h3"] {
        let unit = format!("{node}/unit/kubelet.service");
        assert!(
            waits_for(&plan, &unit, &before) && waits_for(&plan, &unit, &format!("{node}/cordon")),
            "{unit}: {plan}"
        );
        // Nobody is there who could end its pods.
        assert!(!plan.steps.iter().any(|step| step.id.0 == format!("{node}/drain")), "{plan}");
        before = format!("{node}/uncordon");
    }
    assert!(plan.to_string().contains("kubelet does not run, so that no pod could end"), "{plan}");
}

/// Whether no kubelet would start with another minor than all apiservers have.
fn no_kubelet_is_newer(stage: &Stage<'_>) -> bool {
    let lines = running(stage);
    let is_old = |line: &&String| line.contains("kube-apiserver") && line.ends_with("v1.24.16");
    !(lines.iter().any(|line| is_old(&line))
        && lines.iter().any(|line| line.contains("Link") && line.contains("v1.25")))
}

#[test]
fn dead_kubelets_survive_a_death_at_every_host_call_of_an_upgrade() {
    let desk = Desk { between: kubelets_die, ..desk() };
    let nodes = (1, 1);
    let case = Case { name: "a minor with dead kubelets", nodes, before: Some(nodes), ..FOUR_NODES };
    case.dies_at_every_host_call_on(&desk);
    let (calls, ..) = case.undisturbed(&desk);
    for call in 0..calls {
        let (stage, loaded) = case.stage(&desk);
        let process = FakeProcess::new();
        process.dies_at(call, Moment::After);
        let _ = stage.up(&loaded, &process);
        assert!(no_kubelet_is_newer(&stage), "host call {call} of {calls}: {:?}", running(&stage));
    }
}

#[test]
fn a_worker_that_joins_in_an_upgrade_starts_after_the_apiservers() {
    let desk = desk();
    let (_, plan) = planned(&desk, &Case { nodes: (1, 1), before: Some((1, 0)), ..FOUR_NODES });
    assert!(waits_for(&plan, "h2/unit/kubelet.service", "h1/container/kube-apiserver"), "{plan}");
}

/// Hosts in the order in which a component is replaced on them where everything of `h2` leads.
fn in_turn(desk: Desk, case: &Case, component: &str) -> Vec<String> {
    let desk = Desk { between: |world| *world.leader.lock().unwrap() = Some("h2"), ..desk };
    let (_, plan) = planned(&desk, case);
    let end = format!("/container/{component}");
    replaced(&plan).iter().filter_map(|id| id.strip_suffix(&end).map(str::to_owned)).collect()
}

#[test]
fn who_leads_is_replaced_last() {
    for component in ["kube-controller-manager", "kube-scheduler"] {
        assert_eq!(in_turn(desk(), &FOUR_NODES, component), ["h1", "h3", "h2"]);
    }
    // They have no leader.
    assert_eq!(in_turn(desk(), &FOUR_NODES, "kube-apiserver"), ["h1", "h2", "h3"]);
    let other = "system_images: {etcd: 'example.org/etcd:3.6.4-0'}\n";
    let case = Case { before: Some((3, 0)), nodes: (3, 0), rest: ("", other), ..FOUR_NODES };
    assert_eq!(in_turn(Desk::for_option(other), &case, "etcd"), ["h1", "h3", "h2"]);
}

/// Steps that may run at once, wave after wave.
fn waves(plan: &Plan) -> Vec<Vec<&str>> {
    let mut done: Vec<&str> = Vec::new();
    let mut waves = Vec::new();
    while done.len() < plan.steps.len() {
        let may = |step: &&provision::plan::Step| {
            !done.contains(&&*step.id.0) && step.after.iter().all(|id| done.contains(&&*id.0))
        };
        let wave: Vec<&str> = plan.steps.iter().filter(may).map(|step| &*step.id.0).collect();
        assert!(!wave.is_empty(), "some steps wait for each other: {plan}");
        done.extend(&wave);
        waves.push(wave);
    }
    waves
}

#[test]
fn images_come_one_at_a_time_to_a_host_that_serves_and_to_one_control_plane_at_a_time() {
    let desk = desk();
    let (_, plan) = planned(&desk, &FOUR_NODES);
    let large = |id: &&&str| id.contains("/image/") || id.contains("/file/");
    let waves: Vec<Vec<&str>> = waves(&plan).iter().map(|wave| wave.iter().filter(large).copied().collect()).collect();
    for host in ["h1", "h2", "h3", "h4", "h5"] {
        let count = |wave: &Vec<&str>| wave.iter().filter(|id| id.starts_with(host)).count();
        assert_eq!(waves.iter().map(count).max(), Some(1), "{host}: {waves:?}");
    }
    let of_control_planes = |wave: &Vec<&str>| wave.iter().filter(|id| id[..2] < *"h4").count();
    assert_eq!(waves.iter().map(of_control_planes).max(), Some(1), "{waves:?}");
    // Workers do not wait for them.
    assert!(waves.iter().any(|wave| wave.len() == 3), "{waves:?}");
}

#[test]
fn a_canary_goes_alone_and_is_watched_before_the_other_workers_follow() {
    let desk = desk();
    let to = "kubernetes_version: v1.25.4\nupgrade_strategy: {max_unavailable_worker: 100%, canary: 1, soak: 30s}\n";
    let (_, plan) = planned(&desk, &Case { nodes: (1, 3), before: Some((1, 3)), rest: (OLD, to), ..FOUR_NODES });
    let after = |id: &str| {
        let step = plan.steps.iter().find(|step| step.id.0 == id).unwrap_or_else(|| panic!("{id} is not in {plan}"));
        step.after.iter().map(|id| id.0.as_str()).collect::<Vec<_>>()
    };
    assert!(after("h2/cordon").contains(&"h1/uncordon"));
    assert!(after("cluster/soak").contains(&"h2/uncordon"));
    for node in ["h3", "h4"] {
        assert!(after(&format!("{node}/cordon")).contains(&"cluster/soak"));
    }
}

#[test]
fn a_run_that_goes_on_takes_as_many_workers_at_once_as_the_one_before() {
    let desk = desk();
    let to = "kubernetes_version: v1.25.4\nupgrade_strategy: {max_unavailable_worker: 50%}\n";
    let (stage, loaded) = Case { nodes: (1, 4), before: Some((1, 4)), rest: (OLD, to), ..FOUR_NODES }.stage(&desk);
    let machines = stage.world.machines.lock().unwrap().clone();
    let sick = || machines.iter().filter(|(name, _)| ["h4", "h5"].contains(&name.as_str()));
    sick().for_each(|(_, machine)| machine.let_fail("v1.25.4"));
    assert!(matches!(stage.up(&loaded, &FakeProcess::new()), Err(OperationError::Incomplete { .. })));
    sick().for_each(|(_, machine)| machine.let_work("v1.25.4"));
    let plan = stage.plan(&loaded);
    let kubelets: Vec<String> = replaced(&plan).into_iter().filter(|id| id.ends_with("kubelet.service")).collect();
    assert_eq!(kubelets, ["h4/unit/kubelet.service", "h5/unit/kubelet.service"]);
    // Two of four are two, though only two are left.
    assert!(!waits_for(&plan, "h5/unit/kubelet.service", "h4/unit/kubelet.service"), "{plan}");
}

#[test]
fn a_port_that_the_next_one_of_a_replacement_has_already_is_no_strangers() {
    let desk = Desk::new();
    let stage = Stage::new(&desk);
    let loaded = desk.load(1, 0);
    stage.must(&loaded, "the cluster");
    let [machine] = &stage.world.machines.lock().unwrap().values().cloned().collect::<Vec<_>>()[..] else { panic!() };
    let process = "kube-scheduler (process 7)".to_owned();
    machine.by_hand(|state| {
        state.containers.get_mut("kube-scheduler").unwrap().running = false;
        state.listeners.push(Listener { protocol: "tcp".into(), port: 10259, process });
        state.swaps.insert("kube-scheduler".into(), ObservedSwap::Running);
    });
    let plan = stage.plan(&loaded).to_string();
    assert!(plan.contains("settle kube-scheduler: its replacement is under way"), "{plan}");
    machine.by_hand(|state| state.swaps.clear());
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(OperationError::Preflight(findings)) => assert!(findings.iter().any(|one| one.code == "port-in-use")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_canary_that_no_node_can_be_is_said() {
    let desk = desk();
    let to = "kubernetes_version: v1.25.4\nupgrade_strategy: {canary: 1}\n";
    let told = |nodes| {
        let (_, plan) = planned(&desk, &Case { nodes, before: Some(nodes), rest: (OLD, to), ..FOUR_NODES });
        plan.to_string().contains("warning: `upgrade_strategy.canary` names nobody")
    };
    assert_eq!([told((2, 0)), told((1, 1))], [true, false]);
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
fn a_node_whose_kubelet_was_put_back_takes_pods_again() {
    let desk = desk();
    let (stage, loaded) = FOUR_NODES.stage(&desk);
    for (name, machine) in stage.world.machines.lock().unwrap().iter() {
        if name.as_str() == "h4" {
            machine.let_fail("v1.25.4");
        }
    }
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(OperationError::Incomplete { failed }) => assert_eq!(failed[0].0.0, "h4/unit/kubelet.service"),
        other => panic!("{other:?}"),
    }
    for node in ["h1", "h2", "h3", "h4", "h5"] {
        let live = stage.world.node(node);
        assert!(live["spec"]["unschedulable"].is_null(), "{live}");
    }
}

/// `provision rollback` to the first generation, which `case` was upgraded from.
fn back(
    desk: &Desk,
    stage: &Stage<'_>,
    case: &Case,
    process: &FakeProcess,
) -> (Plan, Result<UpOutcome, OperationError>) {
    let loaded = desk.load_with(case.nodes.0, case.nodes.1, OLD);
    let consent = Yes::default();
    let result = run(desk, &loaded, &stage.world, &stage.disk, process, &consent, Some(1));
    let plan = consent.0.lock().unwrap().take().unwrap_or_default();
    (plan, result)
}

/// What runs on all hosts: images by container, and kubelet's link.
pub fn running(stage: &Stage<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (node, machine) in stage.world.machines.lock().unwrap().iter() {
        machine.by_hand(|state| {
            let containers =
                state.containers.iter().map(|(name, seen)| format!("{name} {}", seen.spec.image.reference));
            lines.extend(containers.map(|line| format!("{node} {line}")));
            lines.push(format!("{node} {:?}", state.entries.get("/opt/provision/kubelet/current")));
        });
    }
    lines
}

#[test]
fn a_rollback_goes_the_opposite_way_and_leaves_the_old_version_everywhere() {
    let desk = desk();
    let (stage, loaded) = FOUR_NODES.stage(&desk);
    let before = running(&stage);
    stage.must(&loaded, "the upgrade");
    assert_ne!(running(&stage), before);
    let (plan, result) = back(&desk, &stage, &FOUR_NODES, &FakeProcess::new());
    result.unwrap();
    let order = replaced(&plan);
    let position =
        |id: &str| order.iter().position(|step| step == id).unwrap_or_else(|| panic!("{id} is not in {order:?}"));
    let drains = plan.steps.iter().filter(|step| step.id.0.ends_with("/cordon"));
    let snapshot = |step: &provision::plan::Step| waits_for(&plan, &step.id.0, "cluster/snapshot/before-rollback");
    assert!(drains.clone().count() == 5 && drains.clone().all(snapshot), "{plan}");
    assert!(position("h5/unit/kubelet.service") < position("h1/container/kube-controller-manager"));
    assert!(position("h3/container/kube-scheduler") < position("h1/container/kube-apiserver"));
    assert_eq!(running(&stage), before);
    let old = desk.load_with(3, 2, OLD);
    assert_eq!(stage.must(&old, "the run after it"), UpOutcome::NothingToDo);
}

#[test]
fn a_half_done_upgrade_is_taken_back() {
    let desk = desk();
    let (stage, loaded) = FOUR_NODES.stage(&desk);
    let before = running(&stage);
    let process = FakeProcess::new();
    process.dies_at(70, Moment::After);
    stage.up(&loaded, &process).unwrap_err();
    assert_ne!(running(&stage), before, "it died before anything was replaced");
    back(&desk, &stage, &FOUR_NODES, &FakeProcess::new()).1.unwrap();
    assert_eq!(running(&stage), before);
}

#[test]
fn what_failed_is_taken_back_by_the_process_that_saw_it_and_both_runs_have_their_logs() {
    let desk = desk();
    let (stage, loaded) = FOUR_NODES.stage(&desk);
    let before = running(&stage);
    for machine in stage.world.machines.lock().unwrap().values() {
        machine.let_fail("registry.k8s.io/kube-scheduler:v1.25.4");
    }
    let (process, runs) = (FakeProcess::new(), || RunHistory::list(&stage.disk, Path::new("/crash.state")).unwrap());
    let mut folder = open(&stage.disk, &process).unwrap();
    let known = runs().len();
    let go = |folder: &mut StateFolder, loaded: &Loaded, way: Way<'_>| {
        run_in(&desk, loaded, &stage.world, folder, &process, &Yes::default(), &way)
    };
    assert!(matches!(go(&mut folder, &loaded, Way::Forward), Err(OperationError::Incomplete { .. })));
    assert_ne!(running(&stage), before, "it failed before anything was replaced");
    folder.next_run(holder()).unwrap();
    go(&mut folder, &desk.load_with(3, 2, OLD), Way::Back(Some(1))).unwrap();
    assert_eq!(running(&stage), before);
    let ends: Vec<bool> = runs()[known..].iter().map(|(_, log)| ended_well(log.as_ref().unwrap())).collect();
    assert_eq!(ends, [false, true]);
}

fn ended_well(log: &RunHistory) -> bool {
    log.records.last().is_some_and(|last| last.record == RunRecord::Ended { error: None })
}

#[test]
fn a_generation_that_does_not_exist_is_named_with_those_that_do() {
    let desk = desk();
    let (stage, loaded) = ONE_NODE.stage(&desk);
    let refused = run(&desk, &loaded, &stage.world, &stage.disk, &FakeProcess::new(), &Yes::default(), Some(7));
    assert!(refused.unwrap_err().to_string().contains("no generation 0007; there are 0001"));
}

#[test]
fn a_container_that_would_not_start_again_by_itself_is_replaced_once() {
    let desk = Desk::new();
    let stage = Stage::new(&desk);
    let loaded = desk.load(1, 0);
    stage.must(&loaded, "the cluster");
    let machine = stage.world.machines.lock().unwrap().values().next().unwrap().clone();
    machine.by_hand(|state| {
        state.containers.get_mut("etcd").unwrap().irregularities.push("restart policy: no".into());
    });
    assert_eq!(replaced(&stage.plan(&loaded)), ["h1/container/etcd"]);
    stage.must(&loaded, "the repair");
    assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
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

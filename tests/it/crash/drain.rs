//! Nodes taken out of service and put back, and what an interrupted run leaves of that.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use provision::base::{Epoch, NodeName, RunId, StepId};
use provision::cluster::DrainOptions;
use provision::engine::{self, Cancellation, Context, Outcome, RunLog, StepError, World as EngineWorld};
use provision::event::{Event, EventSink};
use provision::host::{FakeProcess, LookRequest, Moment};
use provision::kubeapi::{CORDONED_ANNOTATION, is_cordoned_by_us};
use provision::ops::UpOutcome;
use provision::plan::{Action, Condition, Plan, Step, drain_steps, uncordon_step};
use provision::state::SnapshotName;
use serde_json::{Value, json};

use super::world::{World, cordoned_by};
use super::{Desk, ONE_NODE, Stage};

fn h1() -> NodeName {
    NodeName::new("h1").unwrap()
}

/// A cluster whose node runs a Deployment's pods with these names.
fn stage<'a>(desk: &'a Desk, pods: &[&str]) -> Stage<'a> {
    let (stage, loaded) = ONE_NODE.stage(desk);
    stage.must(&loaded, "the cluster");
    stage.world.by_hand(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-5d4f", "namespace": "team"},
        "spec": {"replicas": 3},
    }));
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "controller": true}]);
    for pod in pods {
        let metadata = json!({"name": pod, "namespace": "team", "labels": {"app": "web"}, "ownerReferences": owner});
        stage.world.by_hand(pod_of(metadata));
    }
    stage
}

fn pod_of(metadata: Value) -> Value {
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "h1"}, "status": status})
}

/// Cordon, drain and uncordon, as an upgrade of kubelet has them around it.
fn around(options: &DrainOptions) -> Plan {
    let mut steps: Vec<Step> = drain_steps(&h1(), options).into();
    steps.push(Step { after: vec![StepId("h1/drain".into())], ..uncordon_step(&h1()) });
    Plan { steps, ..Plan::default() }
}

#[derive(Default)]
struct Waits(Mutex<Vec<String>>);

impl EventSink for Waits {
    fn emit(&self, event: Event) {
        if let Event::StepWaits { reason, .. } = event {
            self.0.lock().unwrap().push(reason);
        }
    }
}

struct NoLog;

impl RunLog for NoLog {
    fn intent(&self, _: &StepId) -> Result<(), StepError> {
        Ok(())
    }

    fn restore_begins(&self, _: &SnapshotName, _: &str) -> Result<(), StepError> {
        Ok(())
    }

    fn outcome(&self, _: &StepId, _: Option<&StepError>) -> Result<(), StepError> {
        Ok(())
    }
}

/// Runs a plan in a process, with a clock that moves only where somebody waits. What was waited for comes along.
fn run(world: &World, plan: &Plan, process: &FakeProcess) -> (Outcome, Vec<String>) {
    let waits = Waits::default();
    let (outcome, _) = run_with(world, plan, process, &waits, &Cancellation::default());
    (outcome, waits.0.into_inner().unwrap())
}

/// The same, told to somebody who may do something about it. By that clock it took the time that comes along.
pub(super) fn run_with(
    world: &World,
    plan: &Plan,
    process: &FakeProcess,
    events: &dyn EventSink,
    cancellation: &Cancellation,
) -> (Outcome, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let world = EngineWorld {
        epoch: Epoch::FIRST,
        hosts: BTreeMap::new(),
        endpoints: world.endpoints(process),
        facts: BTreeMap::new(),
        look: LookRequest::default(),
        patience: Duration::from_secs(300),
    };
    let context = Context { world: &world, log: &NoLog, events, cancellation };
    runtime.block_on(async {
        let started = tokio::time::Instant::now();
        (engine::run(plan, &RunId("drain".into()), &context).await, started.elapsed())
    })
}

fn names(world: &World) -> Vec<String> {
    let pods = world.of_kind("Pod");
    pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pods_leave_a_node_and_it_takes_pods_again_afterwards() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1", "web-2"]);
    let (outcome, waits) = run(&stage.world, &around(&DrainOptions::default()), &FakeProcess::new());
    assert_eq!((outcome.done, outcome.failed), (3, Vec::new()), "{waits:?}");
    assert_eq!(names(&stage.world), Vec::<String>::new());
    assert!(stage.world.node("h1")["spec"]["unschedulable"].is_null());
}

#[test]
fn a_pod_that_a_budget_keeps_is_asked_for_again_until_it_may_go() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1", "web-2"]);
    stage.world.held.lock().unwrap().insert("web".into(), 5);
    let (outcome, waits) = run(&stage.world, &around(&DrainOptions::default()), &FakeProcess::new());
    assert_eq!(outcome.failed, Vec::new());
    let reason = "pod team/web-1: The disruption budget web needs 2 healthy pods and has 2 currently (and 1 more pods)";
    assert!(waits.iter().any(|wait| wait == reason), "{waits:?}");
    assert_eq!(names(&stage.world), Vec::<String>::new());
}

/// The operator who stops a run as soon as it waits for this.
#[derive(Default)]
pub(super) struct Impatient {
    pub cancellation: Cancellation,
    pub awaited: &'static str,
}

impl EventSink for Impatient {
    fn emit(&self, event: Event) {
        if let Event::StepWaits { reason, .. } = event
            && reason.contains(self.awaited)
        {
            self.cancellation.request();
        }
    }
}

#[test]
fn a_drain_that_the_operator_stops_has_not_failed_and_the_node_takes_pods_again() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1", "web-2"]);
    stage.world.held.lock().unwrap().insert("web".into(), usize::MAX);
    let operator = Impatient::default();
    let plan = around(&DrainOptions::default());
    let (outcome, _) = run_with(&stage.world, &plan, &FakeProcess::new(), &operator, &operator.cancellation);
    assert_eq!((outcome.done, outcome.failed, outcome.skipped), (1, Vec::new(), 2));
    assert!(stage.world.node("h1")["spec"]["unschedulable"].is_null());
}

#[test]
fn a_node_that_was_emptied_before_the_operator_stopped_takes_pods_again() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1"]);
    let mut plan = around(&DrainOptions::default());
    let [mut watch] = <[Step; 1]>::try_from(soak().steps).expect("one step");
    watch.id = StepId("h1/watch".into());
    watch.after = vec![StepId("h1/drain".into())];
    plan.steps[2].after = vec![watch.id.clone()];
    plan.steps.insert(2, watch);
    let operator = Impatient { awaited: "all is well", ..Impatient::default() };
    let (outcome, _) = run_with(&stage.world, &plan, &FakeProcess::new(), &operator, &operator.cancellation);
    assert_eq!((outcome.done, outcome.failed, outcome.skipped), (2, Vec::new(), 2));
    assert_eq!(names(&stage.world), Vec::<String>::new());
    assert!(stage.world.node("h1")["spec"]["unschedulable"].is_null());
}

const MINUTE: Duration = Duration::from_secs(60);

/// A plan that watches the node for a minute.
fn soak() -> Plan {
    let condition = Condition::Soaked { nodes: vec![h1()], duration: MINUTE };
    let [mut step, _] = drain_steps(&h1(), &DrainOptions::default());
    step.action = Action::Wait(condition);
    Plan { steps: vec![step], ..Plan::default() }
}

#[test]
fn a_canary_is_watched_for_its_time() {
    let desk = Desk::new();
    let stage = stage(&desk, &[]);
    let waits = Waits::default();
    let (outcome, took) = run_with(&stage.world, &soak(), &FakeProcess::new(), &waits, &Cancellation::default());
    assert_eq!((outcome.done, outcome.failed), (1, Vec::new()));
    assert!(took >= MINUTE && took < MINUTE * 2, "{took:?}");
}

/// Takes the Node away as soon as somebody watches it.
struct Loses<'a>(&'a World);

impl EventSink for Loses<'_> {
    fn emit(&self, event: Event) {
        if let Event::StepWaits { .. } = event {
            self.0.remove("Node", "h1");
            self.0.machines.lock().unwrap()[&h1()].by_hand(|state| {
                state.units.get_mut("kubelet.service").unwrap().active = "failed".into();
            });
        }
    }
}

#[test]
fn a_canary_that_is_lost_while_it_is_watched_stops_the_run() {
    let desk = Desk::new();
    let stage = stage(&desk, &[]);
    let events = Loses(&stage.world);
    let (outcome, _) = run_with(&stage.world, &soak(), &FakeProcess::new(), &events, &Cancellation::default());
    let reasons: Vec<String> = outcome.failed.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["node h1 is gone"]);
}

/// Ends a pod's work as soon as somebody waits.
struct Finishes<'a>(&'a World);

impl EventSink for Finishes<'_> {
    fn emit(&self, event: Event) {
        if let Event::StepWaits { .. } = event {
            self.0.edit("Pod", "sum-1", "/status/phase", json!("Succeeded"));
        }
    }
}

#[test]
fn a_jobs_pod_that_has_ended_while_its_budget_kept_it_stays() {
    let desk = Desk::new();
    let stage = stage(&desk, &[]);
    stage.world.by_hand(
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "namespace": "team"}, "spec": {}}),
    );
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "sum", "controller": true}]);
    let labels = json!({"app": "sum"});
    stage
        .world
        .by_hand(pod_of(json!({"name": "sum-1", "namespace": "team", "labels": labels, "ownerReferences": owner})));
    stage.world.held.lock().unwrap().insert("sum".into(), 1);
    let events = Finishes(&stage.world);
    let (outcome, _) = run_with(
        &stage.world,
        &around(&DrainOptions::default()),
        &FakeProcess::new(),
        &events,
        &Cancellation::default(),
    );
    assert_eq!((outcome.done, outcome.failed), (3, Vec::new()));
    assert_eq!(names(&stage.world), ["sum-1"], "Kubernetes before 1.25 counts a Job's successes by its pods");
}

#[test]
fn a_drain_that_runs_out_of_time_names_pod_and_budget_and_lifts_its_cordon() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1"]);
    stage.world.held.lock().unwrap().insert("web".into(), usize::MAX);
    stage.world.by_hand(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "team"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 3},
    }));
    let (outcome, _) = run(&stage.world, &around(&DrainOptions::default()), &FakeProcess::new());
    let error = &outcome.failed[0].1;
    for text in [
        "h1 is not empty after 120 s: pod team/web-1: PodDisruptionBudget team/web lets no pod go now: it wants 2 healthy and has 2",
        "kubectl -n team get pods",
        "it takes pods again",
    ] {
        assert!(error.contains(text), "{text} is not in {error}");
    }
    assert_eq!((outcome.done, outcome.skipped), (1, 1));
    assert!(!is_cordoned_by_us(&stage.world.node("h1")));
    assert_eq!(names(&stage.world), ["web-1"]);
}

#[test]
fn a_pod_that_nobody_makes_anew_stops_a_drain_before_anything_is_evicted_unless_it_is_forced() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1"]);
    stage.world.by_hand(pod_of(json!({"name": "bare", "namespace": "team"})));
    let (outcome, _) = run(&stage.world, &around(&DrainOptions::default()), &FakeProcess::new());
    let error = &outcome.failed[0].1;
    let wanted = "h1 cannot be emptied: pod team/bare: nobody makes it anew, it has no controller (set \
                  `upgrade_strategy.node_drain_input.force: true`, or: kubectl -n team delete pod bare)";
    assert!(error.starts_with(wanted), "{error}");
    assert_eq!(names(&stage.world), ["bare", "web-1"]);
    let forced = DrainOptions { force: true, ..DrainOptions::default() };
    let (outcome, _) = run(&stage.world, &around(&forced), &FakeProcess::new());
    assert_eq!(outcome.failed, Vec::new());
    assert_eq!(names(&stage.world), Vec::<String>::new());
}

#[test]
fn nothing_is_evicted_before_a_controller_manager_has_seen_the_cordon() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1"]);
    stage.world.edit("Node", "h1", "/spec", json!({"unschedulable": true}));
    let (outcome, waits) = run(&stage.world, &around(&DrainOptions::default()), &FakeProcess::new());
    let wanted = "a controller-manager to see that h1 is cordoned";
    assert!(waits.iter().any(|wait| wait == wanted), "{waits:?}");
    assert!(outcome.failed[0].1.contains(wanted), "{:?}", outcome.failed);
    assert_eq!(names(&stage.world), ["web-1"]);
}

#[test]
fn an_operators_cordon_stays_after_a_drain() {
    let desk = Desk::new();
    let stage = stage(&desk, &["web-1"]);
    let seen = json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
    stage.world.edit("Node", "h1", "/spec", json!({"unschedulable": true, "taints": seen}));
    let (outcome, _) = run(&stage.world, &around(&DrainOptions::default()), &FakeProcess::new());
    assert_eq!(outcome.failed, Vec::new());
    let node = stage.world.node("h1");
    assert_eq!(node["spec"]["unschedulable"], true);
    assert!(node["metadata"]["annotations"][CORDONED_ANNOTATION].is_null());
    assert_eq!(stage.must(&desk.load(1, 0), "the next run"), UpOutcome::NothingToDo);
}

#[test]
fn a_node_that_a_run_has_left_cordoned_is_put_back_by_the_next_one() {
    let desk = Desk::new();
    let plan = around(&DrainOptions::default());
    let calls = {
        let (stage, process) = (stage(&desk, &["web-1", "web-2"]), FakeProcess::new());
        assert_eq!(run(&stage.world, &plan, &process).0.failed, Vec::new());
        process.calls()
    };
    assert_eq!(calls, 4, "cordon, two evictions, uncordon");
    let mut left_cordoned = 0;
    for call in 0..calls {
        for moment in [Moment::Before, Moment::Within, Moment::After] {
            let what = format!("call {call}, {moment:?}");
            let stage = stage(&desk, &["web-1", "web-2"]);
            let process = FakeProcess::new();
            process.dies_at(call, moment);
            assert!(!run(&stage.world, &plan, &process).0.failed.is_empty(), "{what}: it was to die");
            let loaded = desk.load(1, 0);
            if is_cordoned_by_us(&stage.world.node("h1")) {
                left_cordoned += 1;
                let next = stage.plan(&loaded);
                let [step] = &next.steps[..] else { panic!("{what}: {next}") };
                assert!(matches!(&step.action, Action::Uncordon(node) if *node == h1()), "{what}: {next}");
                assert!(next.to_string().contains("uncordon h1: an earlier run has cordoned it"), "{what}: {next}");
                assert!(matches!(stage.must(&loaded, &what), UpOutcome::Applied { steps: 1 }), "{what}");
            }
            assert!(stage.world.node("h1")["spec"]["unschedulable"].is_null(), "{what}");
            assert_eq!(stage.must(&loaded, &what), UpOutcome::NothingToDo, "{what}");
        }
    }
    assert!(left_cordoned > 6, "{left_cordoned} cordons were left behind");
}

#[test]
fn a_run_that_dies_while_it_puts_a_node_back_is_completed() {
    let desk = Desk::new();
    let stage = stage(&desk, &[]);
    stage.world.edit("Node", "h1", "/spec", json!({"unschedulable": true}));
    stage.world.edit("Node", "h1", "/metadata/annotations", json!({ CORDONED_ANNOTATION: "true" }));
    stage.world.edit("Node", "h1", "/metadata/managedFields", cordoned_by("provision"));
    let process = FakeProcess::new();
    process.dies_at(0, Moment::Before);
    let loaded = desk.load(1, 0);
    assert!(stage.up(&loaded, &process).is_err());
    assert!(is_cordoned_by_us(&stage.world.node("h1")));
    stage.must(&loaded, "completed");
    assert!(stage.world.node("h1")["spec"]["unschedulable"].is_null());
    assert_eq!(stage.must(&loaded, "again"), UpOutcome::NothingToDo);
}

#[test]
fn a_node_that_was_cordoned_anew_after_an_interrupted_run_is_left_to_who_did_it() {
    let desk = Desk::new();
    let stage = stage(&desk, &[]);
    let [cordon, _] = drain_steps(&h1(), &DrainOptions::default());
    run(&stage.world, &Plan { steps: vec![cordon], ..Plan::default() }, &FakeProcess::new());
    assert!(is_cordoned_by_us(&stage.world.node("h1")), "an interrupted run has left it so");
    // `kubectl uncordon` and, days later, `kubectl cordon`: the annotation is still there.
    stage.world.edit("Node", "h1", "/metadata/managedFields", cordoned_by("kubectl-cordon"));
    let loaded = desk.load(1, 0);
    let plan = stage.plan(&loaded);
    assert!(plan.to_string().contains("forget that h1 was cordoned: somebody has lifted the cordon"), "{plan}");
    assert!(matches!(stage.must(&loaded, "the next run"), UpOutcome::Applied { steps: 1 }));
    let node = stage.world.node("h1");
    assert_eq!(node["spec"]["unschedulable"], true);
    assert!(node["metadata"]["annotations"][CORDONED_ANNOTATION].is_null());
    assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
}

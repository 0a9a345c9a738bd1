//! A node that is emptied, against a real API: the library's own steps, run by its engine.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use provision::base::{Epoch, NodeName, RunId, StepId};
use provision::bundle::Bundles;
use provision::cluster::DrainOptions;
use provision::engine::{self, Cancellation, Context, Outcome, RunLog, StepError, World};
use provision::event::{Event, EventSink};
use provision::journal::{RealDisk, State};
use provision::kubeapi::CORDONED_ANNOTATION;
use provision::ops::{self, ConnectOptions, Loaded, Setup, SshReach, Survey, SurveyInput};
use provision::plan::{self, DrainForecast, DrainInput, Plan, drain_steps, uncordon_step};
use provision::state::SnapshotName;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::tool::Tool;
use crate::harness::{AGNHOST, Kubectl, Lab, SECOND, V1_34, until};

#[test]
#[ignore = "three minutes; `upgrade_served` drains nodes with a budget, and what stops a drain is tried against fakes"]
fn a_drain_evicts_what_budgets_allow_names_what_they_forbid_and_leaves_the_operators_cordon() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    lab.load_workload_image();
    let operator = Kubectl::operator(&lab);
    operator.run(&["create", "namespace", "tenant"]).succeeded();
    apply_workload(&operator, 2);
    let desk = Desk::new(&lab);

    what_a_budget_never_allows_stops_it_at_once(&desk, &operator);
    what_a_budget_allows_later_is_waited_for(&desk, &operator);
    a_bare_pod_with_data_goes_only_where_it_is_asked_for(&desk, &operator);
    the_operators_cordon_stays(&desk, &operator);
    the_next_up_lifts_a_cordon_that_was_left(&lab, &desk, &operator);
}

/// With the budget at 100 % no pod may ever go: nothing is evicted, and the node takes pods again.
fn what_a_budget_never_allows_stops_it_at_once(desk: &Desk, operator: &Kubectl) {
    apply_budget(operator, &json!("100%"));
    let before = uids(operator);
    let lines = desk.forecast(&DrainOptions::default()).lines().join("\n");
    println!("{lines}");
    for text in ["can never let a pod go: it wants 2 of 2 healthy", "leaves ", "without a preStop delay"] {
        assert!(lines.contains(text), "{text} is not in\n{lines}");
    }
    let started = Instant::now();
    let (outcome, _) = desk.run(&around(&DrainOptions::default()));
    let error = only_error(&outcome);
    assert!(error.contains("PodDisruptionBudget tenant/web can never let a pod go"), "{error}");
    assert!(started.elapsed() < 60 * SECOND, "{:?}", started.elapsed());
    assert_eq!(uids(operator), before, "pods that are there");
    assert_eq!(cordon(operator), (false, false));
}

/// On the only node a pod that was evicted runs nowhere else, so that the budget keeps the other one until the end. A second
/// run, for which it allows both, empties the node.
fn what_a_budget_allows_later_is_waited_for(desk: &Desk, operator: &Kubectl) {
    apply_budget(operator, &json!(1));
    let options = DrainOptions { timeout: 10 * SECOND, ..DrainOptions::default() };
    let (outcome, waits) = desk.run(&around(&options));
    let error = only_error(&outcome);
    for text in
        ["h1 is not empty after 10 s", "PodDisruptionBudget tenant/web lets no pod go now", "wants 1 healthy and has 1"]
    {
        assert!(error.contains(text), "{text} is not in {error}");
    }
    let budget = "The disruption budget web needs 1 healthy pods and has 1 currently";
    assert!(waits.iter().any(|wait| wait.contains(budget)), "{waits:?}");
    assert_eq!(cordon(operator), (false, false));
    operator.await_pods("tenant", "app=web", 2);

    apply_budget(operator, &json!(0));
    let before = uids(operator);
    let steps: Vec<_> = drain_steps(&h1(), &DrainOptions::default()).into();
    let (outcome, _) = desk.run(&Plan { steps, ..Plan::default() });
    assert_eq!(outcome.failed, Vec::new());
    assert_eq!(cordon(operator), (true, true));
    let after = uids(operator);
    assert!(before.iter().all(|uid| !after.contains(uid)), "{before:?} and {after:?}");
    assert!(desk.forecast(&DrainOptions::default()).is_done());
    uncordon(desk);
    assert_eq!(cordon(operator), (false, false));
    operator.await_pods("tenant", "app=web", 2);
}

fn a_bare_pod_with_data_goes_only_where_it_is_asked_for(desk: &Desk, operator: &Kubectl) {
    operator.apply(&bare_pod()).succeeded();
    operator.await_pods("tenant", "app=bare", 1);
    let (outcome, _) = desk.run(&around(&DrainOptions::default()));
    let error = only_error(&outcome);
    for text in
        ["tenant/bare: nobody makes it anew", "emptyDir volumes would be lost: scratch", "delete_local_data: true"]
    {
        assert!(error.contains(text), "{text} is not in {error}");
    }
    let options =
        DrainOptions { force: true, delete_local_data: true, grace_period: Some(0), ..DrainOptions::default() };
    let (outcome, _) = desk.run(&around(&options));
    assert_eq!(outcome.failed, Vec::new());
    operator.run(&["-n", "tenant", "get", "pod", "bare"]).failed().says("NotFound");
    operator.await_pods("tenant", "app=web", 2);
}

fn the_operators_cordon_stays(desk: &Desk, operator: &Kubectl) {
    operator.run(&["cordon", "h1"]).succeeded();
    let (outcome, _) = desk.run(&around(&DrainOptions::default()));
    assert_eq!(outcome.failed, Vec::new());
    assert_eq!(cordon(operator), (true, false), "cordoned, and not by the tool");
    operator.run(&["uncordon", "h1"]).succeeded();
    operator.await_pods("tenant", "app=web", 2);
}

fn the_next_up_lifts_a_cordon_that_was_left(lab: &Lab, desk: &Desk, operator: &Kubectl) {
    let [cordon_step, _] = drain_steps(&h1(), &DrainOptions::default());
    let (outcome, _) = desk.run(&Plan { steps: vec![cordon_step], ..Plan::default() });
    assert_eq!(outcome.failed, Vec::new());
    assert_eq!(cordon(operator), (true, true));
    lab.tool().run(&["plan"]).says("uncordon h1: an earlier run has cordoned it");
    lab.tool().up().succeeded();
    assert_eq!(cordon(operator), (false, false));
    lab.tool().run(&["plan"]).succeeded().says("Nothing to do.");
}

fn h1() -> NodeName {
    NodeName::new("h1").unwrap()
}

fn around(options: &DrainOptions) -> Plan {
    let [cordon, drain] = drain_steps(&h1(), options);
    let mut uncordon = uncordon_step(&h1());
    uncordon.after.push(drain.id.clone());
    Plan { steps: vec![cordon, drain, uncordon], ..Plan::default() }
}

fn uncordon(desk: &Desk) {
    let (outcome, _) = desk.run(&Plan { steps: vec![uncordon_step(&h1())], ..Plan::default() });
    assert_eq!(outcome.failed, Vec::new());
}

#[track_caller]
fn only_error(outcome: &Outcome) -> &str {
    assert_eq!(outcome.failed.len(), 1, "{:?}", outcome.failed);
    println!("{}", outcome.failed[0].1);
    &outcome.failed[0].1
}

/// Whether the node is cordoned, and whether the tool has noted that it was it.
fn cordon(operator: &Kubectl) -> (bool, bool) {
    let node = operator.json(&["get", "node", "h1"]);
    (node["spec"]["unschedulable"] == true, node["metadata"]["annotations"][CORDONED_ANNOTATION].is_string())
}

/// The uids of the Deployment's pods.
fn uids(operator: &Kubectl) -> Vec<String> {
    let pods = operator.json(&["-n", "tenant", "get", "pods", "-l", "app=web"]);
    let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap().to_owned();
    pods["items"].as_array().unwrap().iter().map(uid).collect()
}

fn pod_template(app: &str) -> Value {
    let pod = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let container = json!({
        "name": "main", "image": AGNHOST, "imagePullPolicy": "Never", "args": ["pause"], "securityContext": context,
    });
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"securityContext": pod, "terminationGracePeriodSeconds": 1, "containers": [container]},
    })
}

fn apply_workload(operator: &Kubectl, replicas: usize) {
    let spec = json!({
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": pod_template("web"),
    });
    let metadata = json!({"name": "web", "namespace": "tenant"});
    operator
        .apply(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}))
        .succeeded();
    operator.await_pods("tenant", "app=web", replicas);
}

/// A budget that wants this many healthy, once the cluster has counted for it.
fn apply_budget(operator: &Kubectl, healthy: &Value) {
    let spec = json!({"minAvailable": healthy, "selector": {"matchLabels": {"app": "web"}}});
    let metadata = json!({"name": "web", "namespace": "tenant"});
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec});
    operator.apply(&budget).succeeded();
    until("the budget's numbers", 30 * SECOND, || {
        let live = operator.json(&["-n", "tenant", "get", "poddisruptionbudget", "web"]);
        let status = &live["status"];
        let counted = status["observedGeneration"] == live["metadata"]["generation"] && status["currentHealthy"] == 2;
        if counted { Ok(()) } else { Err(status.to_string()) }
    });
}

fn bare_pod() -> Value {
    let mut pod = pod_template("bare");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("bare");
    pod["metadata"]["namespace"] = json!("tenant");
    pod["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    pod
}

/// The library over the lab's cluster.
struct Desk {
    runtime: Runtime,
    loaded: Loaded,
    survey: Survey,
}

impl Desk {
    fn new(lab: &Lab) -> Self {
        let runtime = Runtime::new().unwrap();
        let setup = Setup { config: lab.config(), catalog: Some(Tool::catalog()), home: "/root".into() };
        let loaded = ops::load(&setup).unwrap();
        let state = State::peek(&RealDisk, &setup.state_folder()).unwrap();
        let options =
            ConnectOptions { known_hosts: setup.known_hosts(), strict: true, timeout: 10 * SECOND, agent_socket: None };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let bundles = Bundles::open(&[lab.bundle(lab.version())]).unwrap();
        let input = SurveyInput {
            loaded: &loaded,
            state: &state,
            bundles: &bundles,
            suppliers: None,
            reach: &SshReach(options),
            now: i64::try_from(now).unwrap(),
            events: &Waits::default(),
            allow_missing_images: false,
            back_to: None,
            restoration: None,
        };
        let survey = runtime.block_on(ops::survey(&input)).unwrap();
        Self { runtime, loaded, survey }
    }

    /// Runs a plan; what it waited for comes along.
    fn run(&self, plan: &Plan) -> (Outcome, Vec<String>) {
        let world = World {
            epoch: Epoch::FIRST,
            hosts: self.survey.hosts.clone(),
            endpoints: self.survey.endpoints.clone().expect("a living cluster"),
            facts: BTreeMap::new(),
            look: self.survey.request.clone(),
            patience: Duration::from_secs(60),
        };
        let (waits, cancellation) = (Waits::default(), Cancellation::default());
        let context = Context { world: &world, log: &NoLog, events: &waits, cancellation: &cancellation };
        let outcome = self.runtime.block_on(engine::run(plan, &RunId("drain".into()), &context));
        (outcome, waits.0.into_inner().unwrap())
    }

    /// What a drain of the node would do now.
    fn forecast(&self, options: &DrainOptions) -> DrainForecast {
        let endpoints = self.survey.endpoints.as_ref().expect("a living cluster");
        let node = &self.loaded.cluster.nodes[0].name;
        self.runtime.block_on(async {
            let pods = endpoints.pods_on(node).await.unwrap();
            let budgets = endpoints.disruption_budgets().await.unwrap();
            let owners = endpoints.read(&plan::owners(&pods)).await.unwrap();
            plan::forecast(&DrainInput { node, pods: &pods, budgets: &budgets, owners: &owners, options })
        })
    }
}

#[derive(Default)]
struct Waits(Mutex<Vec<String>>);

impl EventSink for Waits {
    fn emit(&self, event: Event) {
        if let Event::StepWaits { reason, .. } = event {
            println!("waits for {reason}");
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

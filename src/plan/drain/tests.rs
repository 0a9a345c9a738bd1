use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::base::NodeName;
use crate::cluster::DrainOptions;
use crate::state::{Object, ObjectKey};

fn pod(name: &str, owner: Option<(&str, &str)>) -> Value {
    let reference = |(kind, name): (&str, &str)| {
        let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
        json!([{"apiVersion": group, "kind": kind, "name": name, "controller": true}])
    };
    json!({
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid of {name}"), "labels": {"app": "web"},
            "ownerReferences": owner.map(reference),
        },
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A ReplicaSet of Deployment `web`.
fn replica_set(name: &str, replicas: u64) -> Value {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true}]);
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "team", "ownerReferences": owner},
        "spec": {"replicas": replicas},
    })
}

fn daemon_set() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "team"}})
}

fn budget(name: &str, spec: Value, [allowed, healthy, wanted, expected]: [u64; 4]) -> Value {
    let mut budget = json!({
        "metadata": {"name": name, "namespace": "team", "generation": 1},
        "spec": spec,
        "status": {
            "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": wanted,
            "expectedPods": expected,
        },
    });
    budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    budget
}

fn run(pods: &[Value], budgets: &[Value], owners: &[Value], options: &DrainOptions) -> DrainForecast {
    let keyed = |owner: &Value| (Object::new(owner.clone()).unwrap().key, owner.clone());
    let owners: BTreeMap<ObjectKey, Value> = owners.iter().map(keyed).collect();
    let node = NodeName::new("h1").unwrap();
    forecast(&DrainInput { node: &node, pods, budgets, owners: &owners, options })
}

fn names(pods: &[PodRef]) -> Vec<&str> {
    pods.iter().map(|pod| pod.name.as_str()).collect()
}

/// Obstacles of a pod of Deployment `web` with three replicas.
fn obstacles(pod: &Value, budgets: &[Value], options: &DrainOptions) -> Vec<Obstacle> {
    let forecast = run(std::slice::from_ref(pod), budgets, &[replica_set("web-5d", 3)], options);
    forecast.blocked.into_iter().map(|blocked| blocked.obstacle).collect()
}

fn web(name: &str) -> Value {
    pod(name, Some(("ReplicaSet", "web-5d")))
}

#[test]
fn what_belongs_to_the_node_or_has_ended_stays() {
    let mut mirror = pod("static", None);
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "1"});
    let mut finished = pod("job", None);
    finished["status"]["phase"] = json!("Failed");
    let mut ending = web("going");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let pods = [mirror, finished, ending, pod("agent-1", Some(("DaemonSet", "agent"))), web("web-1")];
    let owners = [daemon_set(), replica_set("web-5d", 3)];
    let forecast = run(&pods, &[], &owners, &DrainOptions::default());
    let stays: Vec<Stay> = forecast.left.iter().map(|(_, stay)| *stay).collect();
    assert_eq!(stays, [Stay::Mirror, Stay::Finished, Stay::DaemonSet]);
    assert_eq!((names(&forecast.evicted), names(&forecast.ending)), (vec!["web-1"], vec!["going"]));
    assert_eq!(forecast.blocked, []);
    assert!(!forecast.is_done());
    assert!(run(&pods[..2], &[], &owners, &DrainOptions::default()).is_done());
}

#[test]
fn pods_that_nobody_makes_anew_and_local_data_go_only_where_the_file_says_so() {
    let mut options = DrainOptions::default();
    let mut bare = pod("bare", None);
    bare["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}, {"name": "config", "configMap": {}}]);
    let wanted = [Obstacle::NobodyMakesItAnew(None), Obstacle::LocalData(vec!["scratch".into()])];
    assert_eq!(obstacles(&bare, &[], &options), wanted);
    options.force = true;
    assert_eq!(obstacles(&bare, &[], &options), wanted[1..]);
    options.delete_local_data = true;
    assert_eq!(obstacles(&bare, &[], &options), []);
}

#[test]
fn volumes_that_a_pod_calls_expendable_block_nothing() {
    let mut pod = web("web-1");
    pod["spec"]["volumes"] = json!([{"name": "certificate", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}]);
    pod["metadata"]["annotations"] =
        json!({"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "certificate, other"});
    assert_eq!(obstacles(&pod, &[], &DrainOptions::default()), [Obstacle::LocalData(vec!["cache".into()])]);
}

#[test]
fn a_pod_whose_controller_is_gone_is_as_bare_as_one_without() {
    let options = DrainOptions::default();
    let orphan = pod("agent-1", Some(("DaemonSet", "gone")));
    let [Obstacle::NobodyMakesItAnew(Some(owner))] = &obstacles(&orphan, &[], &options)[..] else { panic!() };
    assert_eq!(owner.to_string(), "DaemonSet team/gone");
    let mut custom = web("custom");
    custom["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "example.org/v1", "kind": "Fleet", "name": "a", "controller": true}]);
    assert_eq!(obstacles(&custom, &[], &options), [], "of kinds that cannot be read the owner is taken to be there");
    assert_eq!(owners(&[custom, orphan, web("a"), web("b")]).len(), 2);
}

#[test]
fn pods_of_daemon_sets_block_where_the_file_wants_them_gone() {
    let options = DrainOptions { ignore_daemonsets: false, ..DrainOptions::default() };
    let agent = pod("agent-1", Some(("DaemonSet", "agent")));
    let forecast = run(&[agent], &[], &[daemon_set()], &options);
    assert_eq!(forecast.blocked[0].obstacle, Obstacle::DaemonSet);
    assert_eq!(forecast.hopeless().count(), 1);
}

#[test]
fn a_budget_that_allows_nothing_now_is_told_from_one_that_never_will() {
    let options = DrainOptions::default();
    let two = json!({"minAvailable": 2});
    for (budget, blocks, may_pass) in [
        (budget("a", two.clone(), [1, 3, 2, 3]), false, true),
        (budget("a", two.clone(), [0, 2, 2, 3]), true, true),
        (budget("a", json!({"minAvailable": 3}), [0, 3, 3, 3]), true, false),
        (budget("a", json!({"minAvailable": 5}), [0, 3, 5, 3]), true, false),
        (budget("a", json!({"minAvailable": "100%"}), [0, 0, 0, 0]), true, false),
        (budget("a", json!({"maxUnavailable": 0}), [0, 3, 3, 3]), true, false),
        (budget("a", json!({"maxUnavailable": "0%"}), [0, 3, 3, 3]), true, false),
        (budget("a", json!({"maxUnavailable": "10%"}), [1, 3, 2, 3]), false, true),
    ] {
        let found = obstacles(&web("web-1"), std::slice::from_ref(&budget), &options);
        assert_eq!(found.len(), usize::from(blocks), "{budget}");
        assert!(found.iter().all(|obstacle| obstacle.may_pass() == may_pass), "{budget}");
    }
}

#[test]
fn numbers_of_an_earlier_budget_say_nothing_about_never() {
    let mut changed = budget("a", json!({"minAvailable": 1}), [0, 3, 3, 3]);
    changed["metadata"]["generation"] = json!(2);
    assert!(obstacles(&web("web-1"), &[changed], &DrainOptions::default())[0].may_pass());
}

#[test]
fn a_budget_asks_only_about_pods_that_it_covers_and_that_run() {
    let options = DrainOptions::default();
    let never = budget("a", json!({"maxUnavailable": 0}), [0, 3, 3, 3]);
    let mut elsewhere = web("web-1");
    elsewhere["metadata"]["namespace"] = json!("other");
    elsewhere["metadata"]["ownerReferences"] = Value::Null;
    let forced = DrainOptions { force: true, ..options.clone() };
    assert_eq!(obstacles(&elsewhere, std::slice::from_ref(&never), &forced), []);
    let mut pending = web("web-1");
    pending["status"]["phase"] = json!("Pending");
    assert_eq!(obstacles(&pending, std::slice::from_ref(&never), &options), []);
    let other = budget("b", json!({"maxUnavailable": 1}), [1, 3, 2, 3]);
    let several = Obstacle::SeveralBudgets(vec!["a".into(), "b".into()]);
    assert_eq!(obstacles(&web("web-1"), &[never, other], &options), [several]);
}

#[test]
fn a_pod_that_is_not_ready_may_go_where_enough_others_are_or_the_budget_says_so() {
    let options = DrainOptions::default();
    let mut broken = web("web-1");
    broken["status"]["conditions"] = json!([]);
    let two = json!({"minAvailable": 2});
    assert_eq!(obstacles(&broken, &[budget("a", two.clone(), [0, 2, 2, 3])], &options), []);
    assert_eq!(obstacles(&broken, &[budget("a", two.clone(), [0, 1, 2, 3])], &options).len(), 1);
    let mut always = budget("a", two, [0, 1, 2, 3]);
    always["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
    assert_eq!(obstacles(&broken, &[always], &options), []);
}

#[test]
fn what_workloads_will_notice_is_said_of_the_deployment() {
    let forecast = run(&[web("web-1")], &[], &[replica_set("web-5d", 1)], &DrainOptions::default());
    let lines = forecast.lines();
    assert_eq!(
        lines,
        [
            "evicts pod team/web-1",
            "warning: Deployment team/web has one replica: it is away until its pod is ready elsewhere",
            "warning: without a preStop delay, requests may be lost while their pods end: Deployment team/web",
        ]
    );
    let mut pods = [web("web-1"), web("web-2")];
    for pod in &mut pods {
        pod["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 5}}});
    }
    let allowed = [budget("web", json!({"maxUnavailable": 1}), [1, 2, 1, 2])];
    let forecast = run(&pods, &allowed, &[replica_set("web-5d", 2)], &DrainOptions::default());
    let lines = forecast.lines();
    assert_eq!(
        lines,
        [
            "evicts 2 pods: team/web-1, team/web-2",
            "warning: all 2 replicas of Deployment team/web are on this node",
            "warning: PodDisruptionBudget team/web lets 1 of its 2 pods here go at a time",
        ]
    );
}

#[test]
fn a_jobs_pod_has_nobody_who_could_lose_requests() {
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load", "namespace": "team"}});
    let forecast = run(&[pod("load-1", Some(("Job", "load")))], &[], &[job], &DrainOptions::default());
    assert_eq!((names(&forecast.evicted), forecast.warnings), (vec!["load-1"], Vec::new()));
}

#[test]
fn what_blocks_is_told_with_the_way_out_and_long_lists_are_cut() {
    let mut pods: Vec<Value> = (1..=10).map(|number| pod(&format!("load-{number}"), Some(("Job", "load")))).collect();
    for pod in &mut pods {
        pod["metadata"]["labels"] = json!({});
    }
    pods.push(web("web-1"));
    pods.push(pod("agent-1", Some(("DaemonSet", "agent"))));
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load", "namespace": "team"}});
    let never = budget("web", json!({"maxUnavailable": 0}), [0, 3, 3, 3]);
    let owners = [job, daemon_set(), replica_set("web-5d", 3)];
    let forecast = run(&pods, &[never], &owners, &DrainOptions::default());
    let lines = forecast.lines();
    assert!(lines[0].starts_with("evicts 10 pods: team/load-1, ") && lines[0].ends_with(" and 2 more"), "{}", lines[0]);
    assert_eq!(lines[1], "leaves 1 of DaemonSets");
    assert_eq!(
        lines[2],
        "blocked: pod team/web-1: PodDisruptionBudget team/web can never let a pod go: it wants 3 of 3 healthy; \
         add replicas, or change it: kubectl -n team edit poddisruptionbudget web"
    );
    let refusal = forecast.refusal().unwrap();
    assert_eq!(format!("blocked: {}", refusal.details.concat()), lines[2], "a run that would get stuck is not begun");
}

#[test]
fn pods_that_bear_the_cordons_taint_would_come_back() {
    let with = |tolerations: Value| json!({"spec": {"tolerations": tolerations}});
    for tolerations in [
        json!([{"operator": "Exists"}]),
        json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}]),
        json!([{"key": "node.kubernetes.io/unschedulable"}]),
    ] {
        assert!(tolerates_cordon(&with(tolerations.clone())), "{tolerations}");
    }
    for tolerations in [
        Value::Null,
        json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]),
        json!([{"operator": "Exists", "effect": "NoExecute"}]),
        json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Equal", "value": "x"}]),
    ] {
        assert!(!tolerates_cordon(&with(tolerations.clone())), "{tolerations}");
    }
}

#[test]
fn a_job_loses_no_pod_that_has_ended_and_one_that_works_is_made_anew() {
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "namespace": "team"}});
    let with = |name: &str, phase: &str| {
        let mut pod = pod(name, Some(("Job", "sum")));
        pod["status"]["phase"] = json!(phase);
        pod
    };
    let pods = [with("done", "Succeeded"), with("failed", "Failed"), with("at-work", "Running")];
    let forecast = run(&pods, &[], std::slice::from_ref(&job), &DrainOptions::default());
    // Older versions count a Job's successes by its pods.
    let stays: Vec<(&str, Stay)> = forecast.left.iter().map(|(pod, stay)| (pod.name.as_str(), *stay)).collect();
    assert_eq!(stays, [("done", Stay::Finished), ("failed", Stay::Finished)]);
    assert_eq!(names(&forecast.evicted), ["at-work"]);
    assert_eq!((forecast.blocked, forecast.warnings), (Vec::new(), Vec::new()));
    // Nobody would go on with the work of a Job that is gone.
    assert_eq!(names(&run(&pods[2..], &[], &[], &DrainOptions::default()).evicted), Vec::<&str>::new());
}

#[test]
fn a_budget_keeps_a_jobs_pod_until_it_has_ended_and_no_longer() {
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "namespace": "team"}});
    let pod = pod("sum-1", Some(("Job", "sum")));
    let never = budget("sum", json!({"minAvailable": 1}), [0, 1, 1, 1]);
    let forecast = run(&[pod], &[never], &[job], &DrainOptions::default());
    assert_eq!(forecast.refusal(), None, "what ends by itself is waited for");
    assert_eq!(
        forecast.lines(),
        [
            "evicts no pod",
            "waits: pod team/sum-1: PodDisruptionBudget team/sum keeps it until its Job is done with it; raise \
             `upgrade_strategy.node_drain_input.timeout`, or have it begin anew elsewhere: \
             kubectl -n team delete poddisruptionbudget sum",
        ]
    );
}

#[test]
fn a_job_that_allows_no_more_failures_is_named() {
    let job = |limit: u64, failed: u64| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum", "namespace": "team"},
            "spec": {"backoffLimit": limit}, "status": {"failed": failed},
        })
    };
    let told = |job: Value| {
        let forecast = run(&[pod("sum-1", Some(("Job", "sum")))], &[], &[job], &DrainOptions::default());
        forecast.lines()[1..].concat()
    };
    let warning = "warning: Job team/sum may fail: from Kubernetes 1.25 on its pod counts as failed, and its backoffLimit leaves 0";
    assert_eq!(told(job(0, 0)), warning);
    assert_eq!(told(job(2, 2)), warning);
    assert_eq!(told(job(2, 1)), "");
    let mut forgiving = job(0, 0);
    let condition = json!({"type": "DisruptionTarget"});
    forgiving["spec"]["podFailurePolicy"] = json!({"rules": [{"action": "Ignore", "onPodConditions": [condition]}]});
    assert_eq!(told(forgiving), "");
}

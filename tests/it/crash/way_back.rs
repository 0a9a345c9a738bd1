//! Upgrades that are taken back: what is lost is said before, and with the snapshot even what cannot be taken back while the
//! cluster runs.

use std::sync::Mutex;

use futures::future::{BoxFuture, ready};
use provision::base::Digest;
use provision::host::{FakeProcess, Moment};
use provision::journal::Loss;
use provision::ops::{LossConsent, OperationError, SnapshotError, UpOutcome};
use provision::plan::Plan;
use provision::state::{ObservedEntry, SnapshotRecord};
use serde_json::json;

use super::snapshots::session;
use super::upgrade::{replaced, running};
use super::{Desk, Stage, Way, Yes, go};

const OLD: &str = "kubernetes_version: v1.24.17\n";
const NEW: &str = "kubernetes_version: v1.25.4\n";
/// Where a fake's etcd keeps all that it holds.
const HELD: &str = "/var/lib/etcd/member/held";

fn desk() -> Desk {
    Desk::of(&["v1.24.17", "v1.25.4"])
}

/// Says what it is told to say, and keeps what it was asked about.
struct Typed(bool, Mutex<Option<Plan>>);

impl LossConsent for Typed {
    fn ask<'a>(&'a self, _: &'a SnapshotRecord, plan: &'a Plan) -> BoxFuture<'a, bool> {
        *self.1.lock().unwrap() = Some(plan.clone());
        Box::pin(ready(self.0))
    }
}

/// A cluster that was upgraded, with what its etcd held before and after.
fn upgraded(desk: &Desk, nodes: usize) -> Stage<'_> {
    let stage = Stage::new(desk);
    stage.must(&desk.load_with(nodes, 0, OLD), "the cluster");
    hold(&stage, "before");
    stage.must(&desk.load_with(nodes, 0, NEW), "the upgrade");
    hold(&stage, "after");
    stage
}

fn hold(stage: &Stage<'_>, what: &str) {
    stage.world.machines.lock().unwrap().values().for_each(|machine| machine.put(HELD, what.as_bytes()));
}

#[track_caller]
fn holds(stage: &Stage<'_>, what: &str) {
    for machine in stage.world.machines.lock().unwrap().values() {
        match machine.state().entries.get(HELD) {
            Some(ObservedEntry::File { digest, .. }) => assert_eq!(*digest, Digest::of(what)),
            other => panic!("{other:?}"),
        }
    }
}

fn zoned_cron_job(stage: &Stage<'_>) {
    stage.world.by_hand(json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "report", "namespace": "shop" },
        "spec": { "schedule": "0 6 * * *", "timeZone": "Europe/Berlin" },
    }));
}

fn back(stage: &Stage<'_>, nodes: usize, process: &FakeProcess, way: &Way<'_>) -> Result<UpOutcome, OperationError> {
    let loaded = stage.desk.load_with(nodes, 0, OLD);
    go(stage.desk, &loaded, &stage.world, &stage.disk, process, &Yes::default(), way)
}

fn with_snapshot(stage: &Stage<'_>, nodes: usize, process: &FakeProcess) -> Result<UpOutcome, OperationError> {
    back(stage, nodes, process, &Way::BackWithSnapshot(&Typed(true, Mutex::default())))
}

#[test]
fn what_the_older_version_would_misread_is_refused_by_name_and_the_snapshot_is_offered() {
    let desk = desk();
    let stage = upgraded(&desk, 1);
    zoned_cron_job(&stage);
    let before = running(&stage);
    match back(&stage, 1, &FakeProcess::new(), &Way::Back(None)) {
        Err(OperationError::Refused(plan)) => {
            let text = plan.to_string();
            for part in ["back to Kubernetes 1.24: CronJob spec.timeZone", "      shop/report\n", "--restore-snapshot"]
            {
                assert!(text.contains(part), "{part:?} is not in {text}");
            }
            assert!(
                text.contains("`provision rollback --to 1 --restore-snapshot` goes back with snapshot before-upgrade-"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(running(&stage), before, "something was touched");
    stage.world.remove("CronJob", "report");
    back(&stage, 1, &FakeProcess::new(), &Way::Back(None)).unwrap();
    holds(&stage, "after");
}

#[test]
fn with_the_snapshot_components_and_data_are_those_of_then() {
    let desk = desk();
    for nodes in [1, 3] {
        let stage = upgraded(&desk, nodes);
        zoned_cron_job(&stage);
        let declined = Typed(false, Mutex::default());
        let result = back(&stage, nodes, &FakeProcess::new(), &Way::BackWithSnapshot(&declined));
        assert!(matches!(result, Err(OperationError::Declined)), "{result:?}");
        holds(&stage, "after");
        let plan = declined.1.into_inner().unwrap().expect("the operator was asked");
        let order = replaced(&plan);
        let position =
            |part: &str| order.iter().position(|id| id.ends_with(part)).unwrap_or_else(|| panic!("{part}: {order:?}"));
        assert!(position("unit/kubelet.service") < position("container/kube-apiserver"), "{order:?}");
        assert!(position("container/kube-apiserver") < position("container/kube-scheduler"), "{order:?}");
        with_snapshot(&stage, nodes, &FakeProcess::new()).unwrap();
        holds(&stage, "before");
        assert!(running(&stage).iter().all(|line| !line.contains("1.25.4")), "{:?}", running(&stage));
        let old = desk.load_with(nodes, 0, OLD);
        assert_eq!(stage.must(&old, "the run after it"), UpOutcome::NothingToDo);
    }
}

#[test]
fn an_upgrade_that_has_taken_the_api_away_is_taken_back_with_the_snapshot() {
    let desk = desk();
    let stage = upgraded(&desk, 3);
    for machine in stage.world.machines.lock().unwrap().values() {
        machine.by_hand(|state| {
            let apiserver = state.containers.get_mut("kube-apiserver").unwrap();
            apiserver.running = false;
            apiserver.status = "exited".into();
        });
    }
    with_snapshot(&stage, 3, &FakeProcess::new()).unwrap();
    holds(&stage, "before");
    assert!(running(&stage).iter().all(|line| !line.contains("1.25.4")), "{:?}", running(&stage));
}

#[test]
fn without_a_snapshot_of_then_nothing_is_touched() {
    let desk = desk();
    let stage = upgraded(&desk, 1);
    for machine in stage.world.machines.lock().unwrap().values() {
        machine.by_hand(|state| state.entries.retain(|path, _| !path.contains("before-upgrade")));
    }
    let before = running(&stage);
    let result = with_snapshot(&stage, 1, &FakeProcess::new());
    assert!(matches!(result, Err(OperationError::Snapshot(SnapshotError::NoneOf(_)))), "{result:?}");
    assert_eq!(running(&stage), before);
}

#[test]
fn a_rollback_with_a_snapshot_survives_a_death_at_every_host_call() {
    let desk = desk();
    let stage = upgraded(&desk, 1);
    let process = FakeProcess::new();
    with_snapshot(&stage, 1, &process).unwrap();
    let (calls, wanted) = (process.calls(), running(&stage));
    for call in 0..calls {
        // Before a call is after the one before it.
        for moment in [Moment::Within, Moment::After] {
            let what = format!("host call {call} of {calls}, {moment:?}");
            let mut stage = upgraded(&desk, 1);
            let dying = FakeProcess::new();
            dying.dies_at(call, moment);
            assert!(with_snapshot(&stage, 1, &dying).is_err(), "{what}: it ended well although it was to die");
            stage.disk = stage.disk.reboot(Loss::Unsynced);
            with_snapshot(&stage, 1, &FakeProcess::new()).unwrap_or_else(|error| panic!("{what}: {error}"));
            holds(&stage, "before");
            assert_eq!(stage.world.founded(), 1, "{what}");
            assert_eq!(running(&stage), wanted, "{what}");
            let old = desk.load_with(1, 0, OLD);
            assert_eq!(stage.must(&old, &what), UpOutcome::NothingToDo, "{what}");
        }
    }
    assert!(calls > 20, "{calls} calls cannot be all of them");
}

#[test]
fn the_snapshot_of_a_rollback_that_died_is_given_up_and_the_rollback_goes_on_without_it() {
    let desk = desk();
    let stage = upgraded(&desk, 1);
    let process = FakeProcess::new();
    with_snapshot(&stage, 1, &process).unwrap();
    let old = desk.load_with(1, 0, OLD);
    let mut given_up = 0;
    for call in 0..process.calls() {
        let what = format!("host call {call}");
        let mut stage = upgraded(&desk, 1);
        let dying = FakeProcess::new();
        dying.dies_at(call, Moment::After);
        assert!(with_snapshot(&stage, 1, &dying).is_err(), "{what}");
        stage.disk = stage.disk.reboot(Loss::Unsynced);
        match session(&stage, &old).abort() {
            Ok(intent) => assert!(intent.back_to.is_some(), "{what}"),
            Err(OperationError::Snapshot(SnapshotError::TooLate { .. } | SnapshotError::NotUnderWay)) => continue,
            Err(other) => panic!("{what}: {other}"),
        }
        given_up += 1;
        holds(&stage, "after");
        back(&stage, 1, &FakeProcess::new(), &Way::Back(None)).unwrap_or_else(|error| panic!("{what}: {error}"));
        holds(&stage, "after");
        assert!(running(&stage).iter().all(|line| !line.contains("1.25.4")), "{what}: {:?}", running(&stage));
    }
    assert!(given_up >= 4, "given up {given_up} times");
}

#[test]
fn a_rollback_whose_data_cannot_be_made_replaces_nothing() {
    let desk = desk();
    let stage = upgraded(&desk, 1);
    let before = running(&stage);
    for machine in stage.world.machines.lock().unwrap().values() {
        machine.let_fail(&machine.state().containers["etcd"].spec.image.reference.0);
    }
    match with_snapshot(&stage, 1, &FakeProcess::new()) {
        Err(OperationError::Incomplete { failed }) => assert_eq!(failed[0].0.0, "h1/etcd/prepare"),
        other => panic!("{other:?}"),
    }
    assert_eq!(running(&stage), before);
    holds(&stage, "after");
}

#[test]
fn a_rollback_that_died_goes_on_and_a_complete_one_does_not_turn_round() {
    let desk = desk();
    let mut stage = upgraded(&desk, 1);
    let dying = FakeProcess::new();
    dying.dies_at(5, Moment::After);
    back(&stage, 1, &dying, &Way::Back(None)).unwrap_err();
    stage.disk = stage.disk.reboot(Loss::Unsynced);
    back(&stage, 1, &FakeProcess::new(), &Way::Back(None)).unwrap();
    assert!(running(&stage).iter().all(|line| !line.contains("1.25.4")), "{:?}", running(&stage));
    // What it has gone back to is the first one, and the upgrade is no way back from there.
    let again = back(&stage, 1, &FakeProcess::new(), &Way::Back(None)).unwrap_err().to_string();
    assert!(again.contains("generation 0001 is the first one"), "{again}");
    let new = desk.load_with(1, 0, NEW);
    let forward = go(&desk, &new, &stage.world, &stage.disk, &FakeProcess::new(), &Yes::default(), &Way::Back(Some(2)));
    match forward {
        Err(OperationError::Refused(plan)) => assert!(plan.to_string().contains("run `provision up`"), "{plan}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn labels_of_the_way_there_are_taken_back_and_those_of_others_stay() {
    let desk = desk();
    let stage = Stage::new(&desk);
    stage.must(&desk.load_with(1, 0, OLD), "the cluster");
    let label = |level: &str| json!({ "pod-security.kubernetes.io/enforce": level });
    let namespace = |name: &str, labels: serde_json::Value| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
    stage.world.by_hand(namespace("shop", json!({})));
    stage.world.by_hand(namespace("theirs", label("baseline")));
    stage.must(&desk.load_with(1, 0, NEW), "the upgrade");
    let labels = || -> Vec<(String, serde_json::Value)> {
        let namespaces = stage.world.of_kind("Namespace").into_iter();
        namespaces
            .map(|it| (it["metadata"]["name"].as_str().unwrap().to_owned(), it["metadata"]["labels"].clone()))
            .collect()
    };
    assert_eq!(labels()[0], ("shop".to_owned(), label("restricted")));
    back(&stage, 1, &FakeProcess::new(), &Way::Back(None)).unwrap();
    // The fake takes an applied object for the whole of it.
    assert_eq!(labels()[0], ("shop".to_owned(), json!(null)));
    assert_eq!(labels()[1], ("theirs".to_owned(), label("baseline")));
}

#[test]
fn nodes_that_are_not_emptied_for_a_change_that_pods_see_are_named_in_the_plan() {
    let desk = desk();
    let stage = Stage::new(&desk);
    stage.must(&desk.load_with(1, 1, OLD), "the cluster");
    let never = format!("{NEW}upgrade_strategy: {{drain: false}}\n");
    let plan = stage.plan(&desk.load_with(1, 1, &never)).to_string();
    assert!(
        plan.contains("warning: `upgrade_strategy.drain: false`: nodes are not emptied") && plan.contains(": h1, h2\n"),
        "{plan}"
    );
    assert!(!stage.plan(&desk.load_with(1, 1, NEW)).to_string().contains("warning: `upgrade"));
}

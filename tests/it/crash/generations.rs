//! Which generation a run begins or goes back to, and which versions may follow what runs.

use std::path::Path;

use provision::base::NodeName;
use provision::host::{FakeProcess, Moment};
use provision::journal::State;
use provision::ops::{self, Loaded, OperationError, UpOutcome};

use super::upgrade::running;
use super::{Desk, Stage, Way, Yes, go};

const OLD: &str = "kubernetes_version: v1.24.16\n";
const PATCH: &str = "kubernetes_version: v1.24.17\n";
const PATCH_WITH_COMMENT: &str = "kubernetes_version: v1.24.17 # as agreed\n";
const MINOR: &str = "kubernetes_version: v1.25.4\n";

fn desk() -> Desk {
    Desk::of(&["v1.24.16", "v1.24.17", "v1.25.4"])
}

fn state(stage: &Stage<'_>) -> State {
    State::peek(&stage.disk, Path::new("/crash.state")).unwrap()
}

/// The generation that `rollback` chooses, or why it chooses none.
fn target(stage: &Stage<'_>, loaded: &Loaded) -> Result<u32, String> {
    let target = ops::rollback_target(&state(stage), &loaded.catalog, None).map(|target| target.number.0);
    target.map_err(|error| error.to_string())
}

/// `provision rollback`, where `loaded` is the generation that it chooses.
fn back(stage: &Stage<'_>, loaded: &Loaded, process: &FakeProcess) -> Result<UpOutcome, OperationError> {
    go(stage.desk, loaded, &stage.world, &stage.disk, process, &Yes::default(), &Way::Back(None))
}

#[track_caller]
fn refused(result: Result<UpOutcome, OperationError>) -> String {
    match result {
        Err(OperationError::Refused(plan)) => plan.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_mends_begins_no_generation_and_rollback_passes_over_those_that_mean_the_same() {
    let desk = desk();
    let stage = Stage::new(&desk);
    let (old, patch) = (desk.load_with(1, 0, OLD), desk.load_with(1, 0, PATCH));
    stage.must(&old, "the cluster");
    let before = running(&stage);
    stage.must(&patch, "the upgrade");
    stage.world.remove("ConfigMap", "coredns");
    assert!(matches!(stage.must(&patch, "what mends"), UpOutcome::Applied { .. }));
    assert_eq!(state(&stage).generations().len(), 2, "a generation was begun for what was there");
    let comment = desk.load_with(1, 0, PATCH_WITH_COMMENT);
    stage.must(&comment, "a comment");
    assert_eq!((state(&stage).generations().len(), target(&stage, &comment)), (3, Ok(1)));
    back(&stage, &old, &FakeProcess::new()).unwrap();
    assert_eq!(running(&stage), before);
    let none = "generation 0001 is the first one; there is none before it";
    assert_eq!(target(&stage, &old).unwrap_err(), none, "the way back would lead forward");
}

#[test]
fn a_rollback_that_was_interrupted_is_gone_on_with() {
    let desk = desk();
    let stage = Stage::new(&desk);
    let (old, minor) = (desk.load_with(3, 1, OLD), desk.load_with(3, 1, MINOR));
    stage.must(&old, "the cluster");
    let before = running(&stage);
    stage.must(&minor, "the upgrade");
    let (h2, image) = (NodeName::new("h2").unwrap(), "registry.k8s.io/kube-apiserver:v1.24.16");
    stage.world.machines.lock().unwrap()[&h2].let_fail(image);
    match back(&stage, &old, &FakeProcess::new()) {
        Err(OperationError::Incomplete { failed }) => assert_eq!(failed[0].0.0, "h2/container/kube-apiserver"),
        other => panic!("{other:?}"),
    }
    stage.world.machines.lock().unwrap()[&h2].let_work(image);
    assert_eq!(target(&stage, &old), Ok(1));
    let forward = Way::Back(Some(2));
    let result = go(&desk, &minor, &stage.world, &stage.disk, &FakeProcess::new(), &Yes::default(), &forward);
    assert!(refused(result).contains("that is no way back"));
    back(&stage, &old, &FakeProcess::new()).unwrap();
    assert_eq!(running(&stage), before);
    assert_eq!(state(&stage).generations().len(), 3);
}

#[test]
fn the_old_version_in_the_file_takes_no_half_done_upgrade_back() {
    let desk = desk();
    let stage = Stage::new(&desk);
    let (old, minor) = (desk.load_with(3, 1, OLD), desk.load_with(3, 1, MINOR));
    stage.must(&old, "the cluster");
    let (before, process) = (running(&stage), FakeProcess::new());
    process.dies_at(70, Moment::After);
    stage.up(&minor, &process).unwrap_err();
    let half = running(&stage);
    assert_ne!(half, before, "it died before anything was replaced");
    let text = refused(stage.up(&old, &FakeProcess::new()));
    assert!(text.contains("runs v1.25.4") && text.contains("provision rollback"), "{text}");
    assert_eq!(running(&stage), half);
}

#[test]
fn a_generation_that_was_never_completed_is_no_way_back() {
    let desk = desk();
    let stage = Stage::new(&desk);
    let (old, patch) = (desk.load_with(1, 0, OLD), desk.load_with(1, 0, PATCH));
    stage.must(&old, "the cluster");
    let process = FakeProcess::new();
    process.dies_at(2, Moment::Before);
    stage.up(&patch, &process).unwrap_err();
    let error = ops::rollback_target(&state(&stage), &old.catalog, Some(2)).unwrap_err().to_string();
    assert_eq!(error, "generation 0002 was never completed; there are 0001 to go back to");
}

#[test]
fn a_rollback_over_a_new_worker_is_not_pointed_to_a_file_that_has_it() {
    let desk = desk();
    let stage = Stage::new(&desk);
    let old = desk.load_with(1, 0, OLD);
    stage.must(&old, "the cluster");
    stage.must(&desk.load_with(1, 1, PATCH), "the upgrade with a worker more");
    let text = refused(back(&stage, &old, &FakeProcess::new()));
    assert!(text.contains("go back to a generation that has the same nodes: `provision history`"), "{text}");
    assert!(!text.contains("back into cluster.yml"), "{text}");
}

#[test]
fn what_failed_is_taken_back_by_itself_only_where_it_is_an_upgrade() {
    let desk = desk();
    let stage = Stage::new(&desk);
    let (old, patch) = (desk.load_with(1, 0, OLD), desk.load_with(1, 0, PATCH));
    let stays = |was_stopped| ops::reason_to_stay(&state(&stage), &patch.catalog, was_stopped);
    let begun = || stays(false).is_none();
    let fails = |loaded: &Loaded| match stage.up(loaded, &FakeProcess::new()) {
        Err(OperationError::Incomplete { .. }) => {}
        other => panic!("{other:?}"),
    };
    let never_ready = || stage.world.broken.lock().unwrap().insert("coredns".into(), "no such image".into());
    never_ready();
    fails(&old);
    assert!(!begun(), "nothing ran before it");
    stage.world.broken.lock().unwrap().clear();
    stage.must(&old, "the cluster");
    stage.must(&patch, "the upgrade");
    never_ready();
    stage.world.remove("Deployment", "coredns");
    fails(&patch);
    assert!(!begun(), "the upgrade before it was completed");
    fails(&desk.load_with(1, 0, PATCH_WITH_COMMENT));
    assert!(!begun(), "another way to write the same");
    fails(&desk.load_with(1, 0, MINOR));
    assert!(begun());
    assert_eq!(stays(true), Some("you have stopped the run"));
    assert!(matches!(back(&stage, &patch, &FakeProcess::new()), Err(OperationError::Incomplete { .. })));
    assert!(!begun(), "that is the way back itself");
}

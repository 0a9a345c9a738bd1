//! Past generations and runs, from a state folder on a disk in memory.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::base::{Digest, RunId, StepId};
use crate::event::Event;
use crate::journal::{
    Disk as _, FakeDisk, Holder, Origin, PinnedFile, PinnedImage, Pins, RunHistory, RunRecord, State, StateFolder,
    StoredKey,
};
use crate::ops::OperationError;
use crate::state::{ImageReference, ImageStore};

const FOLDER: &str = "/cluster.state";

fn folder(disk: &FakeDisk, run: &str) -> StateFolder {
    let holder = Holder { run: RunId(run.into()), process: 1 };
    let mut folder = StateFolder::open(Arc::new(disk.clone()), Path::new(FOLDER), holder).unwrap();
    folder.store_material([("ca".to_owned(), StoredKey::default())].into()).unwrap();
    folder
}

fn pins(version: &str) -> Pins {
    let origin = || Origin::Bundle("lab".into());
    let reference = ImageReference(format!("registry.k8s.io:5000/kube-apiserver:{version}"));
    let (store, id) = (ImageStore::Docker, Digest::of(version));
    let image = PinnedImage { store, reference, id: id.clone(), manifest: None, origin: origin() };
    let kubelet = PinnedFile { name: "kubelet".into(), version: version.into(), digest: id, size: 1, origin: origin() };
    Pins { images: vec![image], files: vec![kubelet], addons: Vec::new() }
}

/// A run that begins a generation, does a step and ends as told: `None` is killed.
fn run_to(disk: &FakeDisk, run: &str, (config, version): (&str, &str), end: Option<Option<&str>>) {
    let mut folder = folder(disk, run);
    let number = folder.begin_generation(config, pins(version)).unwrap();
    let log = folder.begin_run().unwrap();
    let step = StepId("h1/container/etcd".into());
    let (title, host) = ("start container etcd".to_owned(), crate::base::NodeName::new("h1").ok());
    let started = Event::StepStarted { step: step.clone(), host, title };
    log.append(&[RunRecord::Shown { event: started }, RunRecord::Intent { step: step.clone() }]).unwrap();
    let Some(error) = end else { return };
    let error = error.map(ToOwned::to_owned);
    if error.is_none() {
        folder.complete_generation(number).unwrap();
    }
    log.append(&[RunRecord::Outcome { step, error: error.clone() }, RunRecord::Ended { error }]).unwrap();
}

const FIRST: &str = "kubernetes_version: v1.24.17\nprivate_registries:\n- url: a\n  password: hunter2\n";
const SECOND: &str = "kubernetes_version: v1.25.4\nprivate_registries:\n- url: a\n  password: hunter3\n";

/// Complete, failed, killed.
fn three_runs() -> FakeDisk {
    let disk = FakeDisk::new();
    run_to(&disk, "20261124T120300Z-aaaaaa", (FIRST, "v1.24.17"), Some(None));
    run_to(&disk, "20261124T130000Z-bbbbbb", (SECOND, "v1.25.4"), Some(Some("1 of the steps failed:\n  h1")));
    run_to(&disk, "20261124T140000Z-cccccc", (SECOND, "v1.25.4"), None);
    disk
}

#[test]
fn each_generation_and_run_has_its_state() {
    let history = history(&three_runs(), Path::new(FOLDER)).unwrap();
    let states: Vec<_> = history.generations.iter().map(|line| line.state).collect();
    assert_eq!(states, [GenerationState::Current, GenerationState::Unfinished]);
    let outcomes: Vec<_> = history.runs.iter().map(|line| (line.outcome, line.done, line.failed, line.open)).collect();
    let expected = [(RunOutcome::Done, 1, 0, 0), (RunOutcome::Failed, 0, 1, 0), (RunOutcome::NotEnded, 0, 0, 1)];
    assert_eq!(outcomes, expected);
    assert_eq!(history.generations[1].kubernetes.as_deref(), Some("v1.25.4"));
    assert_eq!(history.generations[0].completed, history.runs[0].ended);
    let text = history.to_string();
    assert!(text.contains("0001        v1.24.17    current     -       2026-11-24 12:03:00Z"), "{text}");
    assert!(text.contains("failed, 0 steps done: 1 of the steps failed:\n"), "{text}");
    assert!(text.contains("no end recorded (killed, or still at work), 0 steps done, 1 open"), "{text}");
    let json: Value = serde_json::to_value(&history).unwrap();
    assert_eq!(json["runs"][1]["outcome"], "failed");
    assert_eq!((&json["runs"][1]["parent"], &json["runs"][1]["generation"]), (&Value::from(1), &Value::from(2)));
}

#[test]
fn a_generation_that_was_given_up_is_told_from_one_that_was_replaced() {
    let disk = three_runs();
    run_to(&disk, "20261124T150000Z-dddddd", (FIRST, "v1.26.0"), Some(None));
    let history = history(&disk, Path::new(FOLDER)).unwrap();
    let states: Vec<_> = history.generations.iter().map(|line| line.state).collect();
    assert_eq!(states, [GenerationState::Replaced, GenerationState::Abandoned, GenerationState::Current]);
}

#[test]
fn an_empty_folder_and_a_damaged_log_are_told() {
    let empty = history(&FakeDisk::new(), Path::new(FOLDER)).unwrap();
    assert_eq!(empty.to_string(), "The state folder holds no generation and no run yet.\n");
    let disk = three_runs();
    disk.append(&Path::new(FOLDER).join("runs/20261124T130000Z-bbbbbb.jsonl"), b"rubbish\n").unwrap();
    let history = history(&disk, Path::new(FOLDER)).unwrap();
    assert_eq!((history.runs.len(), history.runs[1].outcome), (3, RunOutcome::Unreadable));
    assert!(history.to_string().contains("unreadable: /cluster.state/runs/20261124T130000Z-bbbbbb.jsonl is damaged"));
}

fn log_of(disk: &FakeDisk, name: &str) -> Result<RunHistory, OperationError> {
    run(RunHistory::list(disk, Path::new(FOLDER)).unwrap(), name).map(|(_, history)| history)
}

#[test]
fn a_run_is_found_by_the_beginning_of_its_name_and_others_are_named() {
    let disk = three_runs();
    assert_eq!(log_of(&disk, "20261124T13").unwrap().header.run.0, "20261124T130000Z-bbbbbb");
    let refused = |name: &str| log_of(&disk, name).unwrap_err().to_string();
    assert!(refused("20261124").starts_with("3 runs begin with \"20261124\": 20261124T120300Z-aaaaaa, "));
    let text = refused("20261124T120300Z-aaaaab");
    assert!(
        text.starts_with("there is no run \"20261124T120300Z-aaaaab\"; nearest: 20261124T120300Z-aaaaaa, "),
        "{text}"
    );
    let none = run(Vec::new(), "x").unwrap_err().to_string();
    assert_eq!(none, "there is no run \"x\"; the state folder has no run yet");
}

#[test]
fn a_replay_shows_events_with_their_times_and_what_has_no_end() {
    let disk = three_runs();
    let text = |name: &str| {
        let (history, mut out) = (log_of(&disk, name).unwrap(), Vec::new());
        replay_plain(&history, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), history.records[0].time.unwrap().strftime("%H:%M:%SZ").to_string())
    };
    let (killed, time) = text("20261124T14");
    let first = "run 20261124T140000Z-cccccc of provision";
    let rest = format!(
        "from generation 0001 to 0002\n{time} h1       start container etcd\nh1/container/etcd: was begun; its end is not \
         recorded\nthe end of the run is not recorded\n"
    );
    assert!(killed.starts_with(first) && killed.ends_with(&rest), "{killed}");
    assert!(text("20261124T13").0.ends_with("the run ended: 1 of the steps failed:\n  h1\n"));
}

#[test]
fn a_log_without_events_and_times_is_replayed_by_its_steps() {
    let disk = three_runs();
    let old = "{\"format\":1,\"run\":\"r0\",\"tool\":\"0.1.0\",\"parent\":null}\n\
               {\"record\":\"intent\",\"step\":\"a\"}\n{\"record\":\"outcome\",\"step\":\"a\",\"error\":\"no\\u001b[2J\"}\n";
    disk.write_new(&Path::new(FOLDER).join("runs/r0.jsonl"), old.as_bytes()).unwrap();
    let (history, mut out) = (log_of(&disk, "r0").unwrap(), Vec::new());
    replay_plain(&history, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = "run r0 of provision 0.1.0, from generation none to none\na: begun\na: failed: no\u{fffd}[2J\n\
                    the end of the run is not recorded\n";
    assert_eq!(text, expected);
    let mut out = Vec::new();
    replay_json(&history, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), old, "JSON is what is stored");
}

#[test]
fn a_difference_shows_lines_and_pins_and_hides_passwords() {
    let state = State::peek(&three_runs(), Path::new(FOLDER)).unwrap();
    let (one, two) = (generation(&state, 1).unwrap(), generation(&state, 2).unwrap());
    let text = difference(one, two).to_string();
    let (old, new) = (Digest::of("v1.24.17"), Digest::of("v1.25.4"));
    let expected = format!(
        "--- generation 0001/cluster.yml\n+++ generation 0002/cluster.yml\n@@ -1,4 +1,4 @@\n\
         -kubernetes_version: v1.24.17\n+kubernetes_version: v1.25.4\n private_registries:\n - url: a\n\
         -  password: [hidden]\n+  password: [hidden]\n\npinned otherwise:\n\
         \u{20}\u{20}docker image registry.k8s.io:5000/kube-apiserver\n    - v1.24.17 {old}\n    + v1.25.4 {new}\n\
         \u{20}\u{20}file kubelet\n    - v1.24.17 {old}\n    + v1.25.4 {new}\n"
    );
    assert_eq!(text, expected);
    assert_eq!(difference(one, one).to_string(), "Generations 0001 and 0001 are equal.\n");
}

#[test]
fn a_generation_that_does_not_exist_is_refused_with_the_nearest_ones() {
    let state = State::peek(&three_runs(), Path::new(FOLDER)).unwrap();
    let text = generation(&state, 7).unwrap_err().to_string();
    assert_eq!(text, "there is no generation 0007; nearest: 0001, 0002 (`provision history` lists all)");
    let none = generation(&State::default(), 1).unwrap_err().to_string();
    assert_eq!(none, "there is no generation 0001; the state folder has no generation yet");
}

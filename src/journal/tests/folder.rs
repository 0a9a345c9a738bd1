//! The state folder while nothing crashes, and when it is not what it should be.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{holder, key, open, path, pins};
use crate::base::{NodeName, RunId};
use crate::journal::{
    Disk, EtcdRecord, FakeDisk, GenerationNumber, Holder, JournalError, RealDisk, State, StateFolder, git_work_tree,
    state_path,
};

/// A state with one completed generation.
fn completed() -> (FakeDisk, State) {
    let disk = FakeDisk::new();
    let mut folder = open(&disk).unwrap();
    folder.store_material(key("authority/cluster", "authority")).unwrap();
    let number = folder.begin_generation("nodes: []\n", pins("one")).unwrap();
    folder.complete_generation(number).unwrap();
    let state = folder.state().clone();
    (disk, state)
}

fn overwrite(disk: &FakeDisk, file: &str, text: &str) {
    let file = path().join(file);
    disk.remove(&file).unwrap();
    disk.write_new(&file, text.as_bytes()).unwrap();
}

fn refusal(disk: &FakeDisk) -> JournalError {
    let error = open(disk).unwrap_err();
    assert_eq!(State::peek(disk, &path()).unwrap_err().to_string(), error.to_string());
    error
}

#[test]
fn what_was_stored_is_read_back() {
    let (disk, state) = completed();
    assert_eq!(State::peek(&disk, &path()).unwrap(), state);
    assert_eq!(state.material(), &key("authority/cluster", "authority"));
    let current = state.current().unwrap();
    assert_eq!((current.config.as_str(), &current.lock.pins), ("nodes: []\n", &pins("one")));
    assert_eq!((current.lock.parent, state.aimed()), (None, None));
}

#[test]
fn a_missing_folder_is_a_new_state_and_looking_makes_none() {
    let disk = FakeDisk::new();
    assert!(State::peek(&disk, &path()).unwrap().is_new());
    assert!(disk.list(Path::new("/")).unwrap().is_empty());
}

#[test]
fn later_material_wins_and_same_material_writes_nothing() {
    let (disk, _) = completed();
    let mut folder = open(&disk).unwrap();
    let calls = disk.calls();
    folder.store_material(key("authority/cluster", "authority")).unwrap();
    assert_eq!(disk.calls(), calls);
    folder.store_material(key("authority/cluster", "renewed")).unwrap();
    drop(folder);
    assert_eq!(State::peek(&disk, &path()).unwrap().material(), &key("authority/cluster", "renewed"));
    assert_eq!(disk.list(&path().join("keys")).unwrap(), ["0001.json", "0002.json"]);
}

#[test]
fn an_interrupted_generation_is_gone_on_with_only_for_the_same_input() {
    let (disk, _) = completed();
    let mut folder = open(&disk).unwrap();
    let number = folder.begin_generation("nodes: [a]\n", pins("one")).unwrap();
    assert_eq!(number, GenerationNumber(2));
    assert_eq!(folder.begin_generation("nodes: [a]\n", pins("one")).unwrap(), number);
    let other = folder.begin_generation("nodes: [b]\n", pins("one")).unwrap();
    assert_eq!(other, GenerationNumber(3));
    assert!(matches!(folder.complete_generation(number), Err(JournalError::NotAimed { .. })));
    folder.complete_generation(other).unwrap();
    assert_eq!(folder.state().current().unwrap().lock.parent, Some(GenerationNumber(1)));
}

#[test]
fn what_mends_the_current_generation_begins_none() {
    let (disk, _) = completed();
    let mut folder = open(&disk).unwrap();
    let calls = disk.calls();
    let number = folder.begin_generation("nodes: []\n", pins("one")).unwrap();
    assert_eq!(number, GenerationNumber(1));
    folder.complete_generation(number).unwrap();
    assert_eq!(disk.calls(), calls, "nothing was written");
    // What is aimed at is something else: that the file is as before is a step of its own.
    folder.begin_generation("nodes: [a]\n", pins("one")).unwrap();
    assert!(matches!(folder.complete_generation(number), Err(JournalError::NotAimed { .. })));
    assert_eq!(folder.begin_generation("nodes: []\n", pins("one")).unwrap(), GenerationNumber(3));
}

#[test]
fn a_return_is_marked_as_such_and_a_mark_of_older_tools_is_not_missed() {
    let (disk, _) = completed();
    let mut folder = open(&disk).unwrap();
    let forward = folder.begin_generation("nodes: [a]\n", pins("one")).unwrap();
    let back = folder.begin_return(GenerationNumber(1), "nodes: [a]\n", pins("one")).unwrap();
    assert_ne!(forward, back, "the same on the way back is another aim");
    assert_eq!(folder.begin_return(GenerationNumber(1), "nodes: [a]\n", pins("one")).unwrap(), back);
    drop(folder);
    let state = State::peek(&disk, &path()).unwrap();
    assert_eq!(state.aimed().unwrap().lock.back_to, Some(GenerationNumber(1)));
    let text = disk.read(&path().join("generations/0001/lock.json")).unwrap();
    assert!(!String::from_utf8(text).unwrap().contains("back_to"), "as older tools write it");
    assert_eq!((state.was_completed(GenerationNumber(1)), state.was_completed(forward)), (true, false));
}

#[test]
fn pins_met_during_a_run_replace_those_of_its_generation_only() {
    let (disk, _) = completed();
    let mut folder = open(&disk).unwrap();
    let number = folder.begin_generation("nodes: [a]\n", pins("one")).unwrap();
    assert!(matches!(folder.record_pins(GenerationNumber(1), pins("two")), Err(JournalError::NotAimed { .. })));
    folder.record_pins(number, pins("two")).unwrap();
    drop(folder);
    let state = State::peek(&disk, &path()).unwrap();
    assert_eq!(state.aimed().unwrap().lock.pins, pins("two"));
    assert_eq!(state.current().unwrap().lock.pins, pins("one"));
}

#[test]
fn etcd_is_known_to_be_whole_once_every_first_member_was_seen() {
    let names = |names: &[&str]| names.iter().map(|name| NodeName::new(*name).unwrap()).collect::<BTreeSet<_>>();
    let disk = FakeDisk::new();
    let mut folder = open(&disk).unwrap();
    let mut record = EtcdRecord::new("token", names(&["h1", "h2"]));
    record.seen_complete = names(&["h1"]);
    folder.store_etcd(record.clone()).unwrap();
    assert_eq!(State::peek(&disk, &path()).unwrap().etcd(), Some(&record));
    assert!(!record.first_start_complete());
    record.seen_complete = names(&["h1", "h2"]);
    assert!(record.first_start_complete());
}

#[test]
fn a_second_run_is_told_who_is_at_work() {
    let disk = FakeDisk::new();
    let first = open(&disk).unwrap();
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("run 20261124T120300Z-7f3a (process 4711)"), "{error}");
    drop(first);
    open(&disk).unwrap();
}

#[test]
fn one_process_hands_the_folder_from_run_to_run_without_letting_go_of_it() {
    let disk = FakeDisk::new();
    let mut folder = open(&disk).unwrap();
    folder.begin_run().unwrap();
    folder.next_run(Holder { run: RunId("20261124T120400Z-9c1d".into()), process: 4711 }).unwrap();
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("run 20261124T120400Z-9c1d (process 4711)"), "{error}");
    folder.begin_run().unwrap();
    let names = disk.list(&path().join("runs")).unwrap();
    assert_eq!(names, ["20261124T120300Z-7f3a.jsonl", "20261124T120400Z-9c1d.jsonl"]);
    assert_eq!(folder.run().0, "20261124T120400Z-9c1d");
}

#[test]
fn a_state_that_does_not_parse_stops_with_the_file_named() {
    for (file, text) in [
        ("keys/0001.json", "{"),
        ("keys/0001.json", r#"{"format":1,"run":"r","entries":{"a":{"key":"not base64!"}}}"#),
        ("generations/0001/lock.json", r#"{"format":1}"#),
        ("current", "0001"),
        ("current", "1\n"),
        ("current", "0007\n"),
    ] {
        let (disk, _) = completed();
        overwrite(&disk, file, text);
        let error = refusal(&disk);
        assert!(matches!(error, JournalError::Damaged { .. }), "{file}: {error}");
        let named = if text == "0007\n" { "generations" } else { file };
        assert!(error.to_string().contains(named), "{error}");
        assert!(!error.to_string().contains("not base64!"), "{error}");
    }
}

#[test]
fn lost_files_are_damage_and_never_a_new_state() {
    for lost in ["keys/0001.json", "generations/0001/lock.json", "generations/0001/cluster.yml"] {
        let (disk, _) = completed();
        disk.remove(&path().join(lost)).unwrap();
        refusal(&disk);
    }
    let (disk, _) = completed();
    open(&disk).unwrap().store_material(key("b", "b")).unwrap();
    disk.remove(&path().join("keys/0001.json")).unwrap();
    assert!(refusal(&disk).to_string().contains("0001.json"));
}

#[test]
fn a_newer_format_is_refused_as_such() {
    for file in ["keys/0001.json", "generations/0001/lock.json"] {
        let (disk, _) = completed();
        overwrite(&disk, file, r#"{"format":2,"sealed":true}"#);
        let error = refusal(&disk);
        assert!(matches!(error, JournalError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    }
}

#[test]
fn on_a_real_disk_everything_is_private() {
    let root = TempDir::new().unwrap();
    let path = state_path(&root.path().join("site.cluster.yml"));
    assert_eq!(path, root.path().join("site.cluster.state"));
    let mut folder = StateFolder::open(Arc::new(RealDisk), &path, holder()).unwrap();
    folder.store_material(key("authority/cluster", "authority")).unwrap();
    let number = folder.begin_generation("nodes: []\n", pins("one")).unwrap();
    folder.complete_generation(number).unwrap();
    folder.begin_run().unwrap();
    let mut pending = vec![path.clone()];
    let mut seen = 0;
    while let Some(entry) = pending.pop() {
        let metadata = fs::symlink_metadata(&entry).unwrap();
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, wanted, "{}", entry.display());
        seen += 1;
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&entry).unwrap().map(|inner| inner.unwrap().path()));
        }
    }
    assert_eq!(seen, 11);
    let key_file = fs::read_to_string(path.join("keys/0001.json")).unwrap();
    assert!(key_file.contains("\"key\": \"/wBhdXRob3JpdHk=\""), "{key_file}");
}

#[test]
fn a_git_work_tree_is_found_around_the_folder() {
    let disk = FakeDisk::new();
    for folder in ["/work", "/work/site", "/other"] {
        disk.create_directory(Path::new(folder)).unwrap();
    }
    disk.create_directory(Path::new("/work/.git")).unwrap();
    assert_eq!(git_work_tree(&disk, Path::new("/work/site/cluster.state")), Some("/work".into()));
    assert_eq!(git_work_tree(&disk, Path::new("/other/cluster.state")), None);
}

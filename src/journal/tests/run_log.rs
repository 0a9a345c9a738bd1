//! The history of a run.

use super::{open, path};
use crate::base::StepId;
use crate::event::Event;
use crate::journal::{Death, Disk, FakeDisk, JournalError, Loss, RunHistory, RunRecord};

fn intent(step: &str) -> RunRecord {
    RunRecord::Intent { step: StepId(step.into()) }
}

fn outcome(step: &str) -> RunRecord {
    RunRecord::Outcome { step: StepId(step.into()), error: None }
}

fn history(disk: &FakeDisk) -> Result<Option<RunHistory>, JournalError> {
    RunHistory::read(disk, &path().join("runs/20261124T120300Z-7f3a.jsonl"))
}

#[test]
fn a_run_is_read_back_as_it_was_written() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    let shown = RunRecord::Shown { event: Event::Notice { text: "one\ntwo".into() } };
    log.append(&[intent("a"), shown.clone()]).unwrap();
    log.append(&[outcome("a")]).unwrap();
    let history = history(&disk).unwrap().unwrap();
    assert_eq!(history.records, [intent("a"), shown, outcome("a")]);
    assert_eq!((history.header.format, history.header.parent), (1, None));
}

#[test]
fn intents_survive_whatever_comes_after_them() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    log.append(&[intent("a")]).unwrap();
    log.append(&[outcome("a")]).unwrap();
    let disk = disk.reboot(Loss::Unsynced);
    assert_eq!(history(&disk).unwrap().unwrap().records, [intent("a")]);
}

#[test]
fn a_torn_last_line_is_left_out() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    log.append(&[intent("a")]).unwrap();
    disk.die_at(disk.calls(), Death::Within);
    log.append(&[outcome("a")]).unwrap_err();
    let disk = disk.reboot(Loss::Nothing);
    let text = disk.read(&path().join("runs/20261124T120300Z-7f3a.jsonl")).unwrap();
    assert!(!text.ends_with(b"\n"), "the line is not torn");
    assert_eq!(history(&disk).unwrap().unwrap().records, [intent("a")]);
}

#[test]
fn damage_inside_a_log_is_not_passed_over() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    log.append(&[intent("a")]).unwrap();
    disk.append(&path().join("runs/20261124T120300Z-7f3a.jsonl"), b"rubbish\n").unwrap();
    assert!(matches!(history(&disk), Err(JournalError::Damaged { .. })));
}

//! The history of a run.

use super::{open, path};
use crate::base::StepId;
use crate::event::Event;
use crate::journal::{Death, Disk, FakeDisk, GenerationNumber, JournalError, Loss, RunHistory, RunRecord};

fn intent(step: &str) -> RunRecord {
    RunRecord::Intent { step: StepId(step.into()) }
}

fn outcome(step: &str) -> RunRecord {
    RunRecord::Outcome { step: StepId(step.into()), error: None }
}

/// The records without their times.
fn records(disk: &FakeDisk) -> Vec<RunRecord> {
    history(disk).unwrap().unwrap().records.into_iter().map(|timed| timed.record).collect()
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
    assert_eq!(records(&disk), [intent("a"), shown, outcome("a")]);
    let history = history(&disk).unwrap().unwrap();
    assert_eq!((history.header.format, history.header.parent), (1, None));
    assert!(history.header.time.is_some() && history.records.iter().all(|timed| timed.time >= history.header.time));
}

#[test]
fn a_log_that_was_written_before_records_had_times_is_read() {
    let disk = FakeDisk::new();
    open(&disk).unwrap().begin_run().unwrap();
    let old = "{\"format\":1,\"run\":\"r0\",\"tool\":\"0.1.0\",\"parent\":2}\n\
               {\"record\":\"intent\",\"step\":\"a\"}\n{\"record\":\"outcome\",\"step\":\"a\",\"error\":null}\n";
    disk.write_new(&path().join("runs/r0.jsonl"), old.as_bytes()).unwrap();
    let runs = RunHistory::list(&disk, &path()).unwrap();
    assert_eq!(runs.iter().map(|(run, _)| run.0.as_str()).collect::<Vec<_>>(), ["20261124T120300Z-7f3a", "r0"]);
    let history = runs[1].1.as_ref().unwrap();
    assert_eq!((history.header.parent, history.header.time), (Some(GenerationNumber(2)), None));
    assert!(history.records.iter().all(|timed| timed.time.is_none()) && history.records.len() == 2);
}

#[test]
fn what_an_intent_says_as_well_costs_no_call_of_its_own() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    let done = RunRecord::Shown { event: Event::StepDone { step: StepId("a".into()), milliseconds: 1 } };
    let calls = disk.calls();
    log.append(std::slice::from_ref(&done)).unwrap();
    assert_eq!(disk.calls(), calls);
    log.append(&[intent("b")]).unwrap();
    assert_eq!(records(&disk), [done, intent("b")], "in the order in which they came");
}

#[test]
fn the_end_of_a_run_survives_a_power_cut() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    let end = RunRecord::Ended { error: Some("2 of the steps failed".into()) };
    log.append(&[outcome("a"), end.clone()]).unwrap();
    assert_eq!(records(&disk.reboot(Loss::Unsynced)), [outcome("a"), end]);
}

#[test]
fn intents_survive_whatever_comes_after_them() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    log.append(&[intent("a")]).unwrap();
    log.append(&[outcome("a")]).unwrap();
    let disk = disk.reboot(Loss::Unsynced);
    assert_eq!(records(&disk), [intent("a")]);
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
    assert_eq!(records(&disk), [intent("a")]);
}

#[test]
fn damage_inside_a_log_is_not_passed_over() {
    let disk = FakeDisk::new();
    let log = open(&disk).unwrap().begin_run().unwrap();
    log.append(&[intent("a")]).unwrap();
    disk.append(&path().join("runs/20261124T120300Z-7f3a.jsonl"), b"rubbish\n").unwrap();
    assert!(matches!(history(&disk), Err(JournalError::Damaged { .. })));
}

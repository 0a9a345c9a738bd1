//! The crash matrix of the state folder: die at every disk call of a life of it, in every way, and read what is left.

use std::path::Path;

use super::{key, open, path, pins};
use crate::journal::{Death, Disk, EtcdRecord, FakeDisk, GenerationNumber, JournalError, Loss, State, StateFolder};

type Operation = fn(&mut StateFolder) -> Result<(), JournalError>;

/// Two generations, with everything that a run stores between them. Each may be repeated.
const LIFE: [Operation; 8] = [
    |folder| folder.store_etcd(EtcdRecord::new("token", std::collections::BTreeSet::new())),
    |folder| folder.store_material(key("authority/cluster", "authority")),
    |folder| folder.begin_generation("first\n", pins("one")).map(|_| ()),
    |folder| folder.record_pins(GenerationNumber(1), pins("two")),
    |folder| folder.complete_generation(GenerationNumber(1)),
    |folder| folder.store_material(key("node/h1/kubelet-client", "renewed")),
    |folder| folder.begin_generation("second\n", pins("two")).map(|_| ()),
    |folder| folder.complete_generation(GenerationNumber(2)),
];

/// The states of an undisturbed life, the empty one first, and the number of its disk calls.
fn undisturbed() -> (Vec<State>, usize) {
    let disk = FakeDisk::new();
    let mut folder = open(&disk).unwrap();
    let mut states = vec![folder.state().clone()];
    for operation in LIFE {
        operation(&mut folder).unwrap();
        states.push(folder.state().clone());
    }
    (states, disk.calls())
}

/// How many operations a life returned from before it died.
fn live(disk: &FakeDisk) -> usize {
    let Ok(mut folder) = open(disk) else { return 0 };
    LIFE.iter().take_while(|operation| operation(&mut folder).is_ok()).count()
}

#[test]
fn every_crash_leaves_the_state_before_or_after_the_call() {
    let (states, calls) = undisturbed();
    for call in 0..calls {
        for death in [Death::Before, Death::Within] {
            for loss in [Loss::Nothing, Loss::Unsynced, Loss::UnsyncedBytes] {
                check(&states, call, death, loss);
            }
        }
    }
    println!("died in 6 ways at each of {calls} disk calls");
    assert!(calls > 8 * LIFE.len(), "{calls} calls cannot be all of them");
}

fn check(states: &[State], call: usize, death: Death, loss: Loss) {
    let disk = FakeDisk::new();
    disk.die_at(call, death);
    let returned = live(&disk);
    assert!(returned < LIFE.len(), "call {call} was never made");
    let disk = disk.reboot(loss);
    let found = State::peek(&disk, &path()).unwrap_or_else(|error| panic!("{call} {death:?} {loss:?}: {error}"));
    let after = states[returned..].iter().take(2).position(|state| *state == found);
    let after =
        after.unwrap_or_else(|| panic!("{call} {death:?} {loss:?}: neither {returned} nor the next: {found:?}"));
    let mut folder = open(&disk).unwrap();
    assert_eq!(*folder.state(), found);
    for operation in &LIFE[returned + after..] {
        operation(&mut folder).unwrap();
    }
    assert_eq!(folder.state(), &states[LIFE.len()], "{call} {death:?} {loss:?}");
    drop(folder);
    assert_eq!(State::peek(&disk.reboot(Loss::Unsynced), &path()).unwrap(), states[LIFE.len()]);
}

/// Shows that the matrix could fail: a writer that forgets one sync loses what it promised.
#[test]
fn a_writer_that_forgets_a_sync_is_caught() {
    let root = Path::new("/");
    let write = |sync_file: bool, sync_directory: bool, loss: Loss| {
        let disk = FakeDisk::new();
        disk.write_new(&root.join("file.new"), b"content").unwrap();
        if sync_file {
            disk.sync_file(&root.join("file.new")).unwrap();
        }
        disk.rename(&root.join("file.new"), &root.join("file")).unwrap();
        if sync_directory {
            disk.sync_directory(root).unwrap();
        }
        disk.reboot(loss).read(&root.join("file")).ok()
    };
    assert_eq!(write(true, true, Loss::Unsynced), Some(b"content".to_vec()));
    assert_eq!(write(true, true, Loss::UnsyncedBytes), Some(b"content".to_vec()));
    assert_eq!(write(false, true, Loss::Unsynced), Some(Vec::new()));
    assert_eq!(write(false, true, Loss::UnsyncedBytes), Some(b"con".to_vec()));
    assert_eq!(write(true, false, Loss::Unsynced), None);
    assert_eq!(write(false, false, Loss::Nothing), Some(b"content".to_vec()));
}

#[test]
fn a_dead_process_can_do_nothing_more() {
    let disk = FakeDisk::new();
    let mut folder = open(&disk).unwrap();
    disk.die_at(disk.calls(), Death::Before);
    folder.store_material(key("a", "a")).unwrap_err();
    folder.store_material(key("a", "a")).unwrap_err();
    let next = disk.reboot(Loss::Nothing);
    folder.store_material(key("a", "a")).unwrap_err();
    let _second = open(&next).unwrap();
    drop(folder);
    assert!(open(&next).is_err(), "the dead process took the lock of the living one with it");
}

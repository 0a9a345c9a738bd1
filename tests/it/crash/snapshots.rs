//! Snapshots of etcd: the tool dies at every call while it takes or restores one.

use std::path::Path;
use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use provision::base::{Digest, RunId};
use provision::engine::Cancellation;
use provision::host::{FakeProcess, Moment};
use provision::journal::{Death, FakeDisk, Holder, Loss, RestoreIntent, StateFolder};
use provision::ops::{
    self, Listed, Loaded, LossConsent, OperationError, Restored, SnapshotError, SnapshotInput, UpOutcome,
};
use provision::plan::Plan;
use provision::state::{ObservedEntry, ObservedSwap, SnapshotName, SnapshotRecord};

use super::disk::SharedFate;
use super::world::FakeReach;
use super::{Desk, NOW, Silent, Stage};

/// Where a fake's etcd keeps all that it holds.
const HELD: &str = "/var/lib/etcd/member/held";

struct Typed(bool);

impl LossConsent for Typed {
    fn ask<'a>(&'a self, _: &'a SnapshotRecord, _: &'a Plan) -> BoxFuture<'a, bool> {
        Box::pin(ready(self.0))
    }
}

fn name(text: &str) -> SnapshotName {
    SnapshotName::new(text).unwrap()
}

/// One process of the tool, which saves or restores.
pub struct Session<'a> {
    stage: &'a Stage<'a>,
    loaded: &'a Loaded,
    process: FakeProcess,
}

impl Session<'_> {
    fn folder(&self, run: &RunId) -> Result<StateFolder, OperationError> {
        let shared = SharedFate { disk: self.stage.disk.clone(), process: self.process.clone() };
        let holder = Holder::this_process(run.clone());
        Ok(StateFolder::open(Arc::new(shared), Path::new("/crash.state"), holder)?)
    }

    fn with<T>(
        &self,
        act: impl AsyncFnOnce(&mut StateFolder, &SnapshotInput<'_>) -> Result<T, OperationError>,
    ) -> Result<T, OperationError> {
        static RUN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = RUN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let run = RunId(format!("20260102T000000Z-{number:06}"));
        let mut folder = self.folder(&run)?;
        let state = folder.state().clone();
        let input = SnapshotInput {
            loaded: self.loaded,
            state: &state,
            reach: &FakeReach { world: self.stage.world.clone(), process: self.process.clone() },
            now: NOW,
            run,
            events: &Silent,
            cancellation: &Cancellation::default(),
            patience: self.stage.world.patience(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(act(&mut folder, &input))
    }

    fn save(&self, snapshot: &str) -> Result<Listed, OperationError> {
        self.with(async |folder, input| ops::save_snapshot(folder, input, name(snapshot)).await)
    }

    fn restore(&self, snapshot: &str, consent: bool) -> Result<Restored, OperationError> {
        self.with(async |folder, input| ops::restore_snapshot(folder, input, &name(snapshot), &Typed(consent)).await)
    }

    pub fn abort(&self) -> Result<RestoreIntent, OperationError> {
        self.with(async |folder, input| ops::abort_restore(folder, input).await)
    }

    fn verify(&self) -> Result<Vec<Listed>, OperationError> {
        self.with(async |_, input| ops::verify_snapshots(input, None).await)
    }

    fn list(&self) -> ops::Listing {
        self.with(async |_, input| ops::list_snapshots(input).await).unwrap()
    }
}

pub fn session<'a>(stage: &'a Stage<'a>, loaded: &'a Loaded) -> Session<'a> {
    Session { stage, loaded, process: FakeProcess::new() }
}

fn hold(stage: &Stage<'_>, what: &str) {
    stage.world.machines.lock().unwrap().values().for_each(|machine| machine.put(HELD, what.as_bytes()));
}

/// Digests of what the members hold.
fn held(stage: &Stage<'_>) -> Vec<Option<Digest>> {
    let machines = stage.world.machines.lock().unwrap();
    let digest = |entry: Option<&ObservedEntry>| match entry {
        Some(ObservedEntry::File { digest, .. }) => Some(digest.clone()),
        _ => None,
    };
    machines.values().map(|machine| digest(machine.state().entries.get(HELD))).collect()
}

/// Everything on the hosts, with runs, which differ in each try, by one name.
fn shape(stage: &Stage<'_>) -> Vec<String> {
    let lines = stage.world.shape().into_iter();
    let mut lines: Vec<String> = lines
        .map(|line| match line.split_once("20260102T000000Z-") {
            Some((before, rest)) => format!("{before}RUN{}", &rest[6..]),
            None => line,
        })
        .collect();
    lines.sort();
    lines
}

/// A cluster with a snapshot `first` of what it held before.
fn snapshotted<'a>(desk: &'a Desk, loaded: &Loaded) -> Stage<'a> {
    let stage = Stage::new(desk);
    stage.must(loaded, "the cluster");
    hold(&stage, "before");
    session(&stage, loaded).save("first").unwrap();
    hold(&stage, "after");
    stage
}

#[test]
fn nothing_is_restored_below_a_replacement_that_has_not_ended() {
    let desk = Desk::new();
    let loaded = desk.load(1, 0);
    let stage = snapshotted(&desk, &loaded);
    let untouched = held(&stage);
    for swap in [ObservedSwap::Interrupted, ObservedSwap::Running, ObservedSwap::Unfinished("disk full".into())] {
        for machine in stage.world.machines.lock().unwrap().values() {
            machine.by_hand(|state| drop(state.swaps.insert("etcd".into(), swap.clone())));
        }
        match session(&stage, &loaded).restore("first", true) {
            Err(OperationError::Snapshot(SnapshotError::Replacing(names))) => assert_eq!(names, ["etcd on h1"]),
            other => panic!("{swap:?}: {other:?}"),
        }
        assert_eq!(held(&stage), untouched);
    }
}

#[test]
fn a_snapshot_lies_on_all_etcd_hosts_and_brings_them_back() {
    let desk = Desk::new();
    let loaded = desk.load(3, 1);
    let stage = snapshotted(&desk, &loaded);
    let listed = session(&stage, &loaded).list();
    assert!(listed.is_whole(), "{listed}");
    assert_eq!(listed.snapshots[0].whole_on.len(), 3, "{listed}");
    assert!(matches!(session(&stage, &loaded).restore("first", false), Err(OperationError::Declined)));
    let untouched = held(&stage);
    assert!(untouched[..3].iter().all(|held| *held == Some(Digest::of("after"))), "{untouched:?}");
    session(&stage, &loaded).restore("first", true).unwrap();
    let back = held(&stage);
    assert!(back[..3].iter().all(|held| *held == Some(Digest::of("before"))), "{back:?}");
    assert_eq!(stage.must(&loaded, "after the restore"), UpOutcome::NothingToDo);
}

#[test]
fn one_whole_copy_is_enough_and_no_whole_copy_is_refused() {
    let desk = Desk::new();
    let loaded = desk.load(3, 0);
    let stage = snapshotted(&desk, &loaded);
    let path = name("first").database_path();
    let machines: Vec<_> = stage.world.machines.lock().unwrap().values().cloned().collect();
    machines[0].put(&path, b"flipped");
    machines[1].by_hand(|state| state.entries.retain(|path, _| !path.contains("first.")));
    let damaged = session(&stage, &loaded).verify().unwrap_err().to_string();
    assert!(damaged.contains("first on h1: ") && damaged.contains("first on h2: it is not there"), "{damaged}");
    session(&stage, &loaded).restore("first", true).unwrap();
    assert!(held(&stage).iter().all(|held| *held == Some(Digest::of("before"))));
    assert!(session(&stage, &loaded).list().is_whole());

    hold(&stage, "after");
    machines.iter().for_each(|machine| machine.put(&path, b"flipped"));
    match session(&stage, &loaded).restore("first", true) {
        Err(OperationError::Snapshot(SnapshotError::Unusable { reasons, .. })) => assert_eq!(reasons.len(), 3),
        other => panic!("{other:?}"),
    }
    assert!(held(&stage).iter().all(|held| *held == Some(Digest::of("after"))));
}

#[test]
fn an_interrupted_save_leaves_no_snapshot_that_is_not_one() {
    let desk = Desk::new();
    let loaded = desk.load(3, 0);
    let fresh = || {
        let stage = Stage::new(&desk);
        stage.must(&loaded, "the cluster");
        hold(&stage, "before");
        stage
    };
    let stage = fresh();
    let undisturbed = session(&stage, &loaded);
    undisturbed.save("first").unwrap();
    let calls = undisturbed.process.calls();
    for call in 0..calls {
        // Before a call is after the one before it.
        for moment in [Moment::Within, Moment::After] {
            let what = format!("call {call} of {calls}, {moment:?}");
            let stage = fresh();
            let dying = session(&stage, &loaded);
            dying.process.dies_at(call, moment);
            let saved = dying.save("first");
            let listing = session(&stage, &loaded).list();
            assert!(saved.is_err() || listing.is_whole(), "{what}: {listing}");
            // Whatever lies there says what it is: whole ones can be restored, others are named.
            for listed in listing.snapshots {
                for node in &listed.whole_on {
                    let record = listed.record.as_ref().unwrap();
                    assert!(record.etcd.size > 0, "{what}: {node}");
                }
            }
            session(&stage, &loaded).save("second").unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(stage.must(&loaded, &what), UpOutcome::NothingToDo, "{what}");
        }
    }
    assert!(calls > 15, "{calls} calls cannot be all of them");
}

/// Dies, is told to go on by everything else, completes, and leaves what an undisturbed one leaves.
fn goes_on(desk: &Desk, loaded: &Loaded, wanted: &[String], die: impl FnOnce(&FakeDisk, &FakeProcess), what: &str) {
    let mut stage = snapshotted(desk, loaded);
    stage.disk = stage.disk.reboot(Loss::Nothing);
    let dying = session(&stage, loaded);
    die(&stage.disk, &dying.process);
    let died = dying.restore("first", true);
    assert!(died.is_err(), "{what}: it ended well although it was to die");
    drop(dying);
    stage.disk = stage.disk.reboot(Loss::Unsynced);
    let begun = shape(&stage) != wanted;
    match stage.up(loaded, &FakeProcess::new()) {
        Err(OperationError::Snapshot(SnapshotError::Unfinished(_))) | Ok(UpOutcome::NothingToDo) => {}
        other => panic!("{what}: {other:?} (begun: {begun})"),
    }
    session(&stage, loaded).restore("first", true).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(held(&stage).iter().all(|held| *held == Some(Digest::of("before"))), "{what}");
    assert_eq!(stage.world.founded(), 1, "{what}: a member was started without data");
    let shape = shape(&stage);
    let difference = shape.iter().zip(wanted).find(|(is, wanted)| is != wanted);
    assert!(shape.len() == wanted.len() && difference.is_none(), "{what}: {difference:?}");
    assert_eq!(stage.must(loaded, what), UpOutcome::NothingToDo, "{what}");
}

#[test]
fn a_restore_survives_a_death_at_every_host_call() {
    let desk = Desk::new();
    let loaded = desk.load(3, 0);
    let stage = snapshotted(&desk, &loaded);
    let undisturbed = session(&stage, &loaded);
    undisturbed.restore("first", true).unwrap();
    let (calls, wanted) = (undisturbed.process.calls(), shape(&stage));
    for call in 0..calls {
        // Before a call is after the one before it.
        for moment in [Moment::Within, Moment::After] {
            let what = format!("host call {call} of {calls}, {moment:?}");
            goes_on(&desk, &loaded, &wanted, |_, process| process.dies_at(call, moment), &what);
        }
    }
    assert!(calls > 30, "{calls} calls cannot be all of them");
}

#[test]
fn a_restore_survives_a_death_at_every_disk_call_but_its_last() {
    let desk = Desk::new();
    let loaded = desk.load(1, 0);
    let mut stage = snapshotted(&desk, &loaded);
    stage.disk = stage.disk.reboot(Loss::Nothing);
    session(&stage, &loaded).restore("first", true).unwrap();
    let (calls, wanted) = (stage.disk.calls(), shape(&stage));
    // At the last one it is over, and the same command is another restore.
    for call in 0..calls - 1 {
        let what = format!("disk call {call} of {calls}");
        goes_on(&desk, &loaded, &wanted, |disk, _| disk.die_at(call, Death::Within), &what);
    }
    assert!(calls > 30, "{calls} calls cannot be all of them");
}

/// Everything runs as before, and nothing of a restore is left.
#[track_caller]
fn is_as_before(stage: &Stage<'_>, loaded: &Loaded, what: &str) {
    assert!(held(stage).iter().all(|held| *held == Some(Digest::of("after"))), "{what}: {:?}", held(stage));
    for machine in stage.world.machines.lock().unwrap().values() {
        let state = machine.state();
        assert!(state.containers.values().all(|seen| seen.running && seen.irregularities.is_empty()), "{what}");
        assert!(!state.entries.keys().any(|path| path.contains("/restored-")), "{what}");
    }
    assert_eq!(stage.must(loaded, what), UpOutcome::NothingToDo, "{what}");
}

#[test]
fn a_restore_whose_data_cannot_be_made_stops_nothing() {
    let desk = Desk::new();
    let loaded = desk.load(3, 0);
    let stage = snapshotted(&desk, &loaded);
    let failing = stage.world.machines.lock().unwrap().values().nth(1).unwrap().clone();
    failing.let_fail(&failing.state().containers["etcd"].spec.image.reference.0);
    match session(&stage, &loaded).restore("first", true) {
        Err(OperationError::Snapshot(SnapshotError::NotBegun { reasons, .. })) => {
            assert!(reasons[0].contains("h2/etcd/prepare: ") && reasons[0].contains("unknown flag"), "{reasons:?}");
        }
        other => panic!("{other:?}"),
    }
    is_as_before(&stage, &loaded, "the failed restore");
    assert!(matches!(session(&stage, &loaded).abort(), Err(OperationError::Snapshot(SnapshotError::NotUnderWay))));
}

/// A restore that died at a host call.
fn died_at<'a>(desk: &'a Desk, loaded: &Loaded, call: usize, moment: Moment) -> Stage<'a> {
    let mut stage = snapshotted(desk, loaded);
    let dying = session(&stage, loaded);
    dying.process.dies_at(call, moment);
    assert!(dying.restore("first", true).is_err());
    drop(dying);
    stage.disk = stage.disk.reboot(Loss::Unsynced);
    stage
}

#[test]
fn a_restore_that_died_is_given_up_until_it_moves_data_and_gone_on_with_from_then_on() {
    let desk = Desk::new();
    let loaded = desk.load(3, 0);
    let stage = snapshotted(&desk, &loaded);
    let undisturbed = session(&stage, &loaded);
    undisturbed.restore("first", true).unwrap();
    let calls = undisturbed.process.calls();
    let (mut given_up, mut too_late) = (0, 0);
    for call in 0..calls {
        for moment in [Moment::Within, Moment::After] {
            let what = format!("host call {call} of {calls}, {moment:?}");
            let stage = died_at(&desk, &loaded, call, moment);
            match session(&stage, &loaded).abort() {
                Ok(_) => {
                    given_up += 1;
                    is_as_before(&stage, &loaded, &what);
                }
                Err(OperationError::Snapshot(SnapshotError::TooLate { .. })) => {
                    too_late += 1;
                    session(&stage, &loaded).restore("first", true).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert!(held(&stage).iter().all(|held| *held == Some(Digest::of("before"))), "{what}");
                }
                Err(OperationError::Snapshot(SnapshotError::NotUnderWay)) => {
                    assert!(held(&stage).iter().all(|held| *held == Some(Digest::of("after"))), "{what}");
                    assert_eq!(stage.must(&loaded, &what), UpOutcome::NothingToDo, "{what}");
                }
                Err(other) => panic!("{what}: {other}"),
            }
        }
    }
    assert!(given_up > 10 && too_late > 10, "{given_up} given up, {too_late} too late");
}

#[test]
fn giving_a_restore_up_survives_a_death_at_every_host_call() {
    let desk = Desk::new();
    let loaded = desk.load(3, 0);
    // The last call at which it can be given up: all members are stopped then.
    let last = (0..).find(|call| {
        let stage = died_at(&desk, &loaded, *call, Moment::After);
        matches!(session(&stage, &loaded).abort(), Err(OperationError::Snapshot(SnapshotError::TooLate { .. })))
    });
    let last = last.unwrap() - 1;
    let stage = died_at(&desk, &loaded, last, Moment::After);
    assert!(stage.world.machines.lock().unwrap().values().all(|machine| !machine.state().containers["etcd"].running));
    let undisturbed = session(&stage, &loaded);
    undisturbed.abort().unwrap();
    let calls = undisturbed.process.calls();
    for call in 0..calls {
        for moment in [Moment::Within, Moment::After] {
            let what = format!("host call {call} of {calls}, {moment:?}");
            let mut stage = died_at(&desk, &loaded, last, Moment::After);
            let dying = session(&stage, &loaded);
            dying.process.dies_at(call, moment);
            assert!(dying.abort().is_err(), "{what}");
            drop(dying);
            stage.disk = stage.disk.reboot(Loss::Unsynced);
            session(&stage, &loaded).abort().unwrap_or_else(|error| panic!("{what}: {error}"));
            is_as_before(&stage, &loaded, &what);
        }
    }
    assert!(calls > 10, "{calls} calls cannot be all of them");
}

#[test]
fn once_a_member_has_its_data_no_other_snapshot_is_restored() {
    let desk = Desk::new();
    let loaded = desk.load(3, 0);
    let (mut others, mut call) = (0, 0);
    loop {
        let mut stage = snapshotted(&desk, &loaded);
        session(&stage, &loaded).save("second").unwrap();
        let dying = session(&stage, &loaded);
        dying.process.dies_at(call, Moment::After);
        assert!(dying.restore("first", true).is_err());
        drop(dying);
        stage.disk = stage.disk.reboot(Loss::Unsynced);
        match session(&stage, &loaded).restore("second", true) {
            Ok(_) => assert!(held(&stage).iter().all(|held| *held == Some(Digest::of("after"))), "call {call}"),
            Err(OperationError::Snapshot(SnapshotError::TooLate { intent, hosts })) => {
                assert_eq!((intent.snapshot, hosts.len()), (name("first"), 1));
                session(&stage, &loaded).restore("first", true).unwrap();
                assert!(held(&stage).iter().all(|held| *held == Some(Digest::of("before"))));
                break;
            }
            Err(other) => panic!("call {call}: {other}"),
        }
        (others, call) = (others + 1, call + 1);
    }
    assert!(others > 10, "only {others} calls before a member got its data");
}

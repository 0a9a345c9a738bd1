//! The crash matrix: the tool dies at every call that it makes to a host, to the API or to its own disk, and the next
//! `up` completes what it has left.

mod addons;
mod bundle;
mod disk;
mod drain;
mod engines;
mod generations;
mod options;
mod proof;
mod refused;
mod renewal;
mod snapshots;
mod upgrade;
mod way_back;
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, ready};
use provision::base::RunId;
use provision::bundle::Bundles;
use provision::engine::Cancellation;
use provision::event::{Event, EventSink};
use provision::host::{Change, FakeProcess, Moment};
use provision::journal::{Death, FakeDisk, Holder, Loss, StateFolder};
use provision::ops::{self, Consent, Loaded, LossConsent, OperationError, Setup, SurveyInput, UpInput, UpOutcome};
use provision::plan::{Action, Plan};
use tempfile::TempDir;

use disk::SharedFate;
use world::{FakeReach, World, Write};

/// What stands still while processes come and go: the operator's files.
struct Desk {
    folder: TempDir,
    bundles: Bundles,
    /// Whether pods may wait for images that nobody has.
    lenient: bool,
    /// What happens to a cluster before the run that is looked at.
    between: fn(&World),
}

/// A file of this many all-role nodes and workers, with what else it says.
fn cluster_file(key: &Path, nodes: usize, workers: usize, rest: &str) -> String {
    let node = |number: usize| {
        let role = if number <= nodes { "[controlplane, etcd, worker]" } else { "[worker]" };
        format!("  - {{address: 10.9.0.{number}, hostname_override: h{number}, user: root, role: {role}}}\n")
    };
    let list: String = (1..=nodes + workers).map(node).collect();
    let version = if rest.contains("kubernetes_version:") { "" } else { "kubernetes_version: v1.34.1\n" };
    format!(
        "cluster_name: crash\n{version}ssh_key_path: {}\nnetwork: {{plugin: flannel}}\nnodes:\n{list}{rest}",
        key.display()
    )
}

impl Desk {
    fn new() -> Self {
        Self::without("")
    }

    /// One whose bundle lacks the images with this in their names.
    fn without(word: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "no real key: the hosts are fakes\n").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let bundle = folder.path().join("bundle");
        fs::create_dir(&bundle).unwrap();
        let desk = Self { folder, bundles: Bundles::default(), lenient: false, between: |_| {} };
        bundle::write(&bundle, &desk.load(1, 0).release, word);
        let bundles = Bundles::open(&[bundle]).unwrap();
        Self { bundles, ..desk }
    }

    /// One with bundles of these versions.
    fn of(versions: &[&str]) -> Self {
        let desk = Self::new();
        let bundle = |version: &&str| {
            let folder = desk.folder.path().join(version);
            fs::create_dir(&folder).unwrap();
            let loaded = desk.load_with(1, 0, &format!("kubernetes_version: {version}\n"));
            bundle::write(&folder, &loaded.release, "");
            folder
        };
        let folders: Vec<PathBuf> = versions.iter().map(bundle).collect();
        Self { bundles: Bundles::open(&folders).unwrap(), ..desk }
    }

    /// One whose bundles also hold what a cluster with this in its file needs.
    fn for_option(rest: &str) -> Self {
        let desk = Self::new();
        let folders = [("without", ""), ("with", rest)].map(|(name, rest)| {
            let folder = desk.folder.path().join(name);
            fs::create_dir(&folder).unwrap();
            bundle::write(&folder, &desk.load_with(1, 1, rest).release, "");
            folder
        });
        Self { bundles: Bundles::open(&folders).unwrap(), ..desk }
    }

    fn load(&self, nodes: usize, workers: usize) -> Loaded {
        self.load_with(nodes, workers, "")
    }

    fn load_with(&self, nodes: usize, workers: usize, rest: &str) -> Loaded {
        self.load_text(&cluster_file(&self.folder.path().join("key"), nodes, workers, rest))
    }

    fn load_text(&self, text: &str) -> Loaded {
        let config = self.folder.path().join("cluster.yml");
        fs::write(&config, text).unwrap();
        ops::load(&Setup { config, catalog: None, home: PathBuf::new() }).unwrap()
    }
}

struct Silent;

impl EventSink for Silent {
    fn emit(&self, _: Event) {}
}

/// Says yes, and keeps what it was asked about.
#[derive(Default)]
struct Yes(Mutex<Option<Plan>>);

impl Consent for Yes {
    fn ask<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, bool> {
        *self.0.lock().unwrap() = Some(plan.clone());
        Box::pin(ready(true))
    }
}

/// Says no, and keeps what it was asked about.
#[derive(Default)]
struct No(Mutex<Option<Plan>>);

impl Consent for No {
    fn ask<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, bool> {
        *self.0.lock().unwrap() = Some(plan.clone());
        Box::pin(ready(false))
    }
}

/// 2026-01-01, so that certificates do not depend on the day of the test.
const NOW: i64 = 1_767_225_600;

/// One process of the tool from start to end, by whatever cause.
fn up(
    desk: &Desk,
    loaded: &Loaded,
    world: &World,
    disk: &FakeDisk,
    process: &FakeProcess,
    consent: &dyn Consent,
) -> Result<UpOutcome, OperationError> {
    run(desk, loaded, world, disk, process, consent, None)
}

/// The same, or a rollback to a generation whose configuration is loaded.
fn run(
    desk: &Desk,
    loaded: &Loaded,
    world: &World,
    disk: &FakeDisk,
    process: &FakeProcess,
    consent: &dyn Consent,
    back_to: Option<u32>,
) -> Result<UpOutcome, OperationError> {
    let way = back_to.map_or(Way::Forward, |number| Way::Back(Some(number)));
    go(desk, loaded, world, disk, process, consent, &way)
}

/// Where a run goes.
enum Way<'a> {
    Forward,
    /// To a generation; to the one that `rollback` chooses where none is named.
    Back(Option<u32>),
    /// The same with the snapshot that was taken before the upgrade.
    BackWithSnapshot(&'a dyn LossConsent),
}

fn go(
    desk: &Desk,
    loaded: &Loaded,
    world: &World,
    disk: &FakeDisk,
    process: &FakeProcess,
    consent: &dyn Consent,
    way: &Way<'_>,
) -> Result<UpOutcome, OperationError> {
    run_in(desk, loaded, world, &mut open(disk, process)?, process, consent, way)
}

/// A process of its own. Names of runs differ, as they do by their time.
fn holder() -> Holder {
    static RUN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = RUN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Holder::this_process(RunId(format!("20260101T000000Z-{number:06}")))
}

fn open(disk: &FakeDisk, process: &FakeProcess) -> Result<StateFolder, OperationError> {
    let shared = SharedFate { disk: disk.clone(), process: process.clone() };
    Ok(StateFolder::open(Arc::new(shared), Path::new("/crash.state"), holder())?)
}

/// The same in a state folder that is held.
fn run_in(
    desk: &Desk,
    loaded: &Loaded,
    world: &World,
    folder: &mut StateFolder,
    process: &FakeProcess,
    consent: &dyn Consent,
    way: &Way<'_>,
) -> Result<UpOutcome, OperationError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (state, run) = (folder.state().clone(), folder.run().clone());
    let reach = FakeReach { world: world.clone(), process: process.clone() };
    let survey = SurveyInput {
        loaded,
        state: &state,
        bundles: &desk.bundles,
        suppliers: None,
        reach: &reach,
        now: world.now(),
        events: &Silent,
        allow_missing_images: desk.lenient,
        back_to: match way {
            Way::Forward => None,
            Way::Back(number) => Some(ops::rollback_target(&state, &loaded.catalog, *number)?),
            Way::BackWithSnapshot(_) => Some(ops::rollback_target(&state, &loaded.catalog, None)?),
        },
        restoration: None,
    };
    let input = UpInput { survey, run, consent, cancellation: &Cancellation::default(), patience: world.patience() };
    match way {
        Way::Forward => runtime.block_on(ops::up(folder, &input)),
        Way::Back(_) => runtime.block_on(ops::rollback(folder, &input)),
        Way::BackWithSnapshot(consent) => runtime.block_on(ops::rollback_with_snapshot(folder, &input, *consent)),
    }
}

/// A world, and the disk of who works on it.
struct Stage<'a> {
    desk: &'a Desk,
    world: World,
    disk: FakeDisk,
}

impl<'a> Stage<'a> {
    fn new(desk: &'a Desk) -> Self {
        Self { desk, world: World::default(), disk: FakeDisk::new() }
    }

    fn up(&self, loaded: &Loaded, process: &FakeProcess) -> Result<UpOutcome, OperationError> {
        up(self.desk, loaded, &self.world, &self.disk, process, &Yes::default())
    }

    /// The plan that an `up` would carry out; it is declined.
    fn plan(&self, loaded: &Loaded) -> Plan {
        let consent = No::default();
        let declined = up(self.desk, loaded, &self.world, &self.disk, &FakeProcess::new(), &consent);
        assert!(matches!(declined, Err(OperationError::Declined)), "{declined:?}");
        consent.0.lock().unwrap().take().expect("the operator was asked")
    }

    fn must(&self, loaded: &Loaded, what: &str) -> UpOutcome {
        self.up(loaded, &FakeProcess::new()).unwrap_or_else(|error| panic!("{what}: {error}"))
    }
}

/// A configuration that is applied after others were.
struct Case {
    name: &'static str,
    before: Option<(usize, usize)>,
    nodes: (usize, usize),
    /// What the files say besides, before and after.
    rest: (&'static str, &'static str),
    /// Calls that there must be at least, so that none of them is forgotten.
    calls: usize,
}

impl Case {
    fn stage<'a>(&self, desk: &'a Desk) -> (Stage<'a>, Loaded) {
        let stage = Stage::new(desk);
        if let Some((nodes, workers)) = self.before {
            stage.must(&desk.load_with(nodes, workers, self.rest.0), "the cluster before");
        }
        (desk.between)(&stage.world);
        (stage, desk.load_with(self.nodes.0, self.nodes.1, self.rest.1))
    }

    /// Host calls and disk calls of an undisturbed run, and what it leaves.
    fn undisturbed(&self, desk: &Desk) -> (usize, usize, Vec<String>) {
        let (mut stage, loaded) = self.stage(desk);
        stage.disk = stage.disk.reboot(Loss::Nothing);
        let process = FakeProcess::new();
        stage.up(&loaded, &process).unwrap();
        (process.calls(), stage.disk.calls(), lasting_shape(&stage.world))
    }

    /// Dies, completes, and finds nothing left to do. Gives whether the death was noticed.
    fn recovers(
        &self,
        desk: &Desk,
        wanted: &[String],
        loss: Loss,
        die: impl FnOnce(&FakeDisk, &FakeProcess),
        what: &str,
    ) -> bool {
        let (mut stage, loaded) = self.stage(desk);
        stage.disk = stage.disk.reboot(Loss::Nothing);
        let process = FakeProcess::new();
        die(&stage.disk, &process);
        let died = stage.up(&loaded, &process).is_err();
        stage.disk = stage.disk.reboot(loss);
        stage.must(&loaded, what);
        assert_eq!(stage.world.founded(), 1, "{what}: members were started for several clusters");
        assert_eq!(stage.world.authorities().len(), 1, "{what}: hosts have different authorities");
        let shape = lasting_shape(&stage.world);
        let difference = shape.iter().zip(wanted).find(|(is, wanted)| is != wanted);
        assert!(shape.len() == wanted.len() && difference.is_none(), "{what}: {difference:?}");
        assert_eq!(stage.must(&loaded, what), UpOutcome::NothingToDo, "{what}: the third run");
        died
    }

    fn dies_at_every_host_call(&self) {
        self.dies_at_every_host_call_on(&Desk::new());
    }

    fn dies_at_every_host_call_on(&self, desk: &Desk) {
        let (calls, _, wanted) = self.undisturbed(desk);
        let mut tried = 0;
        for call in 0..calls {
            for moment in [Moment::Before, Moment::Within, Moment::After] {
                let what = format!("{}: host call {call} of {calls}, {moment:?}", self.name);
                let died =
                    self.recovers(desk, &wanted, Loss::Nothing, |_, process| process.dies_at(call, moment), &what);
                // The last call only looks. A run that mends has nothing to write after it.
                assert!(died || call + 1 == calls, "{what}: the run ended well although it was to die");
                tried += 1;
            }
        }
        println!("{}: died in 3 ways at each of {calls} host calls: {tried} points", self.name);
        assert_eq!(tried, 3 * calls);
        assert!(calls >= self.calls, "{calls} calls cannot be all of them");
    }

    fn dies_at_every_disk_call(&self) {
        self.dies_at_every_disk_call_on(&Desk::new());
    }

    fn dies_at_every_disk_call_on(&self, desk: &Desk) {
        let (_, all, wanted) = self.undisturbed(desk);
        // The last line of its log is for who reads it: a run that cannot write it has ended well all the same.
        let calls = all - WRITING_THE_END;
        let mut tried = 0;
        for call in 0..calls {
            for (death, loss) in [(Death::Before, Loss::Nothing), (Death::Within, Loss::Unsynced)] {
                let what = format!("{}: disk call {call} of {calls}, {death:?}, {loss:?}", self.name);
                let died = self.recovers(desk, &wanted, loss, |disk, _| disk.die_at(call, death), &what);
                // A run that mends has no generation to complete: what it writes last is what was shown.
                assert!(died || call + 1 == calls, "{what}: the run ended well although it was to die");
                tried += 1;
            }
        }
        println!("{}: died in 2 ways at each of {calls} disk calls: {tried} points", self.name);
        assert_eq!(tried, 2 * calls);
        assert!(calls > 50, "{calls} calls cannot be all of them");
    }
}

/// How many snapshots there are depends on how often a run began.
fn lasting_shape(world: &World) -> Vec<String> {
    let lines = world.shape().into_iter();
    lines.filter(|line| !line.contains(" /var/lib/provision/snapshots/")).collect()
}

/// A line, and what makes it durable.
const WRITING_THE_END: usize = 2;

const ONE_NODE: Case = Case { name: "one node", before: None, nodes: (1, 0), rest: ("", ""), calls: 20 };
const THREE_NODES: Case = Case { name: "three nodes", before: None, nodes: (3, 0), rest: ("", ""), calls: 20 };
const JOIN: Case = Case { name: "a worker joins", before: Some((1, 0)), nodes: (1, 1), rest: ("", ""), calls: 20 };

#[test]
fn one_node_survives_a_death_at_every_host_call() {
    ONE_NODE.dies_at_every_host_call();
}

#[test]
fn one_node_survives_a_death_at_every_disk_call() {
    ONE_NODE.dies_at_every_disk_call();
}

#[test]
fn three_nodes_survive_a_death_at_every_host_call() {
    THREE_NODES.dies_at_every_host_call();
}

#[test]
fn a_join_survives_a_death_at_every_host_call() {
    JOIN.dies_at_every_host_call();
}

#[test]
fn a_join_survives_a_death_at_every_disk_call() {
    JOIN.dies_at_every_disk_call();
}

/// The changes that a plan announces, in the words of who records them.
fn announced(plan: &Plan) -> Vec<Write> {
    let mut writes = Vec::new();
    for step in &plan.steps {
        let place = step.host.as_ref().map_or("cluster".to_owned(), ToString::to_string);
        let mut add = |change: String| writes.push((place.clone(), change));
        let change = |change: Change| format!("{change:?}");
        match &step.action {
            Action::Change(changes) => changes.iter().for_each(|each| add(change(each.clone()))),
            Action::RunContainer(spec) => {
                add(change(Change::CreateContainer(spec.clone())));
                add(change(Change::StartContainer(spec.name.clone())));
            }
            Action::StartContainer(name) => add(change(Change::StartContainer(name.clone()))),
            Action::StartUnit { name, restart } => {
                let (unit, none) = (vec![name.clone()], Vec::new());
                let (start, restart) = if *restart { (none, unit) } else { (unit, none) };
                add(change(Change::Units { enable: Vec::new(), start, restart }));
            }
            Action::Apply(objects) => {
                let keys: Vec<String> = objects.iter().map(|object| object.key.to_string()).collect();
                add(keys.join(", "));
            }
            Action::Note(_) => add("ConfigMap kube-system/provision-inventory".into()),
            Action::Delete(deletions) => {
                let keys: Vec<String> = deletions.iter().map(|deletion| deletion.key.to_string()).collect();
                add(format!("delete {}", keys.join(", ")));
            }
            Action::SaveSnapshot(spec) => add(format!("snapshot {}", spec.name)),
            Action::CopySnapshot { record, .. } => add(format!("snapshot {}", record.name)),
            Action::SetNodeMetadata(_) => add("labels and taints".into()),
            Action::Cordon(_) => add("cordon".into()),
            Action::Drain { .. } => add("drain".into()),
            Action::Uncordon(_) => add("uncordon".into()),
            // It changes the state folder alone.
            Action::BeginRestore { .. } => {}
            Action::VerifyRuntime | Action::Wait(_) | Action::Prove { .. } | Action::RequireKinds(_) => {}
        }
    }
    writes.sort();
    writes
}

#[test]
fn every_write_of_a_run_is_one_step_of_the_plan_that_was_shown() {
    let desk = Desk::new();
    for case in [ONE_NODE, THREE_NODES, JOIN] {
        let (stage, loaded) = case.stage(&desk);
        stage.world.writes.lock().unwrap().clear();
        let consent = Yes::default();
        up(&desk, &loaded, &stage.world, &stage.disk, &FakeProcess::new(), &consent).unwrap();
        let plan = consent.0.lock().unwrap().take().expect("the operator was asked");
        let mut made = stage.world.writes.lock().unwrap().clone();
        made.sort();
        assert_eq!(announced(&plan), made, "{}", case.name);
        let printed = plan.to_string();
        for step in plan.steps.iter().filter(|step| !step.action.is_wait()) {
            assert!(printed.contains(&step.title), "{} is not printed", step.id);
        }
    }
}

#[test]
fn etcd_is_never_started_without_the_data_that_it_had() {
    let desk = Desk::new();
    let (stage, loaded) = ONE_NODE.stage(&desk);
    stage.must(&loaded, "the cluster");
    let machine = stage.world.machines.lock().unwrap().values().next().unwrap().clone();
    machine.by_hand(|state| {
        state.entries.remove("/var/lib/etcd/member");
        state.containers.remove("etcd");
    });
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(OperationError::Refused(plan)) => assert!(plan.to_string().contains("/var/lib/etcd/member"), "{plan}"),
        other => panic!("{other:?}"),
    }
}

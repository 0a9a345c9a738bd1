//! `check network` from its first object to its last, on a cluster in memory: what it tells, and that it cleans up.

mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provision::base::RunId;
use provision::bundle::Bundles;
use provision::engine::Cancellation;
use provision::entropy::RandomKeyMaker;
use provision::event::{Event, EventSink};
use provision::journal::{FakeDisk, Holder, Pins, State, StateFolder, StoredKey};
use provision::netcheck::{Cause, NetworkReport, Status};
use provision::ops::{self, Loaded, NetworkCheckInput, NetworkCheckOptions, OperationError, Setup};
use provision::pki::{PkiRequest, Renewal, complete};
use serde_json::json;
use tempfile::TempDir;

use world::{Packet, World};

/// 2026-01-01, so that certificates do not depend on the day of the test.
const NOW: i64 = 1_767_225_600;

/// An operator with a cluster of three nodes.
struct Desk {
    _folder: TempDir,
    loaded: Loaded,
    state: State,
    options: NetworkCheckOptions,
    cancellation: Cancellation,
    events: Events,
}

#[derive(Clone, Default)]
struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    /// At an event with this text, the operator wishes to stop.
    stop_at: Arc<Mutex<Option<(&'static str, Cancellation)>>>,
}

impl EventSink for Events {
    fn emit(&self, event: Event) {
        let text = format!("{event:?}");
        if let Some((at, cancellation)) = &*self.stop_at.lock().unwrap()
            && text.contains(at)
        {
            cancellation.request();
        }
        self.seen.lock().unwrap().push(event);
    }
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "no real key: the hosts are fakes\n").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let config = folder.path().join("cluster.yml");
        let node = |number: usize| {
            format!(
                "  - {{address: 10.9.0.{number}, hostname_override: h{number}, user: root, role: [controlplane, etcd, worker]}}\n"
            )
        };
        let nodes: String = (1..=3).map(node).collect();
        let text = format!(
            "cluster_name: lab\nkubernetes_version: v1.34.1\nssh_key_path: {}\nnetwork: {{plugin: flannel}}\nnodes:\n{nodes}",
            key.display()
        );
        fs::write(&config, text).unwrap();
        let loaded = ops::load(&Setup { config, catalog: None, home: PathBuf::new() }).unwrap();
        let state = state(&loaded);
        let options = NetworkCheckOptions { timeout: Duration::from_secs(180), image: None, outside: None };
        let (cancellation, events) = (Cancellation::default(), Events::default());
        Self { _folder: folder, loaded, state, options, cancellation, events }
    }

    async fn check(&self, world: &World) -> Result<NetworkReport, OperationError> {
        let input = NetworkCheckInput {
            loaded: &self.loaded,
            state: &self.state,
            bundles: &Bundles::default(),
            reach: world,
            now: NOW,
            mark: "1a2b3c",
            events: &self.events,
            cancellation: &self.cancellation,
            options: &self.options,
        };
        ops::check_network(&input).await
    }

    fn stop_at(&self, text: &'static str) {
        *self.events.stop_at.lock().unwrap() = Some((text, self.cancellation.clone()));
    }

    fn told(&self, text: &str) -> bool {
        self.events.seen.lock().unwrap().iter().any(|event| format!("{event:?}").contains(text))
    }
}

/// A state folder of a cluster that was brought up.
fn state(loaded: &Loaded) -> State {
    let run = Holder::this_process(RunId("20260101T000000Z-000000".into()));
    let mut folder = StateFolder::open(Arc::new(FakeDisk::new()), Path::new("/lab.state"), run).unwrap();
    let request = PkiRequest { cluster: &loaded.cluster, renewal: Renewal::Make };
    let completion = complete(&request, &Default::default(), NOW, &mut RandomKeyMaker).unwrap();
    let stored = completion.material.iter().map(|(name, entry)| {
        (name.as_str().to_owned(), StoredKey { certificate: entry.certificate.clone(), key: Some(entry.key.clone()) })
    });
    folder.store_material(stored.collect()).unwrap();
    let number = folder.begin_generation(&loaded.text, Pins::default()).unwrap();
    folder.complete_generation(number).unwrap();
    folder.state().clone()
}

fn world(passes: impl Fn(&Packet) -> bool + Send + Sync + 'static) -> World {
    let world = World::new(passes);
    for name in ["h1", "h2", "h3"] {
        let status = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        world.put(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "status": status }));
    }
    world
}

/// Only the nodes are there, as before the check.
fn is_clean(world: &World) -> bool {
    world.count() == 3
}

fn status(report: &NetworkReport, check: &str) -> (Status, usize, usize) {
    let line = report.checks.iter().find(|line| line.check == check).unwrap();
    (line.status, line.passed, line.tested)
}

fn causes(report: &NetworkReport) -> Vec<Cause> {
    report.findings.iter().map(|finding| finding.cause).collect()
}

#[tokio::test(start_paused = true)]
async fn a_network_that_works_is_green_and_the_cluster_as_before() {
    let (desk, world) = (Desk::new(), world(|_| true));
    let report = desk.check(&world).await.unwrap();
    assert!(report.works, "{report}");
    assert_eq!(status(&report, "pod-to-pod"), (Status::Ok, 6, 6));
    assert_eq!(status(&report, "node-to-pod"), (Status::Ok, 9, 9));
    assert_eq!(status(&report, "cluster-ip"), (Status::Ok, 9, 9));
    assert_eq!(status(&report, "node-port"), (Status::Ok, 9, 9));
    assert_eq!(status(&report, "dns"), (Status::Ok, 3, 3));
    assert_eq!(status(&report, "network-policy"), (Status::NotEnforced, 0, 3));
    assert!(is_clean(&world));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_something_enforces_is_seen() {
    let mut world = world(|_| true);
    world.enforces = true;
    let report = Desk::new().check(&world).await.unwrap();
    assert!(report.works, "{report}");
    assert_eq!(status(&report, "network-policy"), (Status::Ok, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_late_or_stalls_once_is_no_finding() {
    let mut world = world(|_| true);
    (world.listens_late, world.stalls_once) = (true, true);
    let report = Desk::new().check(&world).await.unwrap();
    assert!(report.works, "{report}");
    assert_eq!(status(&report, "network-policy"), (Status::NotEnforced, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn clients_that_listen_late_see_a_policy_all_the_same() {
    let mut world = world(|_| true);
    (world.enforces, world.listens_late) = (true, true);
    let report = Desk::new().check(&world).await.unwrap();
    assert!(report.works, "{report}");
    assert_eq!(status(&report, "network-policy"), (Status::Ok, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_proves_no_policy() {
    let mut world = world(|_| true);
    world.stranger_goes = true;
    let report = Desk::new().check(&world).await.unwrap();
    assert_eq!(status(&report, "network-policy"), (Status::NotTested, 0, 0), "{report}");
    assert!(is_clean(&world));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cuts_off_the_friend_too_is_too_strict() {
    let mut world = world(|_| true);
    world.policy_cuts_all = true;
    let report = Desk::new().check(&world).await.unwrap();
    assert_eq!(causes(&report), [Cause::PolicyTooStrict], "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_fails_now_and_then_is_asked_again() {
    let mut world = world(|_| true);
    world.is_moody = true;
    let report = Desk::new().check(&world).await.unwrap();
    assert!(report.works, "{report}");
    assert!(is_clean(&world), "{:?}", world.namespaces());
}

#[tokio::test(start_paused = true)]
async fn a_cut_node_is_named_once() {
    let world = world(|packet| packet.to_node || (packet.from != "h3" && packet.to != "h3"));
    let report = Desk::new().check(&world).await.unwrap();
    assert_eq!(causes(&report), [Cause::OverlayBlocked], "{report}");
    assert_eq!(report.findings[0].suspect.as_ref().map(|node| node.as_str()), Some("h3"));
    assert_eq!(status(&report, "pod-to-pod"), (Status::Failed, 2, 6));
    assert!(is_clean(&world));
}

#[tokio::test(start_paused = true)]
async fn lost_full_packets_are_a_matter_of_the_mtu() {
    let world = world(|packet| !(packet.full && packet.to == "h2"));
    let report = Desk::new().check(&world).await.unwrap();
    assert_eq!(causes(&report), [Cause::Mtu], "{report}");
    let pairs: Vec<String> = report.findings[0].pairs.iter().map(ToString::to_string).collect();
    assert_eq!(pairs, ["h1 -> h2", "h3 -> h2"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_outside_is_asked_for_only_on_wish() {
    let world = world(|_| true);
    let mut desk = Desk::new();
    desk.options.outside = Some("nowhere.example".into());
    let report = desk.check(&world).await.unwrap();
    assert_eq!(causes(&report), [Cause::OutsideName]);
    assert_eq!(status(&report, "dns"), (Status::Ok, 3, 3));
    assert_eq!(status(&report, "dns-outside"), (Status::Failed, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_names_itself_the_node_and_the_ways_to_hand_it_in() {
    let (desk, world) = (Desk::new(), world(|_| true));
    let waiting = json!({ "reason": "ImagePullBackOff", "message": "no such host" });
    world.waits.lock().unwrap().insert("h2".into(), waiting);
    let error = desk.check(&world).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("agnhost:2.56, is missing: h2: ImagePullBackOff: no such host"), "{text}");
    assert!(error.hint().unwrap().contains("--image") && error.hint().unwrap().contains("--bundle"));
    assert!(is_clean(&world));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_pod_does_not_start_hides_no_other() {
    let (desk, world) = (Desk::new(), world(|_| true));
    world.waits.lock().unwrap().insert("h3".into(), json!({ "reason": "ContainerCreating" }));
    let report = desk.check(&world).await.unwrap();
    assert_eq!(causes(&report), [Cause::NodeUntested], "{report}");
    assert_eq!(status(&report, "pod-to-pod"), (Status::Ok, 2, 2));
    assert!(report.findings[0].likely.contains("ContainerCreating"));
    assert!(is_clean(&world));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_stopped_or_out_of_time_cleans_up() {
    for at in ["starting test pods", "trying connections: ", "trying connections under"] {
        let (desk, world) = (Desk::new(), world(|_| true));
        desk.stop_at(at);
        let error = desk.check(&world).await.unwrap_err();
        assert_eq!(error.to_string(), "stopped; the objects of the check were removed", "{at}");
        assert!(is_clean(&world), "{at}: {:?}", world.namespaces());
    }
    let (mut desk, world) = (Desk::new(), world(|packet| packet.to_node));
    desk.options.timeout = Duration::from_secs(1);
    desk.cancellation = Cancellation::default();
    world.waits.lock().unwrap().insert("h2".into(), json!({ "reason": "ContainerCreating" }));
    let text = desk.check(&world).await.unwrap_err().to_string();
    assert_eq!(text, "the check was not over after 1 s; it was waiting for 1 test pods (h2: ContainerCreating)");
    assert!(is_clean(&world));
}

fn namespace(name: &str, beats: u64) -> serde_json::Value {
    let annotations = json!({ "provision/check-heartbeat": beats.to_string() });
    let metadata = json!({ "name": name, "labels": { "provision/check": "network" }, "annotations": annotations });
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_check_left_goes_and_what_a_living_one_has_stays() {
    let (desk, world) = (Desk::new(), world(|_| true));
    world.put(namespace("provision-check-dead", 1));
    world.put(namespace("provision-check-alive", 1));
    let beating = world.clone();
    let other = tokio::spawn(async move {
        for beats in 2.. {
            tokio::time::sleep(Duration::from_secs(2)).await;
            beating.put(namespace("provision-check-alive", beats));
        }
    });
    let report = desk.check(&world).await.unwrap();
    other.abort();
    assert!(report.works);
    assert_eq!(world.namespaces(), ["provision-check-alive"]);
    assert!(desk.told("removed namespace provision-check-dead, which an earlier check had left."));
}

/// Its owner may live, and could not show it.
#[tokio::test(start_paused = true)]
async fn while_the_api_is_away_nothing_of_another_check_is_taken_for_dead() {
    let (desk, mut world) = (Desk::new(), world(|_| true));
    world.is_away_once = true;
    world.put(namespace("provision-check-other", 1));
    assert!(desk.check(&world).await.unwrap().works);
    assert_eq!(world.namespaces(), ["provision-check-other"]);
    assert!(desk.told("what earlier checks may have left was not removed"));
}

#[tokio::test(start_paused = true)]
async fn without_a_cluster_there_is_nothing_to_check() {
    let (mut desk, world) = (Desk::new(), world(|_| true));
    let run = Holder::this_process(RunId("20260101T000000Z-000000".into()));
    let folder = StateFolder::open(Arc::new(FakeDisk::new()), Path::new("/new.state"), run).unwrap();
    desk.state = folder.state().clone();
    let error = desk.check(&world).await.unwrap_err();
    assert_eq!(error.to_string(), "no cluster has been brought up with this cluster.yml yet");
}

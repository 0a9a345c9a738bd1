//! Files that change below a component which runs: renewed certificates, and what somebody has edited.

use std::collections::BTreeMap;

use provision::host::{Change, FakeProcess, Swap};
use provision::ops::UpOutcome;
use provision::plan::{Action, Plan};
use provision::state::{ObservedEntry, ObservedSwap};

use super::world::World;
use super::{Case, Desk, Stage};

const ONE_NODE: Case =
    Case { name: "certificates of one node", before: Some((1, 0)), nodes: (1, 0), rest: ("", ""), calls: 6 };
const THREE_NODES: Case =
    Case { name: "certificates of three nodes", before: Some((3, 0)), nodes: (3, 0), rest: ("", ""), calls: 30 };

/// So many days of a year are a little more than two thirds.
const OLD_AGE: i64 = 250;

/// A desk at which this happens to the cluster.
fn desk(between: fn(&World)) -> Desk {
    Desk { between, ..Desk::new() }
}

fn grows_old(world: &World) {
    *world.days.lock().unwrap() = OLD_AGE;
}

/// One of each kind: a certificate, what lies at a path of its own digest, a unit, a copy that nobody reads.
fn is_edited(world: &World) {
    let machine = world.machines.lock().unwrap().values().next().unwrap().clone();
    for path in edited(world) {
        machine.put(&path, b"by hand");
    }
}

fn edited(world: &World) -> Vec<String> {
    let entries = world.machines.lock().unwrap().values().next().unwrap().state().entries;
    let sealed = |path: &&String| path.starts_with("/etc/kubernetes/kube-scheduler/") && path.ends_with("/kubeconfig");
    let sealed = entries.keys().find(sealed).expect("the scheduler's kubeconfig").clone();
    let others = [
        "/etc/kubernetes/etcd/peer.key",
        "/etc/systemd/system/kubelet.service",
        "/etc/kubernetes/ssl/kubelet/client.crt",
        "/etc/kubernetes/controller-manager.conf",
    ];
    others.iter().map(ToString::to_string).chain([sealed]).collect()
}

#[test]
fn a_renewal_survives_a_death_at_every_host_call() {
    ONE_NODE.dies_at_every_host_call_on(&desk(grows_old));
}

#[test]
fn a_renewal_survives_a_death_at_every_disk_call() {
    ONE_NODE.dies_at_every_disk_call_on(&desk(grows_old));
}

#[test]
fn a_repair_of_edited_files_survives_a_death_at_every_host_call() {
    ONE_NODE.dies_at_every_host_call_on(&desk(is_edited));
}

/// The API is gone, as it is when all certificates have run out: whatever it is made of can only prove itself together.
fn breaks_with_age(world: &World) {
    grows_old(world);
    let machine = world.machines.lock().unwrap().values().next().unwrap().clone();
    machine.by_hand(|state| {
        let apiserver = state.containers.get_mut("kube-apiserver").unwrap();
        (apiserver.running, apiserver.status) = (false, "exited".into());
    });
}

#[test]
fn a_cluster_without_an_api_gets_its_certificates_wherever_the_run_dies() {
    ONE_NODE.dies_at_every_host_call_on(&desk(breaks_with_age));
}

/// The replacements of a plan, by step.
fn swaps(plan: &Plan) -> BTreeMap<String, Swap> {
    let swap = |change: &Change| if let Change::Swap(swap) = change { Some((**swap).clone()) } else { None };
    let of = |step: &provision::plan::Step| match &step.action {
        Action::Change(changes) => Some((step.id.0.clone(), changes.iter().find_map(swap)?)),
        _ => None,
    };
    plan.steps.iter().filter_map(of).collect()
}

/// Digests of all files below a folder on all hosts.
fn contents(stage: &Stage<'_>, folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (node, machine) in stage.world.machines.lock().unwrap().iter() {
        for (path, entry) in machine.state().entries {
            let ObservedEntry::File { digest, .. } = entry else { continue };
            if path.starts_with(folder) {
                found.insert(format!("{node}{path}"), digest.to_string());
            }
        }
    }
    found
}

#[test]
fn certificates_in_their_last_third_are_renewed_with_their_components_and_then_nothing_is_left_to_do() {
    let desk = desk(grows_old);
    let (stage, loaded) = THREE_NODES.stage(&desk);
    let folders = ["/etc/kubernetes/ssl/", "/etc/kubernetes/etcd/"];
    let before = folders.map(|folder| contents(&stage, folder));
    let plan = stage.plan(&loaded);
    let swaps = swaps(&plan);
    for host in ["h1", "h2", "h3"] {
        for (step, file) in [
            ("container/api-proxy", "ssl/api-proxy/client.pem"),
            ("container/etcd", "etcd/peer.crt"),
            ("container/kube-apiserver", "ssl/kube-apiserver/etcd-client.key"),
            ("container/kube-controller-manager", "ssl/kube-controller-manager/client.crt"),
            ("container/kube-scheduler", "ssl/kube-scheduler/client.crt"),
            ("container/kube-proxy", "ssl/kube-proxy/client.crt"),
            ("unit/kubelet.service", "ssl/kubelet/server.crt"),
        ] {
            let swap = &swaps[&format!("{host}/{step}")];
            let path = format!("/etc/kubernetes/{file}");
            assert!(swap.reads.iter().any(|read| read.path == path), "{host}: {step} does not bring {path}");
        }
    }
    assert_eq!(swaps.len(), 3 * 7);
    assert!(plan.steps.iter().all(|step| !step.id.0.ends_with("/drain")), "no pod sees a certificate: {plan}");
    let text = plan.to_string();
    assert!(
        text.contains("peer.crt: certificate node/h1/etcd-peer expires in 115 days, under a third of its life"),
        "{text}"
    );

    stage.must(&loaded, "the renewal");
    let after = folders.map(|folder| contents(&stage, folder));
    let lasting = ["ca.crt", "service-account", "encryption.yaml"];
    for (path, was) in before.iter().flatten() {
        let stays = lasting.iter().any(|name| path.contains(name));
        let is = after.iter().find_map(|folder| folder.get(path)).expect(path);
        assert_eq!(is == was, stays, "{path}");
    }
    assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
}

#[test]
fn a_new_name_of_the_api_replaces_the_apiservers_with_a_certificate_that_has_it() {
    let desk = Desk::new();
    let sans = "authentication: {strategy: x509, sans: [api.example.org]}\n";
    let (stage, loaded) = Case { rest: ("", sans), ..THREE_NODES }.stage(&desk);
    let plan = stage.plan(&loaded);
    let replaced: Vec<String> = swaps(&plan).into_keys().collect();
    assert_eq!(replaced, ["h1", "h2", "h3"].map(|host| format!("{host}/container/kube-apiserver")));
    assert!(plan.to_string().contains("certificate node/h2/apiserver lacks api.example.org"), "{plan}");
    stage.must(&loaded, "the renewal");
    assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
}

#[test]
fn files_that_were_edited_below_what_runs_are_put_back_with_a_replacement_of_it() {
    let desk = Desk::new();
    let (stage, loaded) = ONE_NODE.stage(&desk);
    let before = contents(&stage, "/etc");
    is_edited(&stage.world);
    let plan = stage.plan(&loaded);
    let replaced: Vec<String> = swaps(&plan).into_keys().collect();
    assert_eq!(replaced, ["h1/container/etcd", "h1/container/kube-scheduler", "h1/unit/kubelet.service"]);
    let text = plan.to_string();
    for path in edited(&stage.world) {
        assert!(text.contains(&format!("{path}: content differs")), "{path} is not in {text}");
    }
    stage.must(&loaded, "the repair");
    assert_eq!(contents(&stage, "/etc"), before);
    assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
}

#[test]
fn a_folder_in_the_place_of_a_file_below_what_runs_is_refused_by_name() {
    let desk = Desk::new();
    let (stage, loaded) = ONE_NODE.stage(&desk);
    let path = "/etc/kubernetes/ssl/kube-apiserver/apiserver.crt";
    let machine = stage.world.machines.lock().unwrap().values().next().unwrap().clone();
    machine.by_hand(|state| {
        let folder = state.entries["/etc/kubernetes/ssl/kube-apiserver"].clone();
        state.entries.insert(path.into(), folder);
    });
    let refused = stage.up(&loaded, &FakeProcess::new()).unwrap_err().to_string();
    assert!(refused.contains(path) && refused.contains("a directory is in its place"), "{refused}");
}

/// The cluster's only machine is told to have this left of a replacement.
fn left(stage: &Stage<'_>, name: &str, swap: ObservedSwap) {
    let machine = stage.world.machines.lock().unwrap().values().next().unwrap().clone();
    machine.by_hand(|state| {
        state.swaps.insert(name.into(), swap);
    });
}

#[test]
fn what_a_replacement_has_left_is_told_with_its_reason_and_settled() {
    let desk = Desk::new();
    let (stage, loaded) = ONE_NODE.stage(&desk);
    for (swap, words) in [
        (ObservedSwap::Reverted("port 10259 does not answer".into()), "was taken back: port 10259 does not answer"),
        (ObservedSwap::Running, "is under way"),
        (ObservedSwap::Interrupted, "was interrupted"),
        (ObservedSwap::Unfinished("no space left".into()), "is not ended: no space left"),
    ] {
        left(&stage, "kube-scheduler", swap);
        let plan = stage.plan(&loaded);
        assert_eq!(plan.changes(), 1, "{plan}");
        let text = plan.to_string();
        assert!(text.contains("settle kube-scheduler") && text.contains(words), "{text}");
        stage.must(&loaded, "the settling");
        assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
    }
}

#[test]
fn a_replacement_that_was_taken_back_is_tried_again_and_its_plan_says_so() {
    let desk = Desk::new();
    let (stage, loaded) =
        Case { rest: ("", "services: {kube-api: {service_node_port_range: 30000-31000}}\n"), ..ONE_NODE }.stage(&desk);
    left(&stage, "kube-apiserver", ObservedSwap::Reverted("it ends by itself".into()));
    let plan = stage.plan(&loaded);
    assert_eq!(swaps(&plan).into_keys().collect::<Vec<_>>(), ["h1/container/kube-apiserver"]);
    let text = plan.to_string();
    assert!(text.contains("its last replacement was taken back: it ends by itself"), "{text}");
    stage.must(&loaded, "the second try");
    assert_eq!(stage.must(&loaded, "the run after it"), UpOutcome::NothingToDo);
}

//! Hosts whose engines run already, with and without a proxy.

use std::fs;

use provision::base::NodeName;
use provision::host::{FakeHost, FakeProcess, Moment};
use provision::ops::{self, Loaded, OperationError, Setup, UpOutcome};
use provision::state::{CgroupDriver, DockerFacts, ObservedUnit};

use super::{Case, Desk, Stage, cluster_file, up};

const PROXY: &str = "engine_proxy: {https_proxy: 'http://robot:hidden@proxy.example:3128', no_proxy: [.example]}\n";
const DROP_IN: &str = "/etc/systemd/system/docker.service.d/provision-proxy.conf";

fn load(desk: &Desk, workers: usize, more: &str) -> Loaded {
    let config = desk.folder.path().join("cluster.yml");
    let text = cluster_file(&desk.folder.path().join("key"), 1, workers, more);
    fs::write(&config, text).unwrap();
    ops::load(&Setup { config, catalog: None, home: std::path::PathBuf::new() }).unwrap()
}

/// A stage whose host has Docker and all packages.
fn stage_with_docker(desk: &Desk) -> Stage<'_> {
    let stage = Stage::new(desk);
    let name = NodeName::new("h1").unwrap();
    let host = FakeHost::new(name.clone(), &FakeProcess::new());
    host.by_hand(|state| {
        let docker = DockerFacts { version: "20.10.24".into(), cgroup_driver: CgroupDriver::Systemd, running: true };
        state.facts.docker = Some(docker);
        state.facts.containerd_version = Some("1.6.20".into());
        for unit in ["docker.service", "containerd.service"] {
            state.units.insert(unit.into(), ObservedUnit { enabled: true, active: "active".into() });
        }
        for package in ["docker.io", "conntrack", "iptables", "kmod", "procps", "socat"] {
            state.packages.insert(package.into(), "1".into());
        }
    });
    stage.world.machines.lock().unwrap().insert(name, host);
    stage
}

/// Whether both engines were restarted after the last write of their configuration.
fn in_force(stage: &Stage<'_>) -> bool {
    let writes = stage.world.writes.lock().unwrap();
    let last = |texts: &[&str]| writes.iter().rposition(|(_, change)| texts.iter().all(|text| change.contains(text)));
    let written = last(&["Write", DROP_IN]);
    let restarted = last(&["Units", "restart: [\"containerd.service\", \"docker.service\"]"]);
    written.is_some() && restarted > written
}

#[test]
fn engines_are_restarted_after_their_configuration_whenever_the_run_that_wrote_it_died() {
    let desk = Desk::new();
    let loaded = load(&desk, 0, PROXY);
    for call in 0..8 {
        for moment in [Moment::Before, Moment::Within, Moment::After] {
            let stage = stage_with_docker(&desk);
            let process = FakeProcess::new();
            process.dies_at(call, moment);
            assert!(stage.up(&loaded, &process).is_err(), "call {call}, {moment:?}");
            stage.must(&loaded, "the run after it");
            assert!(in_force(&stage), "call {call}, {moment:?}: {:#?}", stage.world.writes.lock().unwrap());
            assert_eq!(stage.must(&loaded, "the third run"), UpOutcome::NothingToDo);
        }
    }
}

#[test]
fn a_plan_does_not_show_the_proxys_password() {
    let desk = Desk::new();
    let stage = stage_with_docker(&desk);
    let consent = super::Yes::default();
    up(&desk, &load(&desk, 0, PROXY), &stage.world, &stage.disk, &FakeProcess::new(), &consent).unwrap();
    let plan = consent.0.lock().unwrap().take().unwrap();
    let printed = format!("{plan} {plan:?}");
    assert!(printed.contains(DROP_IN) && !printed.contains("hidden"), "{printed}");
}

#[test]
fn a_worker_joins_a_cluster_whose_engines_have_a_proxy() {
    let desk = Desk::new();
    let stage = stage_with_docker(&desk);
    stage.must(&load(&desk, 0, PROXY), "the cluster");
    let joined = load(&desk, 1, PROXY);
    assert!(matches!(stage.must(&joined, "the join"), UpOutcome::Applied { .. }));
    assert_eq!(stage.must(&joined, "again"), UpOutcome::NothingToDo);
}

#[test]
fn another_proxy_below_running_pods_is_refused_by_name() {
    let desk = Desk::new();
    let stage = stage_with_docker(&desk);
    stage.must(&load(&desk, 0, PROXY), "the cluster");
    for more in ["", "engine_proxy: {https_proxy: 'http://proxy.example:3128'}\n"] {
        match stage.up(&load(&desk, 0, more), &FakeProcess::new()) {
            Err(OperationError::Refused(plan)) => assert!(plan.to_string().contains(DROP_IN), "{plan}"),
            other => panic!("{more}: {other:?}"),
        }
    }
}

/// A run on a fresh host died after it had written the drop-ins, and the operator has taken the proxy out.
#[test]
fn a_drop_in_that_nothing_asks_for_goes_also_where_no_engine_is_installed() {
    let desk = Desk::new();
    let stage = Stage::new(&desk);
    let name = NodeName::new("h1").unwrap();
    let host = FakeHost::new(name.clone(), &FakeProcess::new());
    host.put(DROP_IN, b"[Service]\n");
    stage.world.machines.lock().unwrap().insert(name.clone(), host);
    let loaded = load(&desk, 0, "");
    stage.must(&loaded, "the cluster");
    assert!(!stage.world.machines.lock().unwrap()[&name].state().entries.contains_key(DROP_IN));
    assert_eq!(stage.must(&loaded, "again"), UpOutcome::NothingToDo);
}

const PAUSE: &str = "system_images: {pod_infra_container: 'example.org/pause:3.10.1'}\n";
const OTHER_PAUSE: Case =
    Case { name: "another image for pods", before: Some((1, 1)), nodes: (1, 1), rest: ("", PAUSE), calls: 10 };

#[test]
fn containerd_that_refuses_its_configuration_gets_the_old_one_back() {
    let desk = Desk::for_option(PAUSE);
    let (stage, loaded) = OTHER_PAUSE.stage(&desk);
    let machine = stage.world.machines.lock().unwrap().values().next().unwrap().clone();
    let configuration = || machine.state().entries["/etc/containerd/config.toml"].clone();
    let before = configuration();
    machine.let_fail("containerd.service");
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(OperationError::Incomplete { failed }) => {
            assert_eq!(failed[0].0.0, "h1/restart-runtime");
            assert!(failed[0].1.contains("the old one is back"), "{failed:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(configuration(), before);
    assert!(stage.world.node("h1")["spec"]["unschedulable"].is_null());
    let told = stage.plan(&loaded).to_string();
    assert!(told.contains("its last replacement was taken back") && !told.contains("settle containerd"), "{told}");
    machine.let_work("containerd.service");
    stage.must(&loaded, "the run after it");
    assert_ne!(configuration(), before);
    assert_eq!(stage.must(&loaded, "again"), UpOutcome::NothingToDo);
}

#[test]
fn another_configuration_of_containerd_survives_a_death_at_every_host_call() {
    OTHER_PAUSE.dies_at_every_host_call_on(&Desk::for_option(PAUSE));
}

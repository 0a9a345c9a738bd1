//! What cannot change on a cluster that runs is refused by name, before anything is touched.

use provision::base::Minor;
use provision::host::FakeProcess;
use provision::ops::{Loaded, OperationError};
use serde_json::{Value, json};

use super::upgrade::running;
use super::{Desk, Stage, cluster_file};

/// The refusals of an `up` that must touch nothing.
#[track_caller]
fn refused(stage: &Stage<'_>, loaded: &Loaded) -> String {
    let before = running(stage);
    match stage.up(loaded, &FakeProcess::new()) {
        Err(OperationError::Refused(plan)) => {
            // A node that is new to the file has a machine from then on.
            let after = running(stage);
            assert!(before.iter().all(|line| after.contains(line)), "something was touched: {after:?}");
            plan.refusals
                .iter()
                .map(|refusal| format!("{}: {}; {}\n", refusal.subject, refusal.reason, refusal.hint))
                .collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_every_object_was_made_with_cannot_change() {
    let desk = Desk::new();
    let stage = Stage::new(&desk);
    stage.must(&desk.load(1, 1), "the cluster");
    let both = "services:\n  kube-api: {service_cluster_ip_range: 10.99.0.0/16}\n  kube-controller: {service_cluster_ip_range: 10.99.0.0/16}\n  kubelet: {cluster_dns_server: 10.99.0.10}\n";
    let cases = [
        (both, "service_cluster_ip_range 10.99.0.0/16 instead of 10.43.0.0/16"),
        (
            "services: {kube-controller: {cluster_cidr: 10.98.0.0/16}}\n",
            "cluster_cidr 10.98.0.0/16 instead of 10.42.0.0/16",
        ),
        ("services: {kubelet: {cluster_domain: other.local}}\n", "cluster_domain other.local instead of cluster.local"),
        (
            "services: {kubelet: {cluster_dns_server: 10.43.0.11}}\n",
            "cluster_dns_server 10.43.0.11 instead of 10.43.0.10",
        ),
    ];
    for (rest, named) in cases {
        let text = refused(&stage, &desk.load_with(1, 1, rest));
        assert!(text.contains(named) && text.contains("write ") && text.contains(" again"), "{named}: {text}");
    }
    assert!(refused(&stage, &desk.load_with(1, 1, cases[2].0)).contains("issuer"));
    let (key, without) = (desk.folder.path().join("key"), "network: {plugin: none}\n");
    let file = cluster_file(&key, 1, 1, "");
    let text = refused(&stage, &desk.load_text(&file.replace("network: {plugin: flannel}\n", without)));
    assert!(text.contains("network.plugin none instead of flannel"), "{text}");
    let text = refused(&stage, &desk.load_text(&file.replace("cluster_name: crash", "cluster_name: other")));
    assert!(text.contains("cluster_name other instead of crash"), "{text}");
    let text = refused(&stage, &desk.load_text(&file.replace("hostname_override: h2", "hostname_override: other")));
    assert!(text.contains("remove node h2"), "{text}");
}

#[test]
fn a_version_may_not_be_skipped_and_the_next_one_is_named() {
    let desk = Desk::of(&["v1.24.17", "v1.34.1"]);
    let stage = Stage::new(&desk);
    stage.must(&desk.load_with(1, 0, "kubernetes_version: v1.24.17\n"), "the cluster");
    let text = refused(&stage, &desk.load_with(1, 0, "kubernetes_version: v1.34.1\n"));
    assert!(text.contains("an apiserver may not skip a minor version; upgrade to a version of 1.25 first"), "{text}");
    let next = desk.load(1, 0).catalog.default_version(Minor(25)).unwrap();
    assert!(text.contains(&format!("kubernetes_version: {next}")), "{text}");
}

#[test]
fn what_a_drain_could_never_end_with_is_refused_with_its_pods_before_anything_is_replaced() {
    let desk = Desk::of(&["v1.24.17", "v1.25.4"]);
    let stage = Stage::new(&desk);
    stage.must(&desk.load_with(1, 1, "kubernetes_version: v1.24.17\n"), "the cluster");
    let pod = |name: &str, labels: Value, volumes: Value| {
        let metadata = json!({ "name": name, "namespace": "team", "uid": name, "labels": labels });
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Running"},
            "spec": {"nodeName": "h2", "volumes": volumes},
        })
    };
    stage.world.by_hand(pod("alone", json!({}), json!([])));
    stage.world.by_hand(pod("web", json!({"app": "web"}), json!([{"name": "cache", "emptyDir": {}}])));
    stage.world.by_hand(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "all", "namespace": "team", "generation": 1},
        "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "expectedPods": 1, "desiredHealthy": 1, "observedGeneration": 1},
    }));
    let file = "kubernetes_version: v1.25.4\n";
    let loaded = desk.load_with(1, 1, file);
    let text = refused(&stage, &loaded);
    assert!(text.contains("drain h2: it would never end, however long it waits; do what is said below"), "{text}");
    let Err(OperationError::Refused(plan)) = stage.up(&loaded, &FakeProcess::new()) else { panic!("it was refused") };
    let plan = plan.to_string();
    for line in [
        "blocked: pod team/alone: ",
        "blocked: pod team/web: ",
        "PodDisruptionBudget team/all can never let a pod go: it wants 1 of 1 healthy",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let way_out = format!("{file}upgrade_strategy: {{drain: false}}\n");
    stage.must(&desk.load_with(1, 1, &way_out), "the way that the refusal names");
}

#[test]
fn namespaces_that_could_not_be_read_are_not_left_without_labels() {
    let desk = Desk::of(&["v1.24.17", "v1.25.4"]);
    let stage = Stage::new(&desk);
    stage.must(&desk.load_with(1, 0, "kubernetes_version: v1.24.17\n"), "the cluster");
    for machine in stage.world.machines.lock().unwrap().values() {
        machine.by_hand(|state| state.containers.get_mut("kube-apiserver").unwrap().running = false);
    }
    let text = refused(&stage, &desk.load_with(1, 0, "kubernetes_version: v1.25.4\n"));
    assert!(text.contains("which level of Pod Security each namespace can bear could not be read"), "{text}");
}

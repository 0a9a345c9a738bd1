//! Add-ons that come and go, and what others do to their objects.

use std::collections::BTreeSet;

use provision::host::FakeProcess;
use provision::ops::{OperationError, UpOutcome};
use provision::plan::{Action, Plan};
use serde_json::{Value, json};

use super::{Case, Desk, ONE_NODE, Stage};

/// Everything that has an order: a kind and an object of it, a namespace and what lies in it.
const ADDON: &str = "addons: |
  apiVersion: example.org/v1
  kind: Octopus
  metadata: {name: paul}
  ---
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: team}
  spec: {replicas: 1}
  ---
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: web, namespace: team}
  data: {a: \"1\"}
  ---
  apiVersion: v1
  kind: Namespace
  metadata: {name: team}
  ---
  apiVersion: apiextensions.k8s.io/v1
  kind: CustomResourceDefinition
  metadata: {name: octopodes.example.org}
  spec:
    group: example.org
    scope: Namespaced
    names: {kind: Octopus, plural: octopodes}
    versions: [{name: v1, served: true, storage: true}]
";

const ADDED: Case = Case { name: "an add-on comes", before: Some((1, 0)), nodes: (1, 0), rest: ("", ADDON), calls: 6 };
const REMOVED: Case = Case { name: "an add-on goes", before: Some((1, 0)), nodes: (1, 0), rest: (ADDON, ""), calls: 6 };
const FIRST: Case = Case { name: "one node with an add-on", before: None, nodes: (1, 0), rest: ("", ADDON), calls: 30 };

/// Of each kind of the add-on one object.
const OBJECTS: [(&str, &str); 5] = [
    ("Octopus", "paul"),
    ("Deployment", "web"),
    ("ConfigMap", "web"),
    ("Namespace", "team"),
    ("CustomResourceDefinition", "octopodes.example.org"),
];

#[test]
fn an_add_on_that_comes_survives_a_death_at_every_call() {
    ADDED.dies_at_every_host_call();
}

#[test]
fn an_add_on_that_goes_survives_a_death_at_every_call() {
    REMOVED.dies_at_every_host_call();
}

#[test]
fn a_first_run_with_an_add_on_survives_a_death_at_every_call() {
    FIRST.dies_at_every_host_call();
}

/// A cluster with the add-on.
fn with_addon(desk: &Desk) -> Stage<'_> {
    let (stage, loaded) = FIRST.stage(desk);
    stage.must(&loaded, "the add-on comes");
    for (kind, name) in OBJECTS {
        assert!(stage.world.holds(kind, name), "{kind} {name}");
    }
    stage
}

#[test]
fn an_add_on_that_is_taken_out_of_the_file_is_gone() {
    let desk = Desk::new();
    let stage = with_addon(&desk);
    let without = desk.load(1, 0);
    stage.must(&without, "the add-on goes");
    for (kind, name) in OBJECTS {
        assert!(!stage.world.holds(kind, name), "{kind} {name}");
    }
    assert!(stage.world.holds("Deployment", "coredns"));
    assert_eq!(stage.must(&without, "again"), UpOutcome::NothingToDo);
}

fn config_map(metadata: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}})
}

#[test]
fn what_provision_did_not_make_or_was_told_to_keep_stays() {
    let desk = Desk::new();
    let (stage, loaded) = FIRST.stage(&desk);
    let labels = json!({"app.kubernetes.io/managed-by": "provision"});
    // Somebody else's, though it looks like one of ours.
    stage.world.by_hand(config_map(json!({"name": "stranger", "namespace": "default", "labels": labels})));
    // There before the add-on is.
    stage.must(&desk.load(1, 0), "the cluster");
    stage.world.by_hand(config_map(json!({"name": "web", "namespace": "team"})));
    stage.must(&loaded, "the add-on comes");
    let kept = json!({"provision/keep": "true"});
    let metadata = json!({"name": "web", "namespace": "team", "labels": labels, "annotations": kept});
    stage.world.by_hand(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}));
    let without = desk.load(1, 0);
    let plan = stage.plan(&without).to_string();
    for line in [
        "ConfigMap team/web: kept, it was there before provision took it over",
        "Deployment team/web: kept, it has the annotation provision/keep",
        "Namespace team: kept, provision did not make Deployment team/web, ConfigMap team/web",
        "- delete what is no longer wanted (1 object)",
        "Octopus default/paul: add-on addons is gone",
    ] {
        assert!(plan.contains(line), "{line} is not in\n{plan}");
    }
    stage.must(&without, "the add-on goes");
    for (kind, name) in [("ConfigMap", "stranger"), ("ConfigMap", "web"), ("Deployment", "web"), ("Namespace", "team")]
    {
        assert!(stage.world.holds(kind, name), "{kind} {name}");
    }
    assert!(!stage.world.holds("Octopus", "paul"));
    assert_eq!(stage.must(&without, "again"), UpOutcome::NothingToDo);
}

#[test]
fn an_object_that_is_edited_or_deleted_is_named_and_put_back() {
    let desk = Desk::new();
    let stage = with_addon(&desk);
    let loaded = desk.load_with(1, 0, ADDON);
    stage.world.edit("ConfigMap", "web", "/data/a", json!("2"));
    stage.world.edit("Service", "kube-dns", "/spec/clusterIP", json!("10.43.0.99"));
    stage.world.remove("Octopus", "paul");
    let plan = stage.plan(&loaded).to_string();
    for line in [
        "ConfigMap team/web: data.a is \"2\", wanted \"1\"",
        "Service kube-system/kube-dns: spec.clusterIP is \"10.43.0.99\"",
        "Octopus default/paul: missing",
    ] {
        assert!(plan.contains(line), "{line} is not in\n{plan}");
    }
    stage.must(&loaded, "put back");
    assert!(stage.world.holds("Octopus", "paul"));
    assert_eq!(stage.must(&loaded, "again"), UpOutcome::NothingToDo);
}

#[test]
fn a_field_that_is_taken_out_of_the_file_is_applied_again() {
    let desk = Desk::new();
    let stage = with_addon(&desk);
    let loaded = desk.load_with(1, 0, &ADDON.replace("  data: {a: \"1\"}\n", ""));
    let plan = stage.plan(&loaded).to_string();
    assert!(plan.contains("ConfigMap team/web: provision writes it otherwise than before"), "{plan}");
    stage.must(&loaded, "applied again");
    assert_eq!(stage.must(&loaded, "again"), UpOutcome::NothingToDo);
}

#[test]
fn a_kind_that_nobody_knows_is_refused_by_name() {
    let desk = Desk::new();
    let (stage, _) = ONE_NODE.stage(&desk);
    let unknown = "addons: |\n  apiVersion: example.org/v2\n  kind: Squid\n  metadata: {name: a}\n";
    for what in ["a new cluster", "a living one"] {
        match stage.up(&desk.load_with(1, 0, unknown), &FakeProcess::new()) {
            Err(OperationError::Refused(plan)) => {
                let plan = plan.to_string();
                assert!(
                    plan.contains("objects of kind Squid of example.org/v2: the cluster serves no such kind"),
                    "{plan}"
                );
            }
            other => panic!("{what}: {other:?}"),
        }
        stage.must(&desk.load(1, 0), "the cluster");
    }
}

#[test]
fn an_inventory_that_somebody_has_broken_stops_the_run() {
    let desk = Desk::new();
    let stage = with_addon(&desk);
    stage.world.edit("ConfigMap", "provision-inventory", "/data/objects", json!("[broken"));
    match stage.up(&desk.load(1, 0), &FakeProcess::new()) {
        Err(OperationError::Refused(plan)) => {
            assert!(
                plan.to_string().contains("ConfigMap kube-system/provision-inventory: somebody has changed it"),
                "{plan}"
            );
        }
        other => panic!("{other:?}"),
    }
    stage.world.remove("ConfigMap", "provision-inventory");
    let without = desk.load(1, 0);
    stage.must(&without, "without inventory");
    assert!(stage.world.holds("Deployment", "web"), "nobody knows any more who made it");
    assert_eq!(stage.must(&without, "again"), UpOutcome::NothingToDo);
}

#[test]
fn an_add_on_that_never_gets_ready_is_named_with_its_pods_reasons_and_the_others_finish() {
    let desk = Desk::new();
    let (stage, loaded) = FIRST.stage(&desk);
    let reason = "container main waits: ImagePullBackOff: no such image";
    stage.world.broken.lock().unwrap().insert("coredns".into(), reason.into());
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(error @ OperationError::Incomplete { .. }) => {
            let text = error.to_string();
            let line = format!(
                "cluster/ready/coredns: add-on dns is not ready after 0 s: 0 of 1 pods ready; pod coredns-1 on h1: {reason}"
            );
            assert!(text.contains(&line), "{text}");
            assert!(text.starts_with("1 of the steps failed"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    for (kind, name) in OBJECTS {
        assert!(stage.world.holds(kind, name), "{kind} {name}");
    }
    stage.world.broken.lock().unwrap().clear();
    stage.must(&loaded, "mended");
    assert_eq!(stage.must(&loaded, "again"), UpOutcome::NothingToDo);
}

#[test]
fn an_add_on_of_the_tool_that_does_not_get_ready_is_put_back_as_it_was() {
    let sick = "system_images: {coredns: 'example.org/coredns:sick'}\n";
    let desk = Desk::for_option(sick);
    let case =
        Case { name: "DNS that does not get ready", before: Some((1, 0)), nodes: (1, 0), rest: ("", sick), calls: 6 };
    let (stage, loaded) = case.stage(&desk);
    let image = || {
        let live = stage.world.object("Deployment", "coredns");
        live["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let whole = || {
        let mut live = stage.world.object("Deployment", "coredns");
        live["metadata"]["managedFields"] = Value::Null;
        live
    };
    let before = whole();
    let fails_with = |text: &str| match stage.up(&loaded, &FakeProcess::new()) {
        Err(error @ OperationError::Incomplete { .. }) => assert!(error.to_string().contains(text), "{error}"),
        other => panic!("{other:?}"),
    };
    let breaks = |what: &str| stage.world.broken.lock().unwrap().insert(what.into(), "no such zone".into());
    breaks("coredns:sick");
    fails_with("the old one is back, since the new one failed: add-on dns is not ready after 0 s: 0 of 1 pods ready");
    assert_eq!(whole(), before);
    // One that does not run is put back for nobody.
    breaks("coredns");
    fails_with("cluster/ready/coredns: add-on dns is not ready after 0 s");
    assert_eq!(image(), "example.org/coredns:sick");
    stage.world.broken.lock().unwrap().clear();
    stage.must(&loaded, "mended");
    assert_eq!(image(), "example.org/coredns:sick");
    assert_eq!(stage.must(&loaded, "again"), UpOutcome::NothingToDo);
}

#[test]
fn without_images_of_pods_a_run_ends_with_who_waits_for_which() {
    let whole = Desk::new();
    let desk = Desk { lenient: true, ..Desk::without("flannel:") };
    let (stage, loaded) = ONE_NODE.stage(&desk);
    for _ in ["the first run", "the next one"] {
        match stage.up(&loaded, &FakeProcess::new()) {
            Err(OperationError::MissingImages(missing)) => {
                assert_eq!(missing.len(), 1, "{missing:?}");
                let line = missing[0].to_string();
                let start = "add-on network (DaemonSet kube-system/kube-flannel-ds) waits for image ";
                assert!(line.starts_with(start) && line.ends_with(" on h1"), "{line}");
            }
            other => panic!("{other:?}"),
        }
    }
    // The image has come.
    let with_images = Stage { desk: &whole, world: stage.world.clone(), disk: stage.disk.clone() };
    with_images.must(&loaded, "with the image");
    assert_eq!(with_images.must(&loaded, "again"), UpOutcome::NothingToDo);
}

#[test]
fn an_image_that_no_pod_of_ours_runs_is_never_done_without() {
    let desk = Desk { lenient: true, ..Desk::without("pause") };
    let (stage, loaded) = ONE_NODE.stage(&desk);
    match stage.up(&loaded, &FakeProcess::new()) {
        Err(OperationError::Refused(plan)) => assert!(plan.to_string().contains("pause"), "{plan}"),
        other => panic!("{other:?}"),
    }
}

/// Everything that is done before a step.
fn before(plan: &Plan, id: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![id.to_owned()];
    while let Some(id) = open.pop() {
        let step = plan.steps.iter().find(|step| step.id.0 == id).unwrap_or_else(|| panic!("no step {id}"));
        open.extend(step.after.iter().map(|id| id.0.clone()).filter(|id| found.insert(id.clone())));
    }
    found
}

#[test]
fn objects_are_applied_in_an_order_that_no_node_waits_for_longer_than_it_must() {
    let desk = Desk::new();
    let (stage, loaded) = FIRST.stage(&desk);
    let plan = stage.plan(&loaded);
    let is_before = |one: &str, other: &str| before(&plan, other).contains(one);
    for step in plan.steps.iter().filter(|step| matches!(step.action, Action::Apply(_))) {
        assert!(step.id.0 == "cluster/inventory" || is_before("cluster/inventory", &step.id.0), "{}", step.id);
    }
    for (one, other) in [
        ("cluster/foundation", "cluster/workloads"),
        ("cluster/workloads", "h1/ready"),
        ("cluster/workloads", "addon/addons/definitions"),
        ("addon/kinds", "addon/addons/definitions"),
        ("addon/addons/definitions", "addon/addons/established"),
        ("addon/addons/established", "addon/addons/resources"),
        ("addon/addons/namespaces", "addon/addons/foundation"),
        ("addon/addons/foundation", "addon/addons/workloads"),
        ("addon/addons/workloads", "addon/addons/resources"),
        ("addon/addons/workloads", "addon/addons/ready/Deployment/team/web"),
    ] {
        assert!(is_before(one, other), "{one} is not before {other}");
    }
    let of_addons = |id: &String| id.starts_with("addon/");
    assert_eq!(before(&plan, "h1/ready").into_iter().find(of_addons), None);
}

#[test]
fn deleting_comes_after_everything_else_and_takes_the_other_way() {
    let desk = Desk::new();
    let stage = with_addon(&desk);
    let more = "addons: |\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: other}\n";
    let plan = stage.plan(&desk.load_with(1, 0, more));
    let order = ["addon/addons/foundation", "cluster/delete/resources", "cluster/delete/workloads"]
        .into_iter()
        .chain(["cluster/delete/foundation", "cluster/delete/namespaces", "cluster/delete/definitions"])
        .chain(["cluster/inventory/forget"]);
    let order: Vec<&str> = order.collect();
    for pair in order.windows(2) {
        assert!(before(&plan, pair[1]).contains(pair[0]), "{} is not before {}", pair[0], pair[1]);
    }
    assert!(plan.to_string().contains("ConfigMap team/web: add-on addons no longer has it"), "{plan}");
}

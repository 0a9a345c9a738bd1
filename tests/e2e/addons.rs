//! How add-ons are applied: what is changed by hand is put back, what was not made by the tool is left alone, and what does
//! not get ready is named with the reasons of its pods.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{AGNHOST, Kubectl, Lab, SECOND, V1_24, V1_34, until};

#[test]
fn objects_edited_or_deleted_by_hand_are_named_and_put_back_on_1_34() {
    objects_are_put_back(V1_34);
}

#[test]
#[ignore = "two minutes; the same on 1.34 is above"]
fn objects_edited_or_deleted_by_hand_are_named_and_put_back_on_1_24() {
    objects_are_put_back(V1_24);
}

/// A kind and an object of it, and a Secret whose text is written plainly.
const OCTOPUS: &str = r"addons: |
  apiVersion: apiextensions.k8s.io/v1
  kind: CustomResourceDefinition
  metadata: {name: octopodes.example.org}
  spec:
    group: example.org
    scope: Namespaced
    names: {kind: Octopus, plural: octopodes, singular: octopus}
    versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {arms: {type: integer}}}}
  ---
  apiVersion: example.org/v1
  kind: Octopus
  metadata: {name: paul}
  spec: {arms: 8}
  ---
  apiVersion: v1
  kind: Secret
  metadata: {name: paul}
  stringData: {name: Paul}
";

fn objects_are_put_back(version: &str) {
    let lab = Lab::prepared("1", version);
    let plain = fs::read_to_string(lab.config()).expect("cluster.yml");
    fs::write(lab.config(), format!("{plain}{OCTOPUS}")).expect("cluster.yml");
    lab.tool().up().succeeded();
    lab.tool().finds_nothing_to_do();
    let kubectl = Kubectl::operator(&lab);
    let stranger = stranger();
    kubectl.apply(&stranger).succeeded();

    let system = |arguments: &[&str]| kubectl.run(&[&["-n", "kube-system"], arguments].concat()).succeeded();
    let patch = |what: &[&str], kind: &str, patch: &str| {
        kubectl.run(&[&["patch"], what, &["--type", kind, "-p", patch]].concat()).succeeded();
    };
    // Edited: a role, a number of pods, a container that somebody adds to, a custom object, a Secret.
    patch(&["clusterrole", "provision:admin"], "json", r#"[{"op": "remove", "path": "/rules/1"}]"#);
    system(&["scale", "deployment", "coredns", "--replicas=3"]);
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"kube-flannel","args":["--by-hand"]}]}}}}"#;
    patch(&["-n", "kube-system", "daemonset", "kube-flannel-ds"], "strategic", image);
    patch(&["octopus", "paul"], "merge", r#"{"spec":{"arms":7}}"#);
    patch(&["secret", "paul"], "merge", r#"{"stringData":{"name":"Ringo"}}"#);
    // Deleted: a Service, a binding.
    system(&["delete", "service", "kube-dns"]);
    kubectl.run(&["delete", "clusterrolebinding", "provision:apiserver-to-kubelet"]).succeeded();

    let plan = lab.tool().plan().expect(2);
    for line in [
        "ClusterRole provision:admin: rules is ",
        "Deployment kube-system/coredns: spec.replicas is 3",
        "DaemonSet kube-system/kube-flannel-ds: spec.template.spec.containers[0].args is [\"--by-hand\"]",
        "Octopus default/paul: spec.arms is 7, wanted 8",
        "Secret default/paul: data.name differs (secret)",
        "Service kube-system/kube-dns: missing",
        "ClusterRoleBinding provision:apiserver-to-kubelet: missing",
    ] {
        assert!(plan.has(line), "{line} is not in {plan}");
    }
    assert!(!plan.has("UGF1bA") && !plan.has("Ringo"), "{plan}");
    lab.tool().up().succeeded();
    lab.tool().finds_nothing_to_do();
    assert_eq!(kubectl.json(&["get", "octopus", "paul"])["spec"]["arms"], 8);

    // What is written no more goes, though no field that is still written differs.
    lab.edit_config("  spec: {arms: 8}\n", "");
    lab.tool().plan().expect(2).says("Octopus default/paul: provision writes it otherwise than before");
    lab.tool().up().succeeded();
    assert_eq!(kubectl.json(&["get", "octopus", "paul"])["spec"], Value::Null);
    lab.tool().finds_nothing_to_do();

    taken_out(&lab, &plain, &kubectl, &stranger);
}

/// Somebody else's: it looks like one of ours, but nobody of us has ever applied it.
fn stranger() -> Value {
    let labels = json!({"app.kubernetes.io/managed-by": "provision"});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "stranger", "namespace": "kube-system", "labels": labels},
        "data": {"a": "1"},
    })
}

/// The add-on goes with the file; what others have of its kind stays, and the kind with it.
fn taken_out(lab: &Lab, plain: &str, kubectl: &Kubectl, stranger: &Value) {
    let ringo = json!({"apiVersion": "example.org/v1", "kind": "Octopus", "metadata": {"name": "ringo"}});
    kubectl.apply(&ringo).succeeded();
    kubectl.run(&["annotate", "secret", "paul", "provision/keep=true"]).succeeded();
    fs::write(lab.config(), plain).expect("cluster.yml");
    let plan = lab.tool().plan().expect(2);
    for line in [
        "Octopus default/paul: add-on addons is gone",
        "Secret default/paul: kept, it has the annotation provision/keep",
        "CustomResourceDefinition octopodes.example.org: kept, provision did not make Octopus default/ringo",
    ] {
        assert!(plan.has(line), "{line} is not in {plan}");
    }
    lab.tool().up().succeeded();
    assert!(kubectl.run(&["get", "octopus", "paul"]).has("NotFound"));
    for kept in ["octopus/ringo", "secret/paul"] {
        kubectl.run(&["get", kept]).succeeded();
    }
    assert_eq!(kubectl.json(&["-n", "kube-system", "get", "configmap", "stranger"])["data"], stranger["data"]);
    lab.tool().finds_nothing_to_do();
}

/// One add-on whose image nobody has, one whose program ends, one that nobody may run, and one that is well.
const UNWELL: &str = r"addons: |
  apiVersion: v1
  kind: Namespace
  metadata: {name: unwell}
  ---
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: no-image, namespace: unwell}
  spec:
    selector: {matchLabels: {app: no-image}}
    template:
      metadata: {labels: {app: no-image}}
      spec:
        securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
        containers:
        - name: main
          image: registry.invalid/nobody/has:1
          imagePullPolicy: Never
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  ---
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: crashes, namespace: unwell}
  spec:
    selector: {matchLabels: {app: crashes}}
    template:
      metadata: {labels: {app: crashes}}
      spec:
        securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
        containers:
        - name: main
          image: IMAGE
          imagePullPolicy: Never
          args: [no-such-command]
          # Without it a pod counts as ready for the moment in which its program is there.
          readinessProbe: {httpGet: {path: /, port: 8080}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  ---
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: privileged, namespace: unwell}
  spec:
    selector: {matchLabels: {app: privileged}}
    template:
      metadata: {labels: {app: privileged}}
      spec:
        containers: [{name: main, image: IMAGE, securityContext: {privileged: true}}]
  ---
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: well, namespace: unwell}
";

#[test]
fn an_add_on_that_never_gets_ready_is_named_with_its_pods_reasons_and_the_others_finish() {
    let lab = Lab::prepared("1", V1_34);
    let plain = fs::read_to_string(lab.config()).expect("cluster.yml");
    fs::write(lab.config(), format!("{plain}{}", UNWELL.replace("IMAGE", AGNHOST))).expect("cluster.yml");
    let ran = lab.tool().run(&["up", "--yes", "--step-timeout", "45", "--progress", "json"]).expect(1);
    let failed = |name: &str, words: &[&str]| {
        let step = format!("\"addon/addons/{name}\"");
        let tells = |line: &str| line.contains("\"step-failed\"") && line.contains(&step);
        let is_told = ran.stderr.lines().any(|line| tells(line) && words.iter().all(|words| line.contains(words)));
        assert!(is_told, "{name} with {words:?} is not in {ran}");
    };
    let late = "add-on addons is not ready after 45 s: 0 of 1 pods ready; ";
    let waits = "on h1: container main waits: ErrImageNeverPull";
    failed("ready/Deployment/unwell/no-image", &[late, "pod no-image-", waits]);
    failed("ready/Deployment/unwell/crashes", &[late, "pod crashes-", "unknown command"]);
    assert!(ran.has("is forbidden: violates PodSecurity") && ran.has("3 of the steps failed"), "{ran}");
    let kubectl = Kubectl::operator(&lab);
    kubectl.run(&["-n", "unwell", "get", "configmap", "well"]).succeeded();
    kubectl.await_pods("kube-system", "k8s-app=kube-dns", 1);

    fs::write(lab.config(), &plain).expect("cluster.yml");
    lab.tool().up().succeeded();
    until("the namespace is gone", 180 * SECOND, || {
        let ran = kubectl.run(&["get", "namespace", "unwell"]);
        if ran.has("NotFound") { Ok(()) } else { Err(ran.to_string()) }
    });
    lab.tool().finds_nothing_to_do();
}

#[test]
#[ignore = "a minute; `canal` brings up a cluster without its images"]
fn without_the_network_plugins_images_its_pods_are_admitted_and_wait_for_nothing_else() {
    let lab = Lab::prepared("1", V1_34);
    let listed = lab.script("h1", "ctr -n k8s.io images ls -q | grep flannel");
    lab.script("h1", "ctr -n k8s.io images ls -q | grep flannel | xargs ctr -n k8s.io images rm --sync");
    let cut = bundle_without(&lab, "flannel");
    let tool = lab.tool().without_bundle().with_bundle(&cut);
    tool.up().expect(4).says("flannel");
    let lenient = |command: &[&str]| tool.run(&[command, &["--allow-missing-images"]].concat());
    lenient(&["plan"])
        .expect(2)
        .says("missing: add-on network (DaemonSet kube-system/kube-flannel-ds) waits for image");
    for _ in ["the first run", "the next one"] {
        let ran = lenient(&["up", "--yes"]).expect(6);
        for image in listed.lines().filter(|name| !name.contains("sha256")) {
            let line = format!("add-on network (DaemonSet kube-system/kube-flannel-ds) waits for image {image} on h1");
            assert!(ran.has(&line), "{line} is not in {ran}");
        }
    }
    lab.tool().up().succeeded();
    Kubectl::operator(&lab).await_nodes(&["h1"]);
    lab.tool().finds_nothing_to_do();
}

/// The lab's bundle without the images that have this word in their names. A bundle holds no links, so its files are hard
/// links where the disk allows that.
fn bundle_without(lab: &Lab, word: &str) -> PathBuf {
    let (whole, cut) = (lab.bundle(lab.version()), lab.folder().join("cut"));
    let whole = whole.canonicalize().expect("the bundle");
    let copied = Command::new("cp").arg("-rl").arg(&whole).arg(&cut).status().expect("cp");
    if !copied.success() {
        assert!(Command::new("cp").arg("-rT").arg(&whole).arg(&cut).status().expect("cp").success());
    }
    let text = fs::read_to_string(whole.join("index.json")).expect("the bundle's index");
    let mut index: Value = serde_json::from_str(&text).expect("the bundle's index");
    let items = index["items"].as_array_mut().expect("items");
    items.retain(|item| item["kind"] != "image" || !item["name"].as_str().unwrap_or_default().contains(word));
    // A new file in the place of the one that the whole bundle has, too.
    fs::remove_file(cut.join("index.json")).expect("the index");
    fs::write(cut.join("index.json"), index.to_string()).expect("the index");
    cut
}

//! Snapshots of etcd: taken, verified, refused, restored.

use serde_json::{Value, json};

use crate::harness::{AGNHOST, Kubectl, Lab, Ran, SECOND, V1_24, V1_34, until};

const FOLDER: &str = "/var/lib/provision/snapshots";

fn snapshot(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.tool().run(&[&["etcd", "snapshot"], arguments].concat())
}

fn save(lab: &Lab, name: &str) {
    snapshot(lab, &["save", "--name", name]).succeeded().says("verified");
}

fn restore(lab: &Lab, name: &str) -> Ran {
    snapshot(lab, &["restore", name, "--accept-loss-since", name])
}

fn make_map(kubectl: &Kubectl, name: &str) {
    kubectl.run(&["create", "configmap", name, "--from-literal=a=b"]).succeeded();
}

/// The revision of etcd at which a map was written.
fn revision(kubectl: &Kubectl, map: &str) -> u64 {
    let map = kubectl.json(&["get", "configmap", map]);
    map["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a number")
}

/// One that is kept and deleted after the snapshot, and one that is made after it.
fn live_on(kubectl: &Kubectl) {
    kubectl.run(&["delete", "configmap", "kept"]).succeeded();
    make_map(kubectl, "later");
}

#[track_caller]
fn is_back(lab: &Lab, hosts: &[&str]) {
    let kubectl = Kubectl::operator(lab);
    kubectl.run(&["get", "configmap", "kept"]).succeeded();
    kubectl.run(&["get", "configmap", "later"]).failed().says("NotFound");
    kubectl.await_nodes(hosts);
    // Scheduler, controllers and kubelets see what is new: none of them waits for revisions that never come.
    kubectl.apply(&deployment(hosts.len())).succeeded();
    kubectl.await_pods("kube-system", "app=after", hosts.len());
    until("an empty plan", 90 * SECOND, || {
        let plan = lab.tool().plan().result()?;
        if plan.text() == "Nothing to do." { Ok(()) } else { Err(plan.to_string()) }
    });
    lab.tool().finds_nothing_to_do();
}

fn deployment(replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "after", "namespace": "kube-system"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "after"}},
            "template": {
                "metadata": {"labels": {"app": "after"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "main", "image": AGNHOST, "imagePullPolicy": "Never", "args": ["pause"],
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    }],
                },
            },
        },
    })
}

/// Whatever way it ended, only snapshots and their records are left, for root alone.
#[track_caller]
fn nothing_is_left_over(lab: &Lab, host: &str, snapshots: &[&str]) {
    let modes = lab.script(host, &format!("cd {FOLDER}; stat -c '%n %a %u:%g' . * .[!.]* 2>/dev/null | sort"));
    let mut wanted = vec![". 700 0:0".to_owned()];
    for name in snapshots {
        wanted.extend([format!("{name}.db 600 0:0"), format!("{name}.json 600 0:0")]);
    }
    wanted.sort();
    let mut seen: Vec<&str> = modes.lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, wanted, "{modes}");
    assert_eq!(lab.script(host, "docker ps -a --format '{{.Names}}' | grep ^provision- || true"), "");
}

fn started(lab: &Lab) -> String {
    lab.script("h1", "docker inspect -f '{{.Name}} {{.State.StartedAt}}' etcd kube-apiserver")
}

/// Changes a record with jq's little brother.
fn edit_record(lab: &Lab, name: &str, from: &str, to: &str) {
    lab.script("h1", &format!("grep -q '{from}' {FOLDER}/{name}.json; sed -i 's|{from}|{to}|' {FOLDER}/{name}.json"));
}

#[test]
fn a_restored_snapshot_brings_back_what_was_deleted_and_forgets_what_came_later() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    lab.load_workload_image();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1"]);
    make_map(&kubectl, "kept");
    save(&lab, "first");
    nothing_is_left_over(&lab, "h1", &["first"]);
    snapshot(&lab, &["save", "--name", "first"]).expect(3).says("already");
    snapshot(&lab, &["verify"]).succeeded().says("first can be restored from h1");
    let list: Value = serde_json::from_str(&snapshot(&lab, &["list", "--json"]).succeeded().stdout).expect("JSON");
    assert_eq!(list["snapshots"][0]["whole_on"], json!(["h1"]), "{list}");
    let text = lab.script("h1", &format!("cat {FOLDER}/first.json"));
    assert!(!text.contains("PRIVATE") && text.contains("encryption_key"), "{text}");

    live_on(&kubectl);
    let forgotten = revision(&kubectl, "later");
    let before = started(&lab);
    snapshot(&lab, &["restore", "first"]).expect(4).says("--accept-loss-since");
    snapshot(&lab, &["restore", "first", "--accept-loss-since", "other"]).expect(3);
    snapshot(&lab, &["restore", "nothing", "--accept-loss-since", "nothing"]).expect(3).says("there are: first");
    assert_eq!(started(&lab), before, "something was restarted");

    // Killed with everything stopped, and no data moved yet: it is given up.
    let mut running = lab.tool().start(&["etcd", "snapshot", "restore", "first", "--accept-loss-since", "first"]);
    running.read_until(&["step-started", "h1/etcd/stop"]);
    running.kill();
    lab.tool().up().expect(4).says("restore --abort");
    snapshot(&lab, &["restore", "--abort"]).succeeded().says("goes on with the data that it had");
    kubectl.run(&["get", "configmap", "later"]).succeeded();
    assert_eq!(lab.script("h1", "ls /var/lib/etcd").trim(), "member");
    snapshot(&lab, &["restore", "--abort"]).expect(4).says("no restore of etcd is under way");
    lab.tool().finds_nothing_to_do();

    restore(&lab, "first").succeeded().says("is back at snapshot first");
    is_back(&lab, &["h1"]);
    // Nobody who watched from there takes what is new for what it knows.
    make_map(&kubectl, "new");
    assert!(revision(&kubectl, "new") > forgotten + 900_000_000, "revisions come twice");
    lab.etcdctl("h1", &format!("get /registry/configmaps/default/later --rev={forgotten}")).failed().says("compacted");
    nothing_is_left_over(&lab, "h1", &["first"]);
    let kept = lab.script("h1", "stat -c '%u:%g %a' /var/lib/etcd/member /var/lib/etcd/before-restore-*/member");
    assert_eq!(kept.trim(), "52034:52034 700\n52034:52034 700");
    // And once more: what a restore leaves is a whole etcd, of which snapshots can be taken.
    save(&lab, "second");
}

#[test]
fn a_damaged_or_foreign_snapshot_is_refused_and_nothing_is_touched() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    for name in
        ["flipped", "cut", "patched", "foreign", "newer", "lost-key", "other-canary", "other-hash", "other-revision"]
    {
        save(&lab, name);
    }
    let flip = |name: &str| {
        lab.script("h1", &format!("printf '\\125' | dd of={FOLDER}/{name}.db bs=1 seek=9000 conv=notrunc status=none"));
    };
    flip("flipped");
    lab.script("h1", &format!("truncate -s -4096 {FOLDER}/cut.db"));
    // Somebody who puts the digest right as well: etcd's own hash still tells.
    flip("patched");
    let digest = lab.script("h1", &format!("sha256sum {FOLDER}/patched.db | cut -d' ' -f1"));
    edit_record(
        &lab,
        "patched",
        "\"sha256\": \"sha256:[0-9a-f]*\"",
        &format!("\"sha256\": \"sha256:{}\"", digest.trim()),
    );
    edit_record(&lab, "foreign", "\"token\": \"[^\"]*\"", "\"token\": \"other-1\"");
    edit_record(&lab, "newer", "\"version\": \"3[^\"]*\"", "\"version\": \"3.9.0\"");
    let key = "\"encryption_key\": \"sha256:[0-9a-f]*\"";
    edit_record(&lab, "lost-key", key, &format!("\"encryption_key\": \"sha256:{}\"", "0".repeat(64)));

    // Records that are not of their files.
    edit_record(&lab, "other-canary", "\"canary\": \"[^\"]*\"", "\"canary\": \"another\"");
    edit_record(&lab, "other-hash", "\"hash\": [0-9]*", "\"hash\": 7");
    edit_record(&lab, "other-revision", "\"revision\": [0-9]*", "\"revision\": 7");

    let before = started(&lab);
    for (name, reason) in [
        ("flipped", "its digest is"),
        ("cut", "damaged"),
        ("patched", "the hash that etcd has put at its end does not fit its bytes"),
        ("foreign", "etcd's token is other-1 instead of"),
        ("newer", "etcd 3.9.0 made it, which is newer"),
        ("lost-key", "no apiserver could read them"),
        ("other-canary", "instead of `another`"),
        ("other-hash", "is damaged: its hash is"),
        ("other-revision", "is damaged: its revision is"),
    ] {
        restore(&lab, name).expect(4).says(reason).says("nothing of the cluster was touched");
    }
    for name in ["flipped", "cut", "patched", "newer"] {
        snapshot(&lab, &["verify", name]).expect(2).says(&format!("{name} on h1: "));
    }
    snapshot(&lab, &["list"]).expect(2).says("damaged on h1");
    assert_eq!(started(&lab), before, "something was restarted");
    let names =
        ["cut", "flipped", "foreign", "lost-key", "newer", "patched", "other-canary", "other-hash", "other-revision"];
    nothing_is_left_over(&lab, "h1", &names);
    lab.tool().finds_nothing_to_do();
}

#[test]
#[ignore = "three nodes for two minutes; one member is restored by the case above, and every point of a restore against fakes"]
fn three_members_come_up_from_one_file_and_a_killed_restore_is_gone_on_with() {
    let lab = Lab::prepared("3", V1_34);
    let hosts = ["h1", "h2", "h3"];
    lab.tool().up().succeeded();
    lab.load_workload_image();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&hosts);
    make_map(&kubectl, "kept");
    save(&lab, "first");
    let digests = hosts.map(|host| lab.script(host, &format!("sha256sum {FOLDER}/first.db")));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    live_on(&kubectl);
    lab.script("h2", &format!("rm {FOLDER}/first.*"));
    lab.script("h3", &format!("truncate -s -1 {FOLDER}/first.db"));
    snapshot(&lab, &["list"]).expect(2).says("damaged on h3").says("missing on h2");

    let mut running = lab.tool().start(&["etcd", "snapshot", "restore", "first", "--accept-loss-since", "first"]);
    running.read_until(&["step-started", "h2/etcd/restore"]);
    running.kill();
    lab.tool().up().expect(4).says("the restore of etcd snapshot first was begun and is not finished");
    lab.command(&["reboot", "h3"]).succeeded();
    until("h3 after its reboot", 90 * SECOND, || lab.try_script("h3", "docker info >/dev/null 2>&1").result());
    let policy = lab
        .script("h3", "docker inspect -f '{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}' etcd kube-apiserver");
    assert_eq!(policy.trim(), "false no\nfalse no", "a reboot has started what must wait");
    until("the restore again", 180 * SECOND, || restore(&lab, "first").result());
    is_back(&lab, &hosts);
    for host in hosts {
        nothing_is_left_over(&lab, host, &["first"]);
        assert_eq!(lab.script(host, "ls -d /var/lib/etcd/before-restore-* | wc -l").trim(), "1");
    }
    snapshot(&lab, &["verify", "first"]).succeeded();
}

#[test]
#[ignore = "the same with the older etcd"]
fn etcd_of_kubernetes_1_24_is_restored_too() {
    let lab = Lab::prepared("1", V1_24);
    lab.tool().up().succeeded();
    lab.load_workload_image();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1"]);
    make_map(&kubectl, "kept");
    save(&lab, "first");
    live_on(&kubectl);
    restore(&lab, "first").succeeded();
    is_back(&lab, &["h1"]);
}

//! A worker that joins, and what its credentials are good for.

use serde_json::Value;

use crate::harness::{Kubectl, Lab, Picture, V1_34};

#[test]
fn a_worker_added_to_cluster_yml_joins_and_reaches_neither_etcd_nor_other_nodes_secrets() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    let before = Picture::of_containers(&lab, "h1");
    lab.grow("1+1");
    lab.tool().plan().expect(2).says("h2").says("start container kube-proxy");
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1", "h2"]);
    lab.tool().finds_nothing_to_do();
    Picture::of_containers(&lab, "h1").is_as(&before);
    carries_no_control_plane(&lab);
    cannot_read_secrets_of_others(&lab, &kubectl);
    reaches_no_etcd(&lab);
}

#[test]
#[ignore = "three minutes with four nodes; what waits for what is tried in plans, and the watch against a clock that is moved"]
fn a_canary_is_watched_before_two_workers_follow_at_once_and_the_operators_cordon_stays() {
    let lab = Lab::prepared("1+3", V1_34);
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1", "h2", "h3", "h4"]);
    kubectl.run(&["cordon", "h4"]).succeeded();
    let strategy = "{canary: 1, soak: 20s, max_unavailable_worker: 2, drain: true, on_failure: rollback, node_drain_input: {delete_local_data: true}}";
    lab.edit_config("network:\n", &format!("upgrade_strategy: {strategy}\nnetwork:\n"));
    lab.edit_config("    config:\n", "    config:\n      maxPods: 100\n");
    is_stopped_while_a_node_is_emptied(&lab, &kubectl);
    let events = lab.tool().start_up().finish();
    let find = |event: &str, step: &str| {
        let is_it = |line: &String| line.contains(&format!("\"{event}\"")) && line.contains(&format!("\"{step}\""));
        events.iter().position(is_it).unwrap_or_else(|| panic!("no {event} of {step} in {}", events.concat()))
    };
    let unit = |host: &str| format!("{host}/unit/kubelet.service");
    let order = [
        find("step-done", "h1/uncordon"),
        find("step-started", "h2/cordon"),
        find("step-done", &unit("h2")),
        find("step-done", "cluster/soak"),
        find("step-started", "h3/cordon").min(find("step-started", "h4/drain")),
        find("step-started", &unit("h3")).max(find("step-started", &unit("h4"))),
        find("step-done", &unit("h3")).min(find("step-done", &unit("h4"))),
    ];
    assert!(order.is_sorted(), "{order:?} in {}", events.concat());
    let soak: Value = serde_json::from_str(&events[order[3]]).expect("JSON");
    assert!(soak["milliseconds"].as_u64().is_some_and(|time| time >= 20_000), "{soak}");
    for host in ["h1", "h2", "h3", "h4"] {
        let node = kubectl.json(&["get", "node", host]);
        assert_eq!(node["spec"]["unschedulable"] == true, host == "h4", "{node}");
        assert_eq!(node["status"]["capacity"]["pods"], "100", "{node}");
    }
    lab.tool().finds_nothing_to_do();
}

/// Ctrl-C is no failure: nothing is taken back, and the node takes pods again.
fn is_stopped_while_a_node_is_emptied(lab: &Lab, kubectl: &Kubectl) {
    let mut running = lab.tool().start_up();
    running.read_until(&["step-started", "h1/drain"]);
    let (code, said) = running.interrupt();
    assert_eq!(code, Some(130));
    assert!(!said.contains("Taking back"), "{said}");
    for host in ["h1", "h2", "h3", "h4"] {
        let node = kubectl.json(&["get", "node", host]);
        assert_eq!(node["spec"]["unschedulable"] == true, host == "h4", "{node}");
        assert_eq!(node["status"]["capacity"]["pods"], "110", "{node}");
    }
}

fn carries_no_control_plane(lab: &Lab) {
    let names = lab.script("h2", "docker ps -a --format '{{.Names}}' | sort | paste -sd' '");
    assert_eq!(names.trim(), "api-proxy kube-proxy");
    let keys = lab.script("h2", "find / -xdev -name '*.key' -path '*kubernetes*'");
    for secret in ["etcd", "apiserver", "controller-manager", "scheduler", "ca.key", "service-account"] {
        assert!(!keys.contains(secret), "a worker holds {secret}: {keys}");
    }
}

/// NodeRestriction and the Node authorizer: a kubelet sees Secrets of pods on its own node only.
fn cannot_read_secrets_of_others(lab: &Lab, kubectl: &Kubectl) {
    kubectl
        .run(&["-n", "default", "create", "secret", "generic", "of-another", "--from-literal=key=value"])
        .succeeded();
    lab.send("h2", &Kubectl::program(lab), "/root/kubectl");
    let kubelet = |arguments: &str| {
        let config = r"$(tr '\0' '\n' </proc/$(pidof kubelet)/cmdline | sed -n 's/^--kubeconfig=//p')";
        lab.try_script("h2", &format!("/root/kubectl --kubeconfig \"{config}\" {arguments}"))
    };
    kubelet("get node h2 -o name").succeeded().says("node/h2");
    kubelet("-n default get secret of-another").failed().says("Forbidden");
    kubelet("-n kube-system get secrets").failed().says("Forbidden");
    kubelet("label node h1 mine=true").failed().says("orbidden");
}

fn reaches_no_etcd(lab: &Lab) {
    let etcd = format!("{}:2379", lab.address("h1"));
    let ask = |host: &str, certificate: &str, key: &str| {
        let request = format!(
            "printf 'GET /version HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -connect {etcd} -cert {certificate} -key {key} 2>&1 || true"
        );
        lab.script(host, &request)
    };
    // The member's own certificate shows that the question can be answered.
    let argument = |name: &str| {
        let script = format!(
            "docker inspect -f '{{{{range .Args}}}}{{{{println .}}}}{{{{end}}}}' etcd | sed -n 's/^--{name}=//p'"
        );
        lab.script("h1", &script).trim().to_owned()
    };
    let own = ask("h1", &argument("cert-file"), &argument("key-file"));
    assert!(own.contains("etcdserver"), "{own}");
    let pairs = lab.script("h2", "find /etc/kubernetes /var/lib/kubelet -name '*.crt' | while read -r crt; do if [ -e \"${crt%.crt}.key\" ]; then echo \"${crt%.crt}\"; fi; done");
    assert!(pairs.lines().count() >= 2, "a worker has a kubelet's and a kube-proxy's certificate: {pairs}");
    for pair in pairs.lines() {
        let answer = ask("h2", &format!("{pair}.crt"), &format!("{pair}.key"));
        assert!(!answer.contains("etcdserver") && answer.contains("alert"), "etcd's answer to {pair}: {answer}");
    }
}

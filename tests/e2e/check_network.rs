//! `check network` on real nodes with a real overlay: what works, what does not and why, and that nothing is left.

use serde_json::{Value, json};

use crate::harness::{AGNHOST, Kubectl, Lab, Ran, SECOND, V1_24, V1_34, until};

#[test]
fn a_network_check_is_green_on_three_nodes_and_names_the_pair_whose_port_is_blocked() {
    let lab = cluster("3", V1_34);
    let ran = check(&lab, &[], 0);
    for (check, status, passed, tested) in [
        ("pod-to-pod", "ok", 6, 6),
        ("node-to-pod", "ok", 9, 9),
        ("cluster-ip", "ok", 9, 9),
        ("node-port", "ok", 9, 9),
        ("dns", "ok", 3, 3),
        ("dns-outside", "not-tested", 0, 0),
        ("network-policy", "not-enforced", 0, 3),
    ] {
        let line = line(&ran, check);
        assert_eq!(
            (&line["status"], &line["passed"], &line["tested"]),
            (&json!(status), &json!(passed), &json!(tested)),
            "{check}: {}",
            found(&ran)
        );
    }
    // VXLAN takes 50 bytes of what the lab's network carries.
    let carried: u64 = lab.script("h1", "cat /sys/class/net/eth0/mtu").trim().parse().expect("a number");
    let each = json!({"h1": carried - 50, "h2": carried - 50, "h3": carried - 50});
    assert_eq!(result(&ran)["mtu"], each, "{}", found(&ran));
    lab.tool().run(&["check", "network"]).succeeded().says("flannel enforces no NetworkPolicy");
    nothing_is_left(&lab);
    lab.tool().finds_nothing_to_do();

    with_rule(&lab, "h3", "-p udp --dport 8472 -j DROP", || {
        let ran = check(&lab, &[], 2);
        let findings = &result(&ran)["findings"];
        assert_eq!(findings.as_array().map(Vec::len), Some(1), "the rest follows from it: {}", found(&ran));
        assert_eq!(findings[0]["cause"], "overlay-blocked", "{}", found(&ran));
        assert_eq!(findings[0]["suspect"], "h3");
        let pair = |from: &str, to: &str| json!({"from": from, "to": to});
        let pairs = json!([pair("h1", "h3"), pair("h2", "h3"), pair("h3", "h1"), pair("h3", "h2")]);
        assert_eq!(findings[0]["pairs"], pairs);
        let text = lab.tool().run(&["check", "network"]).expect(2);
        text.says("problem: h1 -> h3, h2 -> h3, h3 -> h1, h3 -> h2").says("UDP port 8472 (VXLAN) is blocked at h3");
    });
    with_rule(&lab, "h3", "-p udp --dport 8472 -m length --length 1300: -j DROP", || {
        let ran = check(&lab, &[], 2);
        let first = &result(&ran)["findings"][0];
        assert_eq!((&first["cause"], &first["suspect"]), (&json!("mtu"), &json!("h3")), "{}", found(&ran));
    });
    check(&lab, &["--outside", "name.invalid"], 2).says("outside-name");
    check(&lab, &[], 0);
    nothing_is_left(&lab);
}

#[test]
#[ignore = "two minutes; every end of a check is tried against fakes"]
fn a_network_check_leaves_nothing_behind_however_it_ends() {
    let lab = cluster("3", V1_34);
    let mut killed = lab.tool().start(&["check", "network"]);
    killed.read_until(&["waiting for"]);
    killed.kill();
    assert_eq!(namespaces(&lab).len(), 1, "what a killed check leaves is there to be found");

    let mut stopped = lab.tool().start(&["check", "network"]);
    stopped.read_until(&["trying connections"]);
    assert_eq!(stopped.interrupt().0, Some(130));
    assert_eq!(namespaces(&lab).len(), 1, "a check that is stopped removes what is its own");

    let ran = check(&lab, &[], 0);
    ran.says("which an earlier check had left");
    nothing_is_left(&lab);

    let (mut one, mut other) = (lab.tool().start(&["check", "network"]), lab.tool().start(&["check", "network"]));
    while one.next().is_some() {}
    while other.next().is_some() {}
    one.wait_well();
    other.wait_well();
    nothing_is_left(&lab);

    check(&lab, &["--timeout", "1"], 1).says("the check was not over after 1 s");
    nothing_is_left(&lab);

    lab.script("h2", &format!("ctr -n k8s.io images rm {AGNHOST}"));
    check(&lab, &[], 1).says(&format!("the image of the test pods, {AGNHOST}, is missing: h2: ")).says("--image");
    nothing_is_left(&lab);
    let tool = lab.tool().with_bundle(&lab.bundle("workload"));
    tool.run(&["check", "network"]).succeeded().says("loading").says("into containerd of h2");
    nothing_is_left(&lab);
}

#[test]
#[ignore = "a minute; three nodes of 1.34 are checked above"]
fn one_node_of_the_oldest_version_is_checked_too() {
    let lab = cluster("1", V1_24);
    let ran = check(&lab, &[], 0);
    assert_eq!(line(&ran, "pod-to-pod")["status"], "not-tested", "{ran}");
    assert_eq!(line(&ran, "dns")["status"], "ok", "{ran}");
    nothing_is_left(&lab);
}

/// Without metrics: an aggregated API that does not answer keeps namespaces from going.
fn cluster(hosts: &str, version: &str) -> Lab {
    let lab = Lab::prepared(hosts, version);
    lab.edit_config("network:\n", "monitoring:\n  provider: none\nnetwork:\n");
    lab.tool().up().succeeded();
    lab.load_workload_image();
    lab
}

/// Runs a check that must end with this exit code.
#[track_caller]
fn check(lab: &Lab, more: &[&str], code: i32) -> Ran {
    let ran = lab.tool().run(&[&["check", "network", "--json"], more].concat());
    assert_eq!(ran.code, Some(code), "{}\n{ran}", found(&ran));
    ran
}

/// What a check has found, in a line: the whole of its output goes on for screens.
fn found(ran: &Ran) -> String {
    let result: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    format!("findings {}, failures {}", result["findings"], result["failures"])
}

fn result(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

fn line(ran: &Ran, check: &str) -> Value {
    let result = result(ran);
    let lines = result["checks"].as_array().expect("a list");
    lines.iter().find(|line| line["check"] == check).unwrap_or_else(|| panic!("no {check}: {ran}")).clone()
}

/// The namespaces of checks.
fn namespaces(lab: &Lab) -> Vec<Value> {
    let found = Kubectl::operator(lab).json(&["get", "namespaces", "-l", "provision/check=network"]);
    found["items"].as_array().expect("a list").clone()
}

#[track_caller]
fn nothing_is_left(lab: &Lab) {
    assert_eq!(namespaces(lab), [] as [Value; 0]);
}

/// Lets a rule of iptables hold on what comes in to a host, as long as something is tried.
fn with_rule(lab: &Lab, host: &str, rule: &str, attempt: impl FnOnce()) {
    lab.script(host, &format!("iptables -w -I INPUT {rule}"));
    attempt();
    lab.script(host, &format!("iptables -w -D INPUT {rule}"));
    until("CoreDNS after the rule is gone", 60 * SECOND, || {
        let ran = Kubectl::operator(lab).run(&[
            "-n",
            "kube-system",
            "wait",
            "--for=condition=Available",
            "deployment/coredns",
        ]);
        ran.result()
    });
}

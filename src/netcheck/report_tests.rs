//! What the operator reads.

use super::super::{PolicySeen, Setting};
use super::*;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn seen() -> Observations {
    let setting = Setting {
        plugin: "flannel".into(),
        vxlan_port: Some(8472),
        enforces_policy: Some(false),
        name_server: "10.43.0.10".into(),
    };
    let mut seen = Observations::new(setting);
    let (h1, h2) = (node("h1"), node("h2"));
    for pair in [Pair::new(&h1, &h2), Pair::new(&h2, &h1)] {
        seen.note(Probe::Tcp, pair.clone(), Outcome::Answered);
        seen.note(Probe::TcpFull, pair.clone(), Outcome::Answered);
        seen.note(Probe::Udp, pair, Outcome::Answered);
    }
    seen.mtu.extend([(h1, 1450), (h2.clone(), 1450)]);
    let answered = Outcome::Answered;
    seen.policy = vec![PolicySeen { node: h2, denied: answered.clone(), allowed: answered }];
    seen
}

fn report(seen: &Observations) -> NetworkReport {
    NetworkReport::of("lab", &Coverage::of(&[node("h1"), node("h2")], 0), seen, 4_260)
}

fn status(report: &NetworkReport, check: &str) -> Status {
    report.checks.iter().find(|line| line.check == check).unwrap().status
}

#[test]
fn a_network_that_works_fits_on_one_screen() {
    let report = report(&seen());
    assert!(report.works);
    let expected = "\
Network of cluster lab: 2 of 2 pairs of nodes, MTU of pods 1450
  ok            pod-to-pod          2 of 2  TCP and UDP, short and with full packets
  not tested    node-to-pod              -  no pod runs
  not tested    cluster-ip               -  no pod runs
  not tested    node-port                -  no pod runs
  not tested    dns                      -  no pod runs
  not tested    dns-outside              -  not asked for (--outside NAME)
  not enforced  network-policy      0 of 1  flannel enforces no NetworkPolicy: such objects do nothing
Everything that was tried works (4.2 s).
";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn a_pair_that_fails_is_named_with_the_likely_cause() {
    let mut seen = seen();
    seen.note(Probe::UdpFull, Pair::new(&node("h1"), &node("h2")), Outcome::Silent);
    seen.note(Probe::TcpFull, Pair::new(&node("h1"), &node("h2")), Outcome::Silent);
    let report = report(&seen);
    assert!(!report.works);
    assert_eq!(status(&report, "pod-to-pod"), Status::Failed);
    let text = report.to_string();
    assert!(text.contains("FAILED        pod-to-pod          1 of 2"), "{text}");
    assert!(text.contains("problem: h1 -> h2: short packets pass"), "{text}");
    assert!(text.ends_with("The network does not work everywhere (4.2 s).\n"), "{text}");
}

#[test]
fn json_keeps_its_names() {
    let mut seen = seen();
    seen.note(Probe::UdpFull, Pair::new(&node("h1"), &node("h2")), Outcome::TooLong);
    let value = serde_json::to_value(report(&seen)).unwrap();
    let names: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(names, ["cluster", "works", "milliseconds", "coverage", "mtu", "checks", "findings", "failures"]);
    assert_eq!(value["checks"][0]["status"], "failed");
    assert_eq!(value["findings"][0]["cause"], "mtu-hidden");
    assert_eq!(value["findings"][0]["pairs"], serde_json::json!([{ "from": "h1", "to": "h2" }]));
    let failure =
        serde_json::json!({ "probe": "udp-full", "from": "h1", "to": "h2", "outcome": "too long for the way" });
    assert_eq!(value["failures"], serde_json::json!([failure]));
}

#[test]
fn policy_counts_only_where_a_policy_can_be_seen() {
    let mut seen = seen();
    seen.setting.enforces_policy = Some(true);
    assert_eq!(status(&report(&seen), "network-policy"), Status::Failed);
    seen.policy[0].denied = Outcome::Silent;
    assert_eq!(status(&report(&seen), "network-policy"), Status::Ok);
    seen.policy.clear();
    assert_eq!(status(&report(&seen), "network-policy"), Status::NotTested);
}

#[test]
fn many_places_are_counted() {
    let pairs = vec![Pair::new(&node("h1"), &node("h2")); 10];
    assert!(places(&pairs).ends_with("h1 -> h2, and 2 more"));
    assert_eq!(places(&[Pair::new(&node("h1"), &node("h1"))]), "h1");
}

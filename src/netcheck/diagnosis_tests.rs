//! Each row of the table by an observation that only it explains.

use super::super::{NameServers, PolicySeen, Setting};
use super::*;

const PROBES: [Probe; 6] = [Tcp, TcpFull, Udp, UdpFull, NodeTcp, NodeTcpFull];

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn pair(from: &str, to: &str) -> Pair {
    Pair::new(&node(from), &node(to))
}

/// Three nodes on which everything works; flannel.
fn healthy() -> Observations {
    let setting = Setting {
        plugin: "flannel".into(),
        vxlan_port: Some(8472),
        enforces_policy: Some(false),
        name_server: "10.43.0.10".into(),
    };
    let mut seen = Observations::new(setting);
    seen.name_servers = NameServers { ready: 2, nodes: vec![node("h1"), node("h2")] };
    for from in ["h1", "h2", "h3"] {
        seen.mtu.insert(node(from), 1450);
        seen.note(Probe::OwnPod, pair(from, from), Outcome::Answered);
        seen.note(Probe::Name, pair(from, from), Outcome::Answered);
        for to in ["h1", "h2", "h3"] {
            for probe in [ClusterIp, NodeClusterIp, Probe::NodePort] {
                seen.note(probe, pair(from, to), Outcome::Answered);
            }
            if from != to {
                for probe in PROBES.into_iter().chain([Nodes]) {
                    seen.note(probe, pair(from, to), Outcome::Answered);
                }
            }
        }
    }
    seen
}

/// Lets probes fail between one node and all others, in both directions.
fn cut(seen: &mut Observations, cut: &str, probes: &[Probe]) {
    for other in ["h1", "h2", "h3"].into_iter().filter(|other| *other != cut) {
        for probe in probes {
            seen.note(*probe, pair(cut, other), Outcome::Silent);
            seen.note(*probe, pair(other, cut), Outcome::Silent);
        }
    }
}

/// The causes with the connections that they explain.
fn causes(seen: &Observations) -> Vec<(Cause, Vec<String>)> {
    diagnose(seen)
        .into_iter()
        .map(|found| (found.cause, found.pairs.iter().map(ToString::to_string).collect()))
        .collect()
}

fn all_of_h3() -> Vec<String> {
    ["h1 -> h3", "h2 -> h3", "h3 -> h1", "h3 -> h2"].map(str::to_owned).to_vec()
}

#[test]
fn nothing_is_found_where_everything_works() {
    assert_eq!(causes(&healthy()), []);
}

#[test]
fn a_blocked_vxlan_port_explains_everything_that_follows_from_it() {
    let mut seen = healthy();
    cut(&mut seen, "h3", &PROBES);
    cut(&mut seen, "h3", &[ClusterIp, NodeClusterIp]);
    seen.note(Probe::Name, pair("h3", "h3"), Outcome::NameSilent);
    seen.note(Probe::NodePort, pair("h1", "h3"), Outcome::Silent);
    seen.note(Probe::NodePort, pair("h3", "h3"), Outcome::Silent);
    assert_eq!(causes(&seen), [(Cause::OverlayBlocked, all_of_h3())]);
    let found = &diagnose(&seen)[0];
    assert_eq!(found.suspect, Some(node("h3")));
    assert!(found.likely.starts_with("UDP port 8472 (VXLAN) is blocked at h3"), "{}", found.likely);
}

#[test]
fn nodes_that_do_not_reach_each_other_are_no_trouble_of_the_overlay() {
    let mut seen = healthy();
    cut(&mut seen, "h3", &PROBES);
    cut(&mut seen, "h3", &[Nodes]);
    assert_eq!(causes(&seen), [(Cause::NodesApart, all_of_h3())]);
}

#[test]
fn each_combination_between_two_nodes_has_its_cause() {
    let one = |probes: &[Probe]| {
        let mut seen = healthy();
        probes.iter().for_each(|probe| seen.note(*probe, pair("h1", "h2"), Outcome::Silent));
        causes(&seen)
    };
    for (failing, cause) in [
        (vec![Tcp, TcpFull, Udp, UdpFull], Cause::Forwarding),
        (vec![Tcp, TcpFull], Cause::TcpChecksum),
        (vec![Udp, UdpFull], Cause::UdpBlocked),
        (vec![TcpFull, UdpFull], Cause::Mtu),
        (vec![TcpFull, UdpFull, NodeTcpFull], Cause::Mtu),
        (vec![UdpFull], Cause::MtuHidden),
        (vec![NodeTcp, NodeTcpFull], Cause::NodeRoute),
        (vec![NodeTcpFull], Cause::Mtu),
    ] {
        assert_eq!(one(&failing), [(cause, vec!["h1 -> h2".to_owned()])], "{failing:?}");
    }
    assert_eq!(one(&[Nodes]), [], "a closed kubelet port alone is no trouble of pods");
}

#[test]
fn a_router_that_names_the_smaller_size_is_a_finding_too() {
    let mut seen = healthy();
    seen.note(UdpFull, pair("h1", "h2"), Outcome::TooLong);
    assert_eq!(causes(&seen), [(Cause::MtuHidden, vec!["h1 -> h2".to_owned()])]);
    assert!(diagnose(&seen)[0].likely.contains("1450"));
}

#[test]
fn each_combination_at_a_service_has_its_cause() {
    for (failing, cause) in [
        (vec![ClusterIp, NodeClusterIp], Cause::KubeProxy),
        (vec![NodeClusterIp], Cause::ServiceChecksum),
        (vec![ClusterIp], Cause::BridgeFilter),
    ] {
        let mut seen = healthy();
        failing.iter().for_each(|probe| seen.note(*probe, pair("h2", "h1"), Outcome::Refused));
        assert_eq!(causes(&seen), [(cause, vec!["h2 -> h1".to_owned()])], "{failing:?}");
    }
}

#[test]
fn a_kube_proxy_that_is_out_of_sync_explains_names_and_node_ports() {
    let mut seen = healthy();
    for to in ["h1", "h2", "h3"] {
        seen.note(ClusterIp, pair("h2", to), Outcome::Silent);
        seen.note(NodeClusterIp, pair("h2", to), Outcome::Silent);
        seen.note(Probe::NodePort, pair(to, "h2"), Outcome::Refused);
    }
    seen.note(Probe::Name, pair("h2", "h2"), Outcome::NameSilent);
    let found = diagnose(&seen);
    assert_eq!(found.iter().map(|found| found.cause).collect::<Vec<_>>(), [Cause::KubeProxy]);
    assert_eq!(found[0].suspect, Some(node("h2")));
}

#[test]
fn a_service_without_endpoints_is_no_fault_of_kube_proxy() {
    let mut seen = healthy();
    cut(&mut seen, "h3", &[ClusterIp, NodeClusterIp]);
    seen.note(Probe::NodePort, pair("h1", "h3"), Outcome::Refused);
    seen.without_endpoint = vec!["service-2".into()];
    assert_eq!(causes(&seen), [(Cause::NoEndpoints, vec![])]);
}

#[test]
fn a_node_port_that_works_at_home_only_is_blocked() {
    let mut seen = healthy();
    seen.note(Probe::NodePort, pair("h1", "h2"), Outcome::Silent);
    seen.note(Probe::NodePort, pair("h3", "h2"), Outcome::Silent);
    assert_eq!(causes(&seen), [(Cause::NodePortBlocked, vec!["h1 -> h2".into(), "h3 -> h2".into()])]);
    seen.note(Probe::NodePort, pair("h2", "h2"), Outcome::Silent);
    assert_eq!(causes(&seen)[0].0, Cause::KubeProxy);
}

#[test]
fn names_have_causes_of_their_own() {
    let named = |outcome: Outcome, ready: usize| {
        let mut seen = healthy();
        seen.name_servers.ready = ready;
        seen.note(Probe::Name, pair("h1", "h1"), outcome);
        causes(&seen)
    };
    let h1 = || vec!["h1 -> h1".to_owned()];
    assert_eq!(named(Outcome::NameSilent, 2), [(Cause::NameServerSilent, h1())]);
    assert_eq!(named(Outcome::NameUnknown, 2), [(Cause::NameUnknown, h1())]);
    assert_eq!(named(Outcome::NameSilent, 0), [(Cause::NameServersDown, h1())]);
    let mut seen = healthy();
    seen.note(Probe::OutsideName, pair("h1", "h1"), Outcome::NameSilent);
    assert_eq!(causes(&seen), [(Cause::OutsideName, h1())]);
}

fn policy(denied: Outcome, allowed: Outcome) -> PolicySeen {
    PolicySeen { node: node("h2"), denied, allowed }
}

#[test]
fn a_plugin_that_enforces_nothing_is_no_finding() {
    let mut seen = healthy();
    seen.policy = vec![policy(Outcome::Answered, Outcome::Answered)];
    assert_eq!(causes(&seen), []);
    seen.setting.enforces_policy = None;
    assert_eq!(causes(&seen), [], "nobody has promised it");
    seen.setting.enforces_policy = Some(true);
    assert_eq!(causes(&seen), [(Cause::PolicyNotEnforced, vec!["h2 -> h2".into()])]);
}

#[test]
fn a_policy_that_denies_too_much_is_a_finding() {
    let mut seen = healthy();
    seen.setting.enforces_policy = Some(true);
    seen.policy = vec![policy(Outcome::Silent, Outcome::Answered)];
    assert_eq!(causes(&seen), []);
    seen.policy = vec![policy(Outcome::Silent, Outcome::Silent)];
    assert_eq!(causes(&seen), [(Cause::PolicyTooStrict, vec!["h2 -> h2".into()])]);
}

#[test]
fn nodes_that_were_not_tested_are_told() {
    let mut seen = healthy();
    seen.untested = vec![(node("h4"), "it is not Ready".into())];
    seen.note(Probe::OwnPod, pair("h2", "h2"), Outcome::Refused);
    assert_eq!(
        causes(&seen),
        [(Cause::NodeUntested, vec!["h4 -> h4".into()]), (Cause::OwnPod, vec!["h2 -> h2".into()])]
    );
    assert_eq!(diagnose(&seen)[0].likely, "it is not Ready");
}

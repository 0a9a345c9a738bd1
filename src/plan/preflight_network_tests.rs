use super::*;
use crate::cluster::{Roles, fixture};
use crate::host::{FakeHost, FakeProcess};
use crate::state::Listener;

fn node(number: u8) -> Node {
    fixture::node(number, Roles { control_plane: true, etcd: true, worker: true })
}

fn cluster(plugin: NetworkPlugin, mtu: u32) -> Cluster {
    let mut cluster = fixture::cluster(vec![node(1), node(2)], plugin);
    cluster.network.mtu = mtu;
    cluster
}

fn canal(interface: Option<&str>) -> NetworkPlugin {
    NetworkPlugin::Canal(Overlay { interface: interface.map(str::to_owned), ..Overlay::default() })
}

/// A host with `eth0` (its node's address), `eth1` and what a running Canal has made.
fn snapshot(number: u8, mtu: u32) -> HostSnapshot {
    let mut snapshot = FakeHost::new(node(number).name, &FakeProcess::new()).state();
    let facts = &mut snapshot.facts;
    facts.addresses = [([10, 0, 0, number].into(), "eth0".to_owned())].into();
    let links = [("lo", 65536), ("eth0", mtu), ("eth1", 9000), ("flannel.1", 1450), ("cali12", 1450)];
    facts.links = links.map(|(name, mtu)| (name.to_owned(), mtu)).into();
    let routes = [("10.0.0.0/24", "eth0"), ("10.42.1.0/24", "flannel.1"), ("10.42.0.7/32", "cali12")];
    facts.routes = routes.map(|(network, interface)| (network.parse().unwrap(), interface.to_owned())).into();
    snapshot
}

fn said(cluster: &Cluster, snapshot: &HostSnapshot) -> Vec<String> {
    of_host(cluster, &cluster.nodes[0], snapshot).iter().map(|finding| format!("{finding}")).collect()
}

#[test]
fn a_host_that_fits_is_told_nothing() {
    for mtu in [0, 1280, 1450] {
        assert_eq!(said(&cluster(canal(None), mtu), &snapshot(1, 1500)), [""; 0]);
    }
    assert_eq!(said(&cluster(canal(Some("eth1")), 8950), &snapshot(1, 1500)), [""; 0]);
    let mut silent = snapshot(1, 1500);
    silent.facts.links.clear();
    assert_eq!(said(&cluster(canal(Some("eth7")), 9000), &silent), [""; 0], "a host that tells of no interface");
}

#[test]
fn an_mtu_that_does_not_fit_names_the_largest_that_does() {
    let said = said(&cluster(canal(None), 1451), &snapshot(1, 1500));
    assert_eq!(
        said,
        [
            "error[mtu-too-large] h1: network.mtu 1451 and the 50 bytes of VXLAN do not fit into eth0, whose MTU is 1500\n  \
          help: write at most 1450, or 0"
        ]
    );
}

#[test]
fn an_interface_that_a_host_does_not_have_names_those_that_it_has() {
    let said = said(&cluster(canal(Some("bond0")), 0), &snapshot(1, 1500));
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("error[no-interface] h1: there is no interface bond0; there are eth0, eth1\n"),
        "{said:?}"
    );
    assert!(said[0].contains("network.options.canal_iface"), "{said:?}");
}

#[test]
fn networks_of_the_host_have_nothing_in_common_with_those_of_the_cluster() {
    let with = |route: &str, default_route: bool, plugin: NetworkPlugin| {
        let mut snapshot = snapshot(1, 1500);
        snapshot.facts.default_route = default_route;
        snapshot.facts.routes.insert(route.parse().unwrap(), "eth1".into());
        let cluster = cluster(plugin, 0);
        let findings = of_host(&cluster, &cluster.nodes[0], &snapshot);
        findings.into_iter().map(|finding| (finding.code, finding.severity)).collect::<Vec<_>>()
    };
    let error = [("range-overlap", Severity::Error)];
    for route in ["10.42.9.0/24", "10.42.0.0/16", "10.43.0.0/20"] {
        assert_eq!(with(route, true, canal(None)), error, "{route}");
    }
    let both = [("range-overlap", Severity::Warning), ("range-overlap", Severity::Warning)];
    assert_eq!(with("10.0.0.0/8", true, canal(None)), both, "the narrower way wins");
    assert_eq!(with("10.43.0.0/16", true, canal(None)), error);
    assert_eq!(with("10.43.0.0/16", false, canal(None)), [], "it is the way to Services that we have made");
    assert_eq!(with("10.42.9.0/24", true, NetworkPlugin::None), [], "the operator's plugin has its ways to pods");
    assert_eq!(with("10.43.0.0/20", true, NetworkPlugin::None), error);
}

#[test]
fn hosts_whose_pods_would_not_understand_each_other_are_named() {
    let among = |mtu: u32, second: u32| {
        let cluster = cluster(canal(None), mtu);
        let hosts = [(1, 1500), (2, second)]
            .map(|(number, mtu)| (node(number).name, ObservedHost::Reached(Box::new(snapshot(number, mtu)))));
        let observed = Observed { hosts: hosts.into(), ..Observed::default() };
        among_hosts(&cluster, &observed).iter().map(|finding| format!("{finding}")).collect::<Vec<_>>()
    };
    assert_eq!(among(0, 1500), [""; 0]);
    assert_eq!(among(1450, 9000), [""; 0]);
    assert_eq!(
        among(0, 9000),
        ["warning[mtu-differs] h2: the interface between nodes has the MTU 9000, and that of h1 has 1500\n  \
          help: give them the same, or write network.mtu: 1450"]
    );
}

#[test]
fn ports_that_others_hold_are_named() {
    let codes = |protocol: &str, port: u16, process: &str, plugin: NetworkPlugin| {
        let mut snapshot = snapshot(1, 1500);
        snapshot.listeners = vec![Listener { protocol: protocol.into(), port, process: process.into() }];
        said(&cluster(plugin, 0), &snapshot).len()
    };
    let flannel = || NetworkPlugin::Flannel(Overlay::default());
    assert_eq!(codes("tcp", 9099, "java (process 7)", canal(None)), 1);
    assert_eq!(codes("tcp", 9099, "java (process 7)", flannel()), 0);
    assert_eq!(codes("tcp", 9099, "calico-node (process 7)", canal(None)), 0);
    assert_eq!(codes("udp", 8472, "vpn (process 7)", flannel()), 1);
    assert_eq!(codes("udp", 8472, "an unknown process", canal(None)), 0, "VXLAN itself has no process");
}

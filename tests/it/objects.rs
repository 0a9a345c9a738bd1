//! The objects of the API as files, for each minor and plugin.
//!
//! `UPDATE_EXPECTED=1` writes the files anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision::base::{KubernetesVersion, NodeName};
use provision::cluster::{
    Amount, Cluster, Network, NetworkPlugin, Node, Overlay, Placement, PluginPods, PodSecurity, Roles, SshTarget,
    Toleration, TolerationOperator, UpgradeStrategy,
};
use provision::desired::objects;
use provision::release::Catalog;
use serde_json::Map;

fn node(number: u8) -> Node {
    Node {
        name: NodeName::new(format!("h{number}")).unwrap(),
        address: format!("192.0.2.{number}"),
        internal_address: [10, 0, 0, number].into(),
        roles: Roles { control_plane: number == 1, etcd: number == 1, worker: true },
        ssh: SshTarget { port: 22, user: "root".into(), key_path: None, agent: false },
        labels: BTreeMap::new(),
        taints: Vec::new(),
    }
}

pub fn cluster(version: &str, nodes: u8, plugin: NetworkPlugin, pod_security: PodSecurity) -> Cluster {
    Cluster {
        name: "expected".into(),
        version: KubernetesVersion::parse(version).unwrap(),
        nodes: (1..=nodes).map(node).collect(),
        network: Network {
            plugin,
            pod_cidr: "10.42.0.0/16".parse().unwrap(),
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            dns_ip: [10, 43, 0, 10].into(),
            domain: "cluster.local".into(),
            mtu: 0,
        },
        sans: Vec::new(),
        pod_security,
        etcd_user: (52034, 52034),
        node_port_range: (30000, 32767),
        kubelet_config: Map::new(),
        kube_proxy_config: Map::new(),
        fail_swap_on: true,
        ignore_docker_version: false,
        supply: Default::default(),
        addons: Vec::new(),
        dns: Some(Default::default()),
        metrics: Some(Default::default()),
        upgrade: UpgradeStrategy::default(),
    }
}

fn flannel(interface: Option<&str>) -> NetworkPlugin {
    NetworkPlugin::Flannel(Overlay { interface: interface.map(str::to_owned), ..Overlay::default() })
}

fn every_option() -> Overlay {
    let toleration = Toleration {
        key: "dedicated".into(),
        operator: TolerationOperator::Equal,
        value: "gpu".into(),
        effect: "NoExecute".into(),
        toleration_seconds: Some(60),
    };
    let pods = PluginPods {
        priority_class: "system-cluster-critical".into(),
        placement: Placement {
            node_selector: BTreeMap::from([("network".into(), "fast".into())]),
            tolerations: vec![toleration],
        },
        max_unavailable: Amount::Percent(10),
    };
    Overlay { interface: Some("eth1".into()), port: 8473, vni: 7, pods }
}

/// One YAML document an object, in the order in which they are applied.
fn rendered(cluster: &Cluster) -> String {
    let release = Catalog::shipped().unwrap().release(&cluster.version).unwrap();
    let objects = objects(cluster, &release).unwrap();
    objects.iter().map(|object| format!("---\n{}", serde_yaml::to_string(&object.body).unwrap())).collect()
}

fn expected(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/objects").join(case)
}

fn check(case: &str, cluster: &Cluster) {
    let path = expected(case);
    let text = rendered(cluster);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; UPDATE_EXPECTED=1 writes it anew", path.display());
}

#[test]
fn objects_are_those_of_the_files() {
    for (minor, version) in [("1.24", "v1.24.17"), ("1.34", "v1.34.1")] {
        let restricted = PodSecurity::Restricted;
        check(&format!("{minor}/one-node.yaml"), &cluster(version, 1, flannel(None), restricted));
        let several = cluster(version, 3, flannel(Some("eth1")), PodSecurity::Baseline);
        check(&format!("{minor}/three-nodes-baseline.yaml"), &several);
        check(&format!("{minor}/no-network-plugin.yaml"), &cluster(version, 1, NetworkPlugin::None, restricted));
        check(
            &format!("{minor}/canal.yaml"),
            &cluster(version, 1, NetworkPlugin::Canal(Overlay::default()), restricted),
        );
        let mut options = cluster(version, 3, NetworkPlugin::Canal(every_option()), PodSecurity::Privileged);
        options.network.mtu = 1400;
        check(&format!("{minor}/canal-with-options.yaml"), &options);
    }
}

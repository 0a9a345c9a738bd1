//! A cluster for tests: what a short `cluster.yml` means. A test changes what it is about.

use std::collections::BTreeMap;

use serde_json::Map;

use super::{Cluster, Network, NetworkPlugin, Node, PodSecurity, Roles, SshTarget};
use crate::base::{KubernetesVersion, NodeName};

/// Node `h<number>` at 10.0.0.`<number>`.
pub(crate) fn node(number: u8, roles: Roles) -> Node {
    Node {
        name: NodeName::new(format!("h{number}")).unwrap(),
        address: format!("10.0.0.{number}"),
        internal_address: [10, 0, 0, number].into(),
        roles,
        ssh: SshTarget { port: 22, user: "root".into(), key_path: None, agent: false },
        labels: BTreeMap::new(),
        taints: Vec::new(),
    }
}

/// Kubernetes v1.34.1 with every default but for the network.
pub(crate) fn cluster(nodes: Vec<Node>, plugin: NetworkPlugin) -> Cluster {
    Cluster {
        name: "test".into(),
        version: KubernetesVersion::parse("v1.34.1").unwrap(),
        nodes,
        network: Network {
            plugin,
            pod_cidr: "10.42.0.0/16".parse().unwrap(),
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            dns_ip: [10, 43, 0, 10].into(),
            domain: "cluster.local".into(),
            mtu: 0,
        },
        sans: Vec::new(),
        pod_security: PodSecurity::Restricted,
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
        upgrade: Default::default(),
    }
}

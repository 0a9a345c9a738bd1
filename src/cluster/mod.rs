//! The cluster as it is meant: every default filled in, every rule checked.

mod addon_objects;
mod addon_sources;
mod build;
mod checks;
mod dns;
#[cfg(test)]
pub(crate) mod fixture;
mod grammar;
mod metrics;
mod network;
mod network_plugin;
mod nodes;
mod owned;
mod placement;
mod supply;
mod upgrade;
mod user_addon;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde_json::{Map, Value};

use crate::base::{KubernetesVersion, NodeName};

pub use addon_objects::{AddonText, Surroundings, user_addons};
pub use addon_sources::{AddonInclude, AddonSource};
pub use build::{Context, Loaded, build, load};
pub use dns::{Dns, Scaling};
pub use metrics::Metrics;
pub use network_plugin::{NetworkPlugin, Overlay, PluginPods};
pub use nodes::key_file_positions;
pub use owned::{OWNED_KUBE_PROXY_KEYS, OWNED_KUBELET_KEYS};
pub use placement::{Amount, Placement, Toleration, TolerationOperator, UpdateStrategy};
pub use supply::{Downloads, EngineProxy, PrivateRegistry, Supply};
pub use upgrade::{DrainOptions, Draining, OnFailure, UpgradeStrategy};
pub use user_addon::UserAddon;

/// Everything that `cluster.yml` says, resolved. Made only by the builder, which checks all rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// `cluster_name`.
    pub name: String,
    /// `kubernetes_version`.
    pub version: KubernetesVersion,
    /// All nodes, in the order of the file. At least one control plane and one etcd member; names and addresses unique.
    pub nodes: Vec<Node>,
    /// Addresses and the network plugin.
    pub network: Network,
    /// `authentication.sans`.
    pub sans: Vec<String>,
    /// `pod_security`.
    pub pod_security: PodSecurity,
    /// Numeric user and group of etcd (`services.etcd.uid`, `.gid`).
    pub etcd_user: (u32, u32),
    /// `services.kube-api.service_node_port_range`.
    pub node_port_range: (u16, u16),
    /// `services.kubelet.config`: merged over the tool's own configuration; holds no key that the tool owns.
    pub kubelet_config: Map<String, Value>,
    /// `services.kubeproxy.config`, likewise.
    pub kube_proxy_config: Map<String, Value>,
    /// `services.kubelet.fail_swap_on`; `false` is RKE's default, ours is `true`.
    pub fail_swap_on: bool,
    /// `ignore_docker_version`.
    pub ignore_docker_version: bool,
    /// Where images and files come from.
    pub supply: Supply,
    /// Objects of the operator's own, applied after the tool's, in the order of the file.
    pub addons: Vec<UserAddon>,
    /// `dns`; none where the operator brings a name server.
    pub dns: Option<Dns>,
    /// `monitoring`; none for a cluster without metrics.
    pub metrics: Option<Metrics>,
    /// `upgrade_strategy`.
    pub upgrade: UpgradeStrategy,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// `hostname_override`, else the address in lower case.
    pub name: NodeName,
    /// `address`: where SSH reaches it.
    pub address: String,
    /// `internal_address`, else `address`: where other nodes reach it.
    pub internal_address: Ipv4Addr,
    /// What it does.
    pub roles: Roles,
    /// How to reach it.
    pub ssh: SshTarget,
    /// Node labels of the file.
    pub labels: BTreeMap<String, String>,
    /// Node taints of the file.
    pub taints: Vec<Taint>,
}

impl Node {
    /// Labels of the Kubernetes node: those of the file, and of its roles in upstream's word and in RKE's, by which
    /// existing workloads choose their nodes.
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let label = |role: &str, value: &str| (format!("node-role.kubernetes.io/{role}"), value.to_owned());
        let mut labels = self.labels.clone();
        if self.roles.control_plane {
            labels.extend([label("control-plane", ""), label("controlplane", "true")]);
        }
        if self.roles.etcd {
            labels.extend([label("etcd", "true")]);
        }
        if self.roles.worker {
            labels.extend([label("worker", "true")]);
        }
        labels
    }
}

/// What a node does; at least one is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Runs apiserver, controller-manager and scheduler.
    pub control_plane: bool,
    /// Runs an etcd member.
    pub etcd: bool,
    /// Takes workloads.
    pub worker: bool,
}

impl fmt::Display for Roles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.control_plane, "controlplane"), (self.etcd, "etcd"), (self.worker, "worker")];
        let held: Vec<&str> = words.iter().filter(|(held, _)| *held).map(|(_, word)| *word).collect();
        formatter.pad(&held.join(","))
    }
}

/// Where and as whom SSH logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// `port`.
    pub port: u16,
    /// `user`.
    pub user: String,
    /// Key file, absolute or below the home folder already resolved; none with an agent only.
    pub key_path: Option<PathBuf>,
    /// Whether keys of the agent are tried.
    pub agent: bool,
}

/// A node taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Addresses and the network plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Who carries pod traffic.
    pub plugin: NetworkPlugin,
    /// `services.kube-controller.cluster_cidr`.
    pub pod_cidr: Ipv4Net,
    /// `services.kube-api.service_cluster_ip_range`.
    pub service_cidr: Ipv4Net,
    /// `services.kubelet.cluster_dns_server`.
    pub dns_ip: Ipv4Addr,
    /// `services.kubelet.cluster_domain`.
    pub domain: String,
    /// `network.mtu`; 0 lets the plugin find it.
    pub mtu: u32,
}

impl Network {
    /// The address of Service `default/kubernetes`: the first of the range.
    pub fn api_service_ip(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(u32::from(self.service_cidr.network()) + 1))
    }
}

/// The pod security level of namespaces that say nothing themselves. A laxer one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodSecurity {
    /// The default.
    Restricted,
    /// No known escalations.
    Baseline,
    /// No limit.
    Privileged,
}

impl PodSecurity {
    /// The word that the file and Kubernetes use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Baseline => "baseline",
            Self::Privileged => "privileged",
        }
    }
}

impl Cluster {
    /// The nodes that run an apiserver.
    pub fn control_planes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.roles.control_plane)
    }

    /// The nodes that run an etcd member.
    pub fn etcd_members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.roles.etcd)
    }

    /// A node by name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| &node.name == name)
    }
}

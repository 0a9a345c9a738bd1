//! `cluster.yml` as it is written: typed, strict, every value with its place. Defaults and rules are [`crate::cluster`]'s.

mod addons;
mod check;
mod document;
mod findings;
mod json;
mod keys;
mod manifest;
mod position;
mod read;
mod reference;
mod schema;
mod source;
mod suggest;
mod tree;
mod upgrade;

use serde_json::{Map, Value};

use crate::base::Secret;

pub use addons::{Dns, Monitoring, Placement, Scaling, TextMap, TextsMap, TolerationEntry, UpdateStrategy};
pub use findings::{Finding, Findings};
pub use manifest::{Manifest, Manifests, manifests};
pub use position::{At, Field, Position};
pub use reference::reference;
pub use source::Source;
pub use upgrade::{NodeDrainInput, UpgradeStrategy};

pub(crate) use read::shown;
pub(crate) use source::shown_lines;
pub(crate) use suggest::nearest;

/// What `cluster.yml` says.
#[derive(Debug, Clone)]
pub struct Config {
    source: Source,
    /// `cluster_name`.
    pub cluster_name: Field<String>,
    /// `kubernetes_version`.
    pub kubernetes_version: Field<String>,
    /// `nodes`.
    pub nodes: Field<Vec<NodeEntry>>,
    /// `ssh_key_path` of the cluster.
    pub ssh_key_path: Field<String>,
    /// `ssh_agent_auth` of the cluster.
    pub ssh_agent_auth: Field<bool>,
    /// `ignore_docker_version`.
    pub ignore_docker_version: Field<bool>,
    /// `pod_security`.
    pub pod_security: Field<String>,
    /// `authentication.sans`.
    pub sans: Field<Vec<At<String>>>,
    /// `network`.
    pub network: Network,
    /// `services`.
    pub services: Services,
    /// `private_registries`.
    pub private_registries: Field<Vec<RegistryEntry>>,
    /// `system_images`: what is written, by key.
    pub system_images: Field<Vec<(At<String>, At<String>)>>,
    /// `downloads`.
    pub downloads: Downloads,
    /// `engine_proxy`.
    pub engine_proxy: EngineProxy,
    /// `dns`.
    pub dns: Dns,
    /// `monitoring`.
    pub monitoring: Monitoring,
    /// `addons`.
    pub addons: Field<String>,
    /// `addons_include`.
    pub addons_include: Field<Vec<At<String>>>,
    /// `upgrade_strategy`.
    pub upgrade_strategy: UpgradeStrategy,
}

/// An entry of `private_registries`.
#[derive(Debug, Clone)]
pub struct RegistryEntry {
    /// Where it begins.
    pub at: Position,
    /// `url`.
    pub url: Field<String>,
    /// `user`.
    pub user: Field<String>,
    /// `password`.
    pub password: Field<Secret>,
    /// `is_default`.
    pub is_default: Field<bool>,
    /// `mirrors`.
    pub mirrors: Field<Vec<At<String>>>,
    /// `ca_file`.
    pub ca_file: Field<String>,
    /// `plain_http`.
    pub plain_http: Field<bool>,
}

/// `downloads`.
#[derive(Debug, Clone)]
pub struct Downloads {
    /// `kubernetes`.
    pub kubernetes: Field<String>,
    /// `cni`.
    pub cni: Field<String>,
    /// `ca_file`.
    pub ca_file: Field<String>,
    /// `timeout`.
    pub timeout: Field<i64>,
}

/// `engine_proxy`.
#[derive(Debug, Clone)]
pub struct EngineProxy {
    /// `http_proxy`.
    pub http_proxy: Field<String>,
    /// `https_proxy`.
    pub https_proxy: Field<String>,
    /// `no_proxy`.
    pub no_proxy: Field<Vec<At<String>>>,
}

/// An entry of `nodes`.
#[derive(Debug, Clone)]
pub struct NodeEntry {
    /// Where it begins.
    pub at: Position,
    /// `address`.
    pub address: Field<String>,
    /// `port`.
    pub port: Field<String>,
    /// `internal_address`.
    pub internal_address: Field<String>,
    /// `role`.
    pub role: Field<Vec<At<String>>>,
    /// `user`.
    pub user: Field<String>,
    /// `hostname_override`.
    pub hostname_override: Field<String>,
    /// `ssh_key_path`.
    pub ssh_key_path: Field<String>,
    /// `ssh_agent_auth`.
    pub ssh_agent_auth: Field<bool>,
    /// `labels`.
    pub labels: Field<Vec<(At<String>, At<String>)>>,
    /// `taints`.
    pub taints: Field<Vec<TaintEntry>>,
}

/// An entry of a node's `taints`.
#[derive(Debug, Clone)]
pub struct TaintEntry {
    /// Where it begins.
    pub at: Position,
    /// `key`.
    pub key: Field<String>,
    /// `value`.
    pub value: Field<String>,
    /// `effect`.
    pub effect: Field<String>,
}

/// `network`.
#[derive(Debug, Clone)]
pub struct Network {
    /// The key `network`, or the beginning of a file that has none.
    pub at: Position,
    /// `plugin`.
    pub plugin: Field<String>,
    /// `mtu`.
    pub mtu: Field<i64>,
    /// Options of canal.
    pub canal: OverlayEntry,
    /// Options of flannel.
    pub flannel: OverlayEntry,
    /// `node_selector` and `tolerations`.
    pub placement: Placement,
    /// `update_strategy.strategy`.
    pub update_strategy: Field<String>,
    /// `update_strategy.rollingUpdate.maxUnavailable`.
    pub max_unavailable: Field<String>,
}

/// The options of a plugin whose traffic flannel carries.
#[derive(Debug, Clone)]
pub struct OverlayEntry {
    /// `options.canal_iface`, `options.flannel_iface`.
    pub interface: Field<String>,
    /// `canal_network_provider.iface`, `flannel_network_provider.iface`: Rancher's spelling of the same.
    pub provider_interface: Field<String>,
    /// `options.canal_flannel_backend_type`, `options.flannel_backend_type`.
    pub backend_type: Field<String>,
    /// `options.canal_flannel_backend_port`, `options.flannel_backend_port`.
    pub backend_port: Field<String>,
    /// `options.canal_flannel_backend_vni`, `options.flannel_backend_vni`.
    pub backend_vni: Field<String>,
    /// `options.canal_priority_class_name`, `options.kube_flannel_priority_class_name`.
    pub priority_class: Field<String>,
}

/// `services`.
#[derive(Debug, Clone)]
pub struct Services {
    /// `etcd`.
    pub etcd: Etcd,
    /// `kube-api`.
    pub kube_api: KubeApi,
    /// `kube-controller`.
    pub kube_controller: KubeController,
    /// `kubelet`.
    pub kubelet: Kubelet,
    /// `kubeproxy.config`.
    pub kube_proxy: FreeMap,
}

/// `services.etcd`.
#[derive(Debug, Clone)]
pub struct Etcd {
    /// `uid`.
    pub uid: Field<i64>,
    /// `gid`.
    pub gid: Field<i64>,
}

/// `services.kube-api`.
#[derive(Debug, Clone)]
pub struct KubeApi {
    /// `service_cluster_ip_range`.
    pub service_cluster_ip_range: Field<String>,
    /// `service_node_port_range`.
    pub service_node_port_range: Field<String>,
}

/// `services.kube-controller`.
#[derive(Debug, Clone)]
pub struct KubeController {
    /// `cluster_cidr`.
    pub cluster_cidr: Field<String>,
    /// `service_cluster_ip_range`.
    pub service_cluster_ip_range: Field<String>,
}

/// `services.kubelet`.
#[derive(Debug, Clone)]
pub struct Kubelet {
    /// `cluster_domain`.
    pub cluster_domain: Field<String>,
    /// `cluster_dns_server`.
    pub cluster_dns_server: Field<String>,
    /// `fail_swap_on`.
    pub fail_swap_on: Field<bool>,
    /// `config`.
    pub config: FreeMap,
}

/// A map that another program reads.
#[derive(Debug, Clone, Default)]
pub struct FreeMap {
    /// Its keys with their places.
    pub keys: Vec<At<String>>,
    /// The whole of it.
    pub value: Map<String, Value>,
}

impl Config {
    /// The text, for findings of later checks.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// Reads a file that has no findings. `origin` is the name that findings show, usually the path.
pub fn parse(bytes: &[u8], origin: &str) -> Result<Config, Findings> {
    match read(bytes, origin) {
        (Some(config), findings) => findings.or(config),
        (None, findings) => Err(findings),
    }
}

/// Reads as much as can be read, so that later checks can add their findings to these.
///
/// Without a configuration there is at least one finding. With one, each value that is wrong is [`Field::Bad`].
pub fn read(bytes: &[u8], origin: &str) -> (Option<Config>, Findings) {
    let source = Source::new(origin, &document::shown_text(bytes));
    let document = document::read(bytes);
    let mut findings = document.findings;
    let Some(root) = document.root else { return (None, Findings::new(source, findings)) };
    findings.extend(check::check(&root));
    let config = read::config(&root, source.clone(), &mut findings);
    (root.mapping().is_some().then_some(config), Findings::new(source, findings))
}

#[cfg(test)]
mod tests;

//! From what is written to what is meant.

use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::config::{self, Config, Field, Findings, nearest, shown};
use crate::release::Catalog;

use super::addon_objects::{Surroundings, user_addons};
use super::checks::Checks;
use super::{
    AddonInclude, Cluster, Dns, Metrics, Node, OWNED_KUBE_PROXY_KEYS, OWNED_KUBELET_KEYS, PodSecurity, Supply,
    UpgradeStrategy, addon_sources, dns, grammar, metrics, network, network_plugin, nodes, owned, supply, upgrade,
    version,
};

/// Folders of this machine that paths in the file refer to.
#[derive(Debug, Clone)]
pub struct Context {
    /// The operator's home folder: `~`.
    pub home: PathBuf,
    /// The folder of the file: relative paths.
    pub base: PathBuf,
}

const CLUSTER_NAME: &str = "local";
/// The user and group that RKE's etcd images know.
const ETCD_USER: (u32, u32) = (52034, 52034);

/// A file that passed all checks which need no host and no disk.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What it means. Of the add-ons only those that stand in the file itself.
    pub cluster: Cluster,
    /// Where the other add-ons are.
    pub includes: Vec<AddonInclude>,
    /// Advice that does not stop a run, one sentence each.
    pub advice: Vec<String>,
}

/// Reads and builds; the findings of both come at once.
pub fn load(bytes: &[u8], origin: &str, catalog: &Catalog, context: &Context) -> Result<Loaded, Findings> {
    let (config, findings) = config::read(bytes, origin);
    let Some(config) = config else { return Err(findings) };
    let (built, includes) = (build(&config, catalog, context), addon_sources::includes(&config, context));
    let release = built.as_ref().ok().and_then(|(cluster, _)| catalog.release(&cluster.version).ok());
    let plugin = built.as_ref().ok().map(|(cluster, _)| &cluster.network.plugin);
    let surroundings = Surroundings { own: &[], release: release.as_ref(), plugin };
    let addons = user_addons(&config, &[], surroundings);
    match (built, includes, addons) {
        (Ok((mut cluster, advice)), Ok(includes), Ok(addons)) => {
            cluster.addons = addons;
            findings.or(Loaded { config, cluster, includes, advice })
        }
        (built, includes, addons) => {
            let inline = addons.err().into_iter().flatten();
            let all = built.err().into_iter().chain(includes.err()).chain(inline);
            Err(all.fold(findings, Findings::and))
        }
    }
}

/// Fills in defaults and checks all rules. The second value is advice that does not stop a run.
///
/// Values that are [`Field::Bad`] are left alone: their findings are the parser's, see [`load`].
pub fn build(config: &Config, catalog: &Catalog, context: &Context) -> Result<(Cluster, Vec<String>), Findings> {
    let mut checks = Checks::new(config.source());
    let version = version::version(config, catalog, &mut checks);
    let network = network::network(config, &mut checks);
    checks.grammar(&config.ssh_key_path, "path of a file", grammar::path);
    let nodes = nodes::nodes(config, context, &mut checks);
    network::check_nodes(&network, &nodes, &mut checks);
    network_plugin::check_nodes(config, &network.plugin, &nodes, &mut checks);
    let services = &config.services;
    owned::check(&services.kubelet.config, "services.kubelet.config", OWNED_KUBELET_KEYS, &mut checks);
    owned::check(&services.kube_proxy, "services.kubeproxy.config", OWNED_KUBE_PROXY_KEYS, &mut checks);
    let parts = Parts {
        name: checks
            .grammar(&config.cluster_name, "name of a cluster", grammar::cluster_name)
            .unwrap_or(CLUSTER_NAME)
            .to_owned(),
        sans: sans(config, &mut checks),
        pod_security: pod_security(&config.pod_security, &mut checks),
        etcd_user: etcd_user(config, &mut checks),
        node_port_range: network::node_ports(config, &mut checks),
        fail_swap_on: fail_swap_on(config, &mut checks),
        supply: supply::supply(config, context, &mut checks),
        dns: dns::dns(config, &network, &mut checks),
        metrics: metrics::metrics(config, &mut checks),
        upgrade: upgrade::strategy(config, &mut checks),
    };
    let Some(version) = version.filter(|_| checks.findings.is_empty()) else { return Err(checks.findings) };
    let nodes = nodes.into_iter().map(|placed| placed.node).collect();
    Ok((parts.cluster(version, nodes, network, config), checks.advice))
}

/// What the top of the file says, resolved.
struct Parts {
    name: String,
    sans: Vec<String>,
    pod_security: PodSecurity,
    etcd_user: (u32, u32),
    node_port_range: (u16, u16),
    fail_swap_on: bool,
    supply: Supply,
    dns: Option<Dns>,
    metrics: Option<Metrics>,
    upgrade: UpgradeStrategy,
}

impl Parts {
    fn cluster(
        self,
        version: crate::base::KubernetesVersion,
        nodes: Vec<Node>,
        network: super::Network,
        config: &Config,
    ) -> Cluster {
        Cluster {
            name: self.name,
            version,
            nodes,
            network,
            sans: self.sans,
            pod_security: self.pod_security,
            etcd_user: self.etcd_user,
            node_port_range: self.node_port_range,
            kubelet_config: config.services.kubelet.config.value.clone(),
            kube_proxy_config: config.services.kube_proxy.value.clone(),
            fail_swap_on: self.fail_swap_on,
            ignore_docker_version: config.ignore_docker_version.value().copied().unwrap_or(false),
            supply: self.supply,
            addons: Vec::new(),
            dns: self.dns,
            metrics: self.metrics,
            upgrade: self.upgrade,
        }
    }
}

fn sans(config: &Config, checks: &mut Checks) -> Vec<String> {
    let written = config.sans.value().map(Vec::as_slice).unwrap_or_default();
    for name in written {
        let numeric = name.value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let fits = name.value.parse::<IpAddr>().is_ok() || (!numeric && grammar::certificate_name(&name.value).is_ok());
        if !fits {
            let help = "write an IP address or a DNS name such as `api.example.org`, without port and scheme";
            checks.fail(name.at, format!("{} is no name for the API's certificate", shown(name)), help);
        }
    }
    written.iter().map(|name| name.value.clone()).collect()
}

fn pod_security(field: &Field<String>, checks: &mut Checks) -> PodSecurity {
    let levels = [PodSecurity::Restricted, PodSecurity::Baseline, PodSecurity::Privileged];
    let Some(written) = field.written() else { return PodSecurity::Restricted };
    let level = levels.into_iter().find(|level| level.as_str() == written.value);
    if level.is_none() {
        let words = levels.map(PodSecurity::as_str);
        let near = nearest(&written.value, &words).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or("write `restricted`, `baseline` or `privileged`".into());
        checks.fail(written.at, format!("{} is no pod security level", shown(written)), help);
    }
    level.unwrap_or(PodSecurity::Restricted)
}

/// RKE writes 0 for "not set", and wants both or none.
fn etcd_user(config: &Config, checks: &mut Checks) -> (u32, u32) {
    let etcd = &config.services.etcd;
    let mut id = |field: &Field<i64>| {
        let written = field.written().filter(|written| written.value != 0)?;
        let id = u32::try_from(written.value).ok().filter(|id| *id < u32::MAX);
        if id.is_none() {
            checks.fail(
                written.at,
                format!("{} is no numeric user or group", written.value),
                "write a number from 1 to 4294967294",
            );
        }
        Some((id.unwrap_or(ETCD_USER.0), written.at))
    };
    match (id(&etcd.uid), id(&etcd.gid)) {
        (Some((uid, _)), Some((gid, _))) => (uid, gid),
        (None, None) => ETCD_USER,
        (Some((_, at)), None) | (None, Some((_, at))) => {
            let bad = matches!(etcd.uid, Field::Bad) || matches!(etcd.gid, Field::Bad);
            if !bad {
                checks.fail(at, "`services.etcd` has only one of `uid` and `gid`", "write both, or none for 52034");
            }
            ETCD_USER
        }
    }
}

/// `services.kubelet.fail_swap_on`, or the same field of kubelet's own configuration.
fn fail_swap_on(config: &Config, checks: &mut Checks) -> bool {
    let kubelet = &config.services.kubelet;
    let written = kubelet.fail_swap_on.value().copied();
    let Some(key) = kubelet.config.keys.iter().find(|key| key.value == "failSwapOn") else {
        return written.unwrap_or(true);
    };
    match (kubelet.config.value.get("failSwapOn"), written) {
        (Some(Value::Bool(value)), None) => *value,
        (Some(Value::Bool(value)), Some(other)) if *value == other => other,
        (Some(Value::Bool(value)), Some(other)) => {
            let message = format!("`failSwapOn` is {value} here and `fail_swap_on` is {other}");
            checks.fail(key.at, message, "write one of them only");
            other
        }
        _ => {
            checks.fail(
                key.at,
                "`services.kubelet.config.failSwapOn` must be true or false",
                "write true or false, without quotes",
            );
            true
        }
    }
}

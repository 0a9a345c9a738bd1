//! Who carries pod traffic, and how its pods are placed.

use crate::config::{At, Config, Field, OverlayEntry, nearest, shown};

use super::checks::Checks;
use super::nodes::Placed;
use super::placement::{amount, placement};
use super::{Amount, Node, Placement, grammar};

/// flannel's own VXLAN port and identifier on Linux, as RKE has them.
const VXLAN: (u16, u32) = (8472, 1);
/// Without a network no other pod starts, so that its pods are never the ones to make room.
const PRIORITY_CLASS: &str = "system-node-critical";
const ONE_NODE: Amount = Amount::Count(1);
const ROLLING: &str = "RollingUpdate";
const WRITE_PLUGIN: &str = "write `plugin: canal`, `plugin: flannel`, or `plugin: none` to install one yourself";
const WRITE_CANAL: &str = "write `plugin: canal`: flannel between nodes, and Calico's network policy; or `plugin: none` to install one yourself";

/// A network plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkPlugin {
    /// The default: flannel carries traffic between nodes, Calico attaches pods and enforces network policy.
    Canal(Overlay),
    /// flannel, VXLAN backend; it enforces no network policy.
    Flannel(Overlay),
    /// The operator installs one.
    None,
}

impl NetworkPlugin {
    /// What flannel is told; none where the operator installs a plugin.
    pub fn overlay(&self) -> Option<&Overlay> {
        match self {
            Self::Canal(overlay) | Self::Flannel(overlay) => Some(overlay),
            Self::None => None,
        }
    }

    /// Whether NetworkPolicy objects are enforced; `None` where only the operator knows.
    pub fn enforces_policy(&self) -> Option<bool> {
        match self {
            Self::Canal(_) => Some(true),
            Self::Flannel(_) => Some(false),
            Self::None => None,
        }
    }

    /// The word that the file uses.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Canal(_) => "canal",
            Self::Flannel(_) => "flannel",
            Self::None => "none",
        }
    }
}

/// flannel's VXLAN between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// `canal_iface`, `flannel_iface`; the interface of the node's address where none is written.
    pub interface: Option<String>,
    /// UDP port.
    pub port: u16,
    /// VXLAN network identifier, 1 to 16777215.
    pub vni: u32,
    /// How the plugin's pods are placed.
    pub pods: PluginPods,
}

impl Overlay {
    /// Bytes that VXLAN adds to a packet: outer Ethernet, IPv4, UDP and VXLAN headers.
    pub const ENCAPSULATION: u32 = 50;
}

impl Default for Overlay {
    fn default() -> Self {
        Self { interface: None, port: VXLAN.0, vni: VXLAN.1, pods: PluginPods::default() }
    }
}

/// How the plugin's pods are placed and replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPods {
    /// `canal_priority_class_name`, `kube_flannel_priority_class_name`.
    pub priority_class: String,
    /// `network.node_selector`, whose labels every node carries, and `network.tolerations`, besides that of every taint.
    pub placement: Placement,
    /// `network.update_strategy.rollingUpdate.maxUnavailable`; not 0.
    pub max_unavailable: Amount,
}

impl Default for PluginPods {
    fn default() -> Self {
        Self { priority_class: PRIORITY_CLASS.to_owned(), placement: Placement::default(), max_unavailable: ONE_NODE }
    }
}

/// `network.plugin` with its options.
pub(super) fn plugin(config: &Config, checks: &mut Checks) -> NetworkPlugin {
    let network = &config.network;
    let Some(written) = network.plugin.written() else { return canal(config, checks) };
    match written.value.as_str() {
        "canal" => return canal(config, checks),
        "flannel" => {
            let overlay = overlay(config, &network.flannel, checks);
            advise(&network.canal, "canal", "flannel", Some(&overlay), checks);
            return NetworkPlugin::Flannel(overlay);
        }
        "none" => {
            advise(&network.canal, "canal", "none", None, checks);
            advise(&network.flannel, "flannel", "none", None, checks);
            return NetworkPlugin::None;
        }
        "calico" => {
            checks.fail(written.at, "Calico alone is left out on purpose: Canal has its network policy", WRITE_CANAL);
        }
        "weave" => {
            checks.fail(written.at, "Weave Net is left out on purpose: it is not maintained any more", WRITE_CANAL)
        }
        "aci" => {
            checks.fail(written.at, "aci is left out on purpose: the vendor's plugin needs its fabric", WRITE_PLUGIN)
        }
        other => {
            let near = nearest(other, &["canal", "flannel", "none"]).map(|near| format!("did you mean `{near}`?"));
            checks.fail(
                written.at,
                format!("{} is no network plugin", shown(written)),
                near.unwrap_or(WRITE_PLUGIN.into()),
            );
        }
    }
    NetworkPlugin::Canal(Overlay::default())
}

fn canal(config: &Config, checks: &mut Checks) -> NetworkPlugin {
    let overlay = overlay(config, &config.network.canal, checks);
    advise(&config.network.flannel, "flannel", "canal", Some(&overlay), checks);
    NetworkPlugin::Canal(overlay)
}

/// Options of another plugin do nothing, as with RKE; a word is due where they say something else than what holds.
fn advise(entry: &OverlayEntry, other: &str, plugin: &str, holds: Option<&Overlay>, checks: &mut Checks) {
    let OverlayEntry { interface, provider_interface, backend_type, backend_port, backend_vni, priority_class } = entry;
    let differs = |field: &Field<String>, holds: Option<String>| match field.written() {
        Some(written) => Some(&written.value) != holds.as_ref(),
        None => false,
    };
    let name = holds.and_then(|overlay| overlay.interface.clone());
    let differs = differs(interface, name.clone())
        || differs(provider_interface, name)
        || differs(backend_type, holds.map(|_| "vxlan".to_owned()))
        || differs(backend_port, holds.map(|overlay| overlay.port.to_string()))
        || differs(backend_vni, holds.map(|overlay| overlay.vni.to_string()))
        || differs(priority_class, holds.map(|overlay| overlay.pods.priority_class.clone()));
    if differs {
        checks.advise(format!("options of {other} below `network` have no effect with `plugin: {plugin}`"));
    }
}

fn overlay(config: &Config, entry: &OverlayEntry, checks: &mut Checks) -> Overlay {
    if let Some(backend) = entry.backend_type.written().filter(|backend| backend.value != "vxlan") {
        checks.fail(
            backend.at,
            format!("flannel's backend {} is not supported", shown(backend)),
            "write `vxlan`, or leave the key out",
        );
    }
    Overlay {
        interface: interface(entry, checks),
        port: checks.port(&entry.backend_port, "port").unwrap_or(VXLAN.0),
        vni: checks.number(&entry.backend_vni, "VXLAN network identifier", 1, (1 << 24) - 1).unwrap_or(VXLAN.1),
        pods: pods(config, entry, checks),
    }
}

/// RKE knows the interface in two spellings, which are the same setting.
fn interface(entry: &OverlayEntry, checks: &mut Checks) -> Option<String> {
    let mut read = |field| checks.grammar(field, "network interface", grammar::interface).map(str::to_owned);
    let (option, provider) = (read(&entry.interface), read(&entry.provider_interface));
    if let (Some(option), Some(provider), Some(written)) = (&option, &provider, entry.provider_interface.written())
        && option != provider
    {
        let message = format!("the interface is `{provider}` here and `{option}` in `network.options`");
        checks.fail(written.at, message, "write one of them only");
    }
    option.or(provider)
}

fn pods(config: &Config, entry: &OverlayEntry, checks: &mut Checks) -> PluginPods {
    let network = &config.network;
    let class = checks.grammar(&entry.priority_class, "priority class", grammar::dns_name);
    if let Some(strategy) = network.update_strategy.written().filter(|strategy| strategy.value != ROLLING) {
        checks.fail(
            strategy.at,
            format!("the update strategy {} is not supported: nobody would replace the plugin's pods", shown(strategy)),
            "write `RollingUpdate`, or leave the key out",
        );
    }
    PluginPods {
        priority_class: class.unwrap_or(PRIORITY_CLASS).to_owned(),
        placement: placement(&network.placement, checks),
        max_unavailable: max_unavailable(&network.max_unavailable, checks),
    }
}

fn max_unavailable(field: &Field<String>, checks: &mut Checks) -> Amount {
    let Some(amount) = amount(field, "nodes", checks) else { return ONE_NODE };
    if let (Amount::Count(0) | Amount::Percent(0), Some(written)) = (amount, field.written()) {
        checks.fail(
            written.at,
            "with no node at a time no pod of the plugin could ever be replaced",
            "write 1 or more",
        );
        return ONE_NODE;
    }
    amount
}

/// A node that the plugin does not run on is never ready, so that every node must be selected.
pub(super) fn check_nodes(config: &Config, plugin: &NetworkPlugin, nodes: &[Placed], checks: &mut Checks) {
    if plugin.overlay().is_none() {
        return;
    }
    let written = config.network.placement.node_selector.value().map(Vec::as_slice).unwrap_or_default();
    for (key, value) in written {
        let lacks = |placed: &&Placed| !carries(&placed.node, key, value);
        let lacking: Vec<&str> = nodes.iter().filter(lacks).map(|placed| placed.node.name.as_str()).collect();
        if !lacking.is_empty() {
            let message = format!(
                "the plugin would not run on {}, without the label `{}: {}`, and what has no network is never ready",
                lacking.join(", "),
                key.value,
                value.value
            );
            checks.fail(key.at, message, "write the label below `labels` of these nodes, or take the selector out");
        }
    }
}

/// Whether a node has a label: of the file, of its roles, or one that its kubelet writes.
fn carries(node: &Node, key: &At<String>, value: &At<String>) -> bool {
    let by_kubelet = [
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", node.name.as_str()),
    ];
    let is_it = |(name, content): (&str, &str)| name == key.value && content == value.value;
    by_kubelet.into_iter().any(is_it)
        || node.all_labels().iter().any(|(name, content)| is_it((name.as_str(), content.as_str())))
}

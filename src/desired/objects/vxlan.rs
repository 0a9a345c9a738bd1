//! What flannel is told, alone or as a part of Canal.

use serde_json::{Value, json};

use super::placement::{place, value};
use crate::cluster::{Network, Overlay, PluginPods};
use crate::state::Object;

/// Where the API proxy of a node listens.
pub(super) const API_PROXY_PORT: &str = "6444";

/// The interface is looked up by the address at which other nodes reach this one, where none is written: on a host with
/// several, that of the default route may lead nowhere.
pub(super) fn arguments(interface: Option<&str>) -> [String; 3] {
    let interface = match interface {
        // kubelet replaces `$(NAME)` in arguments; `$$` is a plain `$` to it.
        Some(name) => format!("--iface={}", name.replace('$', "$$")),
        None => "--public-ip=$(HOST_IP)".to_owned(),
    };
    ["--ip-masq".to_owned(), "--kube-subnet-mgr".to_owned(), interface]
}

/// What flannel reads. Its `MTU` is that of the interface between nodes, ours that of pods.
pub(super) fn network_configuration(network: &Network, overlay: &Overlay) -> String {
    let mut backend = json!({ "Type": "vxlan", "VNI": overlay.vni, "Port": overlay.port });
    if network.mtu != 0 {
        backend["MTU"] = network.mtu.saturating_add(Overlay::ENCAPSULATION).into();
    }
    pretty(&json!({ "Network": network.pod_cidr.to_string(), "EnableNFTables": false, "Backend": backend }))
}

/// JSON for people.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Places the plugin's pods, and says on how many nodes they are replaced at the same time.
pub(super) fn placed(mut objects: Vec<Object>, pods: &PluginPods) -> Vec<Object> {
    for object in objects.iter_mut().filter(|object| object.key.kind == "DaemonSet") {
        place(&mut object.body, &pods.placement, Some(&pods.priority_class));
        object.body["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = value(pods.max_unavailable);
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_passed_only_where_it_is_written() {
        assert_eq!(arguments(None)[2], "--public-ip=$(HOST_IP)");
        assert_eq!(arguments(Some("eth1"))[2], "--iface=eth1");
        assert_eq!(arguments(Some("$(NODE_NAME)"))[2], "--iface=$$(NODE_NAME)");
    }
}

//! What flannel is told, alone or as a part of Canal.

use serde_json::{Map, Value, json};

use crate::cluster::{Network, Overlay, PluginPods};

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

/// How the pods are placed, as values of both templates. Maps are lists of their members: templates have no others.
pub(super) fn placement(pods: &PluginPods) -> Value {
    let PluginPods { priority_class, node_selector, tolerations, max_unavailable } = pods;
    let labels = node_selector.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let tolerations: Vec<Value> = tolerations.iter().map(|toleration| members(json!(toleration).as_object())).collect();
    json!({
        "priority_class": priority_class,
        "node_selector": members(Some(&labels)),
        "tolerations": tolerations,
        "max_unavailable": max_unavailable,
    })
}

/// `{a: 1}` as `[{key: a, value: 1}]`, in the order of the keys.
pub(super) fn members(map: Option<&Map<String, Value>>) -> Value {
    let member = |(key, value): (&String, &Value)| json!({ "key": key, "value": value });
    map.into_iter().flatten().map(member).collect()
}

/// The values of a template: those of its own and others.
pub(super) fn merged(mut values: Value, others: Value) -> Value {
    if let (Some(values), Value::Object(others)) = (values.as_object_mut(), others) {
        values.extend(others);
    }
    values
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

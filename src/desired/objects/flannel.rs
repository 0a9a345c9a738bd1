//! flannel: pod traffic between nodes through VXLAN.

use serde_json::{Value, json};

use super::DesiredError;
use crate::base::Digest;
use crate::cluster::{Cluster, Network, NetworkPlugin};
use crate::desired::template::Template;
use crate::release::Release;
use crate::state::Object;

const FLANNEL: Template =
    Template { name: "flannel/flannel.yaml", text: include_str!("../../../templates/flannel/flannel.yaml") };
/// Where the API proxy of a node listens.
const API_PROXY_PORT: &str = "6444";
/// Bytes that VXLAN adds to a packet: outer Ethernet, IPv4, UDP and VXLAN headers.
const ENCAPSULATION: u32 = 50;

pub(super) fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    let NetworkPlugin::Flannel { interface, port, vni } = &cluster.network.plugin else { return Ok(Vec::new()) };
    let network_configuration = pretty(&network_configuration(&cluster.network, *port, *vni));
    let cni_configuration = pretty(&cni_configuration());
    let digest = Digest::of(format!("{network_configuration}\n{cni_configuration}").as_bytes());
    FLANNEL.objects(&json!({
        "image": release.images.flannel.0,
        "cni_image": release.images.flannel_cni.0,
        "network_configuration": network_configuration,
        "cni_configuration": cni_configuration,
        "configuration_digest": digest.to_string(),
        "arguments": arguments(interface.as_deref()),
        "api_port": API_PROXY_PORT,
    }))
}

/// The interface is looked up by the address at which other nodes reach this one, where none is written: on a host with
/// several, that of the default route may lead nowhere.
fn arguments(interface: Option<&str>) -> [String; 3] {
    let interface = match interface {
        // kubelet replaces `$(NAME)` in arguments; `$$` is a plain `$` to it.
        Some(name) => format!("--iface={}", name.replace('$', "$$")),
        None => "--public-ip=$(HOST_IP)".to_owned(),
    };
    ["--ip-masq".to_owned(), "--kube-subnet-mgr".to_owned(), interface]
}

/// What flannel reads. Its `MTU` is that of the interface between nodes, ours that of pods.
fn network_configuration(network: &Network, port: u16, vni: u32) -> Value {
    let mut backend = json!({ "Type": "vxlan", "VNI": vni, "Port": port });
    if network.mtu != 0 {
        backend["MTU"] = network.mtu.saturating_add(ENCAPSULATION).into();
    }
    json!({ "Network": network.pod_cidr.to_string(), "EnableNFTables": false, "Backend": backend })
}

/// What the runtime reads. 0.3.1 is the newest version that every release of flannel's plugin speaks.
fn cni_configuration() -> Value {
    json!({
        "name": "cbr0",
        "cniVersion": "0.3.1",
        "plugins": [
            { "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
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

//! flannel: pod traffic between nodes through VXLAN.

use serde_json::{Value, json};

use super::DesiredError;
use super::vxlan::{API_PROXY_PORT, arguments, network_configuration, placed, pretty};
use crate::base::Digest;
use crate::cluster::{Cluster, NetworkPlugin};
use crate::desired::template::Template;
use crate::release::Release;
use crate::state::Object;

const FLANNEL: Template =
    Template { name: "flannel/flannel.yaml", text: include_str!("../../../templates/flannel/flannel.yaml") };

pub(super) fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    let NetworkPlugin::Flannel(overlay) = &cluster.network.plugin else { return Ok(Vec::new()) };
    let network_configuration = network_configuration(&cluster.network, overlay);
    let cni_configuration = pretty(&cni_configuration());
    let digest = Digest::of(format!("{network_configuration}\n{cni_configuration}").as_bytes());
    let values = json!({
        "image": release.images.flannel.0,
        "cni_image": release.images.flannel_cni.0,
        "network_configuration": network_configuration,
        "cni_configuration": cni_configuration,
        "configuration_digest": digest.to_string(),
        "arguments": arguments(overlay.interface.as_deref()),
        "api_port": API_PROXY_PORT,
    });
    Ok(placed(FLANNEL.objects(&values)?, &overlay.pods))
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

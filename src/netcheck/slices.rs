//! Endpoints of Services.

use std::collections::BTreeMap;

use serde_json::Value;

use super::NameServers;
use crate::base::NodeName;

/// The label that names an EndpointSlice's Service.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The ready endpoints in EndpointSlices, by the Service that they belong to.
pub fn ready_endpoints(slices: &[Value]) -> BTreeMap<String, NameServers> {
    let mut found = BTreeMap::<String, NameServers>::new();
    for slice in slices {
        let Some(service) = slice["metadata"]["labels"][SERVICE_LABEL].as_str() else { continue };
        let endpoints = found.entry(service.to_owned()).or_default();
        // One that says nothing about its readiness is to be taken for ready (the API's own rule).
        let all = slice["endpoints"].as_array().into_iter().flatten();
        for endpoint in all.filter(|endpoint| endpoint["conditions"]["ready"] != false) {
            endpoints.ready += 1;
            let node = endpoint["nodeName"].as_str().and_then(|name| NodeName::new(name).ok());
            endpoints.nodes.extend(node);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ready_endpoints_count() {
        let slice = json!({
            "metadata": { "labels": { SERVICE_LABEL: "kube-dns" } },
            "endpoints": [
                { "nodeName": "h1", "conditions": { "ready": true } },
                { "nodeName": "h2", "conditions": { "ready": false } },
                { "conditions": {} },
            ],
        });
        let empty = json!({ "metadata": { "labels": { SERVICE_LABEL: "other" } }, "endpoints": null });
        let found = ready_endpoints(&[slice, empty]);
        assert_eq!(found["kube-dns"], NameServers { ready: 2, nodes: vec![NodeName::new("h1").unwrap()] });
        assert_eq!(found["other"].ready, 0);
    }
}

//! metrics-server: what nodes and pods use.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::DesiredError;
use super::placement::{TOLERATED, place, set_strategy};
use crate::cluster::{Cluster, Metrics};
use crate::desired::template::Template;
use crate::pki::Bundle;
use crate::release::Release;
use crate::state::Object;

const METRICS_SERVER: Template = Template {
    name: "metrics-server/metrics-server.yaml",
    text: include_str!("../../../templates/metrics-server/metrics-server.yaml"),
};
/// Kubelets' certificates are signed by the authority that every pod finds beside its token.
const ARGUMENTS: [(&str, &str); 7] = [
    ("kubelet-certificate-authority", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"),
    ("kubelet-preferred-address-types", "InternalIP"),
    ("kubelet-use-node-status-port", "true"),
    ("metric-resolution", "15s"),
    ("secure-port", "10250"),
    ("tls-cert-file", "/etc/metrics-server/tls.crt"),
    ("tls-private-key-file", "/etc/metrics-server/tls.key"),
];

pub(super) fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    let Some(metrics) = &cluster.metrics else { return Ok(Vec::new()) };
    let mut objects = METRICS_SERVER.objects(&json!({
        "image": release.images.metrics_server.0,
        "arguments": arguments(metrics),
        "replicas": metrics.replicas,
        "tolerated": TOLERATED,
    }))?;
    for object in objects.iter_mut().filter(|object| object.key.kind == "Deployment") {
        place(&mut object.body, &metrics.placement, metrics.priority_class.as_deref());
        set_strategy(&mut object.body, metrics.update_strategy);
    }
    Ok(objects)
}

/// The apiserver takes an answer from nobody else than who holds this key. Before kube-proxy has set up the Service, or where it
/// has lost it, packets to its address leave the host, and whoever answers there could not be told from it.
pub(super) fn certify(objects: &mut [Object], bundle: &Bundle) {
    let Some(identity) = &bundle.metrics_server else { return };
    for object in objects {
        match (object.key.kind.as_str(), object.key.name.as_str()) {
            ("Secret", "metrics-server-certificate") => {
                let (certificate, key) =
                    (STANDARD.encode(&identity.certificate), STANDARD.encode(identity.key.expose()));
                object.body["data"] = json!({ "tls.crt": certificate, "tls.key": key });
            }
            ("APIService", "v1beta1.metrics.k8s.io") => {
                object.body["spec"]["caBundle"] = STANDARD.encode(&bundle.cluster_authority).into();
            }
            _ => {}
        }
    }
}

/// Ours, then those of the file; of two with one name the file's.
fn arguments(metrics: &Metrics) -> Vec<String> {
    let ours = ARGUMENTS.iter().filter(|(flag, _)| !metrics.options.contains_key(*flag));
    let ours = ours.map(|(flag, value)| format!("--{flag}={value}"));
    // kubelet replaces `$(NAME)` in arguments; `$$` is a plain `$` to it.
    let written = metrics.options.iter().map(|(flag, value)| format!("--{flag}={}", value.replace('$', "$$")));
    ours.chain(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_of_the_file_replaces_ours() {
        let options = [("metric-resolution", "30s"), ("v", "2"), ("node-selector", "a=$(HOME)")];
        let options = options.map(|(flag, value)| (flag.to_owned(), value.to_owned())).into();
        let arguments = arguments(&Metrics { options, ..Metrics::default() });
        assert!(!arguments.contains(&"--metric-resolution=15s".to_owned()));
        assert_eq!(arguments[6..], ["--metric-resolution=30s", "--node-selector=a=$$(HOME)", "--v=2"]);
    }
}

//! What pods may ask for, up to Kubernetes 1.24. From 1.25 on the apiserver's own configuration says it.

use serde_json::json;

use super::DesiredError;
use crate::cluster::{Cluster, PodSecurity};
use crate::desired::template::Template;
use crate::release::{PodSecurityMechanism, Release};
use crate::state::Object;

const POLICIES: Template = Template {
    name: "pod-security/policies.yaml",
    text: include_str!("../../../templates/pod-security/policies.yaml"),
};

pub(super) fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    match release.pod_security {
        PodSecurityMechanism::Policy => POLICIES.objects(&json!({ "policy": policy(cluster.pod_security) })),
        PodSecurityMechanism::Admission => Ok(Vec::new()),
    }
}

/// The name of the policy that everybody may use.
fn policy(level: PodSecurity) -> String {
    format!("provision-{}", level.as_str())
}

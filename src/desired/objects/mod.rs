//! Objects of the API that the tool makes and keeps.

mod canal;
mod coredns;
mod flannel;
mod metrics_server;
mod placement;
mod pod_security;
mod rbac;
#[cfg(test)]
mod tests;
mod vxlan;

use serde_json::{Value, json};

use super::DesiredError;
use crate::cluster::Cluster;
use crate::release::Release;
use crate::state::{Object, ObjectKey};

/// Where all system pods live; the only namespace exempt from pod security.
const SYSTEM_NAMESPACE: &str = "kube-system";
/// The label by which everything of ours is found, and its value.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "provision");

/// Gives the objects of one concern; none where the cluster does without.
type Part = fn(&Cluster, &Release) -> Result<Vec<Object>, DesiredError>;

/// In the order in which they are applied: without roles and policies no pod is admitted, without a network none starts.
const PARTS: [Part; 6] =
    [rbac::objects, pod_security::objects, canal::objects, flannel::objects, coredns::objects, metrics_server::objects];

/// All objects in the order in which they are applied. Equal input gives equal objects.
///
/// # Errors
///
/// Only a template that does not fit its values.
pub fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    let mut objects = Vec::new();
    for part in PARTS {
        objects.extend(part(cluster, release)?);
    }
    objects.extend(cluster.addons.iter().flat_map(|addon| addon.objects.iter().cloned()));
    for object in &mut objects {
        mark(&mut object.body);
    }
    Ok(objects)
}

/// Makes of [`objects`] what the hosts ask for: the number of CPU cores of all nodes decides how often CoreDNS runs.
pub fn fit_to_cores(objects: &mut [Object], cluster: &Cluster, cores: u64) {
    coredns::fit_to_cores(objects, cluster, cores);
}

/// The keys of [`objects`], in the same order: what has to be looked at.
///
/// # Errors
///
/// As for [`objects`].
pub fn object_keys(cluster: &Cluster, release: &Release) -> Result<Vec<ObjectKey>, DesiredError> {
    Ok(objects(cluster, release)?.into_iter().map(|object| object.key).collect())
}

/// Labels an object as ours.
fn mark(body: &mut Value) {
    let labels = &mut body["metadata"]["labels"];
    if labels.is_null() {
        *labels = json!({});
    }
    labels[MANAGED_BY.0] = MANAGED_BY.1.into();
}

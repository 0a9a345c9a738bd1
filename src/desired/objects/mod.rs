//! Objects of the API that the tool makes and keeps.

mod canal;
mod coredns;
mod flannel;
mod metrics_server;
mod placement;
mod pod_security;
mod prepare;
mod rbac;
#[cfg(test)]
mod tests;
mod vxlan;

use super::DesiredError;
use crate::cluster::Cluster;
use crate::pki::Bundle;
use crate::release::Release;
use crate::state::{Object, ObjectKey};

pub(super) use prepare::stamp;
pub use prepare::{KEEP, MANAGED_BY, STAMP, complete, complete_objects};

/// Where all system pods live; the only namespace exempt from pod security.
const SYSTEM_NAMESPACE: &str = "kube-system";

/// Gives the objects of one add-on; none where the cluster does without.
type Part = fn(&Cluster, &Release) -> Result<Vec<Object>, DesiredError>;

/// The tool's add-ons by name: without roles and policies no pod is admitted, without a network none starts. A name may
/// stand in several rows.
const PARTS: [(&str, Part); 6] = [
    ("access", rbac::objects),
    (POD_SECURITY, pod_security::objects),
    (NETWORK, canal::objects),
    (NETWORK, flannel::objects),
    ("dns", coredns::objects),
    ("metrics-server", metrics_server::objects),
];

/// The add-on of policies that only versions before 1.25 know.
pub const POD_SECURITY: &str = "pod-security";
/// The add-on without which no node becomes Ready.
pub const NETWORK: &str = "network";

/// All objects, the tool's own first, then those of the operator's add-ons. Equal input gives equal objects.
///
/// # Errors
///
/// Only a template that does not fit its values.
pub fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    let mut objects = Vec::new();
    for (addon, part) in PARTS {
        objects.extend(part(cluster, release)?.into_iter().map(|object| object.of(addon)));
    }
    for addon in &cluster.addons {
        objects.extend(addon.objects.iter().cloned().map(|object| object.of(&addon.name)));
    }
    for object in &mut objects {
        prepare::prepare(&mut object.body);
    }
    Ok(objects)
}

/// Makes of [`objects`] what the hosts ask for: the number of CPU cores of all nodes decides how often CoreDNS runs.
pub fn fit_to_cores(objects: &mut [Object], cluster: &Cluster, cores: u64) {
    coredns::fit_to_cores(objects, cluster, cores);
}

/// Gives [`objects`] the certificates with which add-ons serve the apiserver.
pub fn certify(objects: &mut [Object], bundle: &Bundle) {
    metrics_server::certify(objects, bundle);
}

/// The keys of [`objects`], in the same order: what has to be looked at.
///
/// # Errors
///
/// As for [`objects`].
pub fn object_keys(cluster: &Cluster, release: &Release) -> Result<Vec<ObjectKey>, DesiredError> {
    Ok(objects(cluster, release)?.into_iter().map(|object| object.key).collect())
}

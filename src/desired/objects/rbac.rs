//! Who may do what, besides the roles that every apiserver makes itself.

use serde_json::json;

use super::{DesiredError, SYSTEM_NAMESPACE};
use crate::cluster::Cluster;
use crate::desired::template::Template;
use crate::pki::ADMINS;
use crate::release::Release;
use crate::state::Object;

const ACCESS: Template =
    Template { name: "rbac/access.yaml", text: include_str!("../../../templates/rbac/access.yaml") };
/// The common name of the certificate that apiservers show to kubelets.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// Namespaces that every apiserver makes.
const NAMESPACES: [&str; 4] = ["default", SYSTEM_NAMESPACE, "kube-public", "kube-node-lease"];

pub(super) fn objects(_: &Cluster, _: &Release) -> Result<Vec<Object>, DesiredError> {
    let values = json!({ "admins": ADMINS, "kubelet_client": KUBELET_CLIENT, "namespaces": NAMESPACES });
    ACCESS.objects(&values)
}

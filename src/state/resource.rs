//! Kinds of the API, and where their objects live.

use std::fmt;

use serde_json::Value;

/// A kind in one version of its group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKind {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `ConfigMap`, …
    pub kind: String,
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}", self.kind, self.api_version)
    }
}

/// Where objects of a kind live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The word in paths: `configmaps`.
    pub plural: String,
    /// Whether they lie in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// A kind that Kubernetes brings, in whatever version of its group; `None` for all others, which only the cluster or
    /// their definitions can tell of. A table, because asking would cost every run two more requests one after the other.
    pub fn built_in(kind: &ResourceKind) -> Option<Self> {
        let group = kind.api_version.split_once('/').map_or("", |(group, _)| group);
        let row = BUILT_IN.iter().find(|row| row.group == group && row.kind == kind.kind)?;
        Some(Self { plural: row.plural.to_owned(), namespaced: row.namespaced })
    }

    /// The kinds that a CustomResourceDefinition gives, one for each version that is served; none for other objects.
    pub fn defined_by(definition: &Value) -> Vec<(ResourceKind, Self)> {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let parts = (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"));
        let (Some(group), Some(kind), Some(plural)) = parts else { return Vec::new() };
        if definition["kind"] != "CustomResourceDefinition" {
            return Vec::new();
        }
        let namespaced = definition.pointer("/spec/scope").is_some_and(|scope| scope == "Namespaced");
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
        let served = versions.into_iter().flatten().filter(|version| version["served"] == true);
        let named = served.filter_map(|version| version["name"].as_str());
        let entry = |version: &str| {
            let kind = ResourceKind { api_version: format!("{group}/{version}"), kind: kind.clone() };
            (kind, Self { plural: plural.clone(), namespaced })
        };
        named.map(entry).collect()
    }
}

/// One row.
struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
}

const fn cluster(group: &'static str, kind: &'static str, plural: &'static str) -> Row {
    Row { group, kind, plural, namespaced: false }
}

const fn namespaced(group: &'static str, kind: &'static str, plural: &'static str) -> Row {
    Row { group, kind, plural, namespaced: true }
}

/// From the reference of Kubernetes' API, <https://kubernetes.io/docs/reference/kubernetes-api/>.
const BUILT_IN: &[Row] = &[
    cluster("", "Namespace", "namespaces"),
    cluster("", "Node", "nodes"),
    cluster("", "PersistentVolume", "persistentvolumes"),
    namespaced("", "ConfigMap", "configmaps"),
    namespaced("", "Endpoints", "endpoints"),
    namespaced("", "Event", "events"),
    namespaced("", "LimitRange", "limitranges"),
    namespaced("", "PersistentVolumeClaim", "persistentvolumeclaims"),
    namespaced("", "Pod", "pods"),
    namespaced("", "PodTemplate", "podtemplates"),
    namespaced("", "ReplicationController", "replicationcontrollers"),
    namespaced("", "ResourceQuota", "resourcequotas"),
    namespaced("", "Secret", "secrets"),
    namespaced("", "Service", "services"),
    namespaced("", "ServiceAccount", "serviceaccounts"),
    cluster("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    cluster("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    cluster("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
    cluster("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
    cluster("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions"),
    cluster("apiregistration.k8s.io", "APIService", "apiservices"),
    namespaced("apps", "ControllerRevision", "controllerrevisions"),
    namespaced("apps", "DaemonSet", "daemonsets"),
    namespaced("apps", "Deployment", "deployments"),
    namespaced("apps", "ReplicaSet", "replicasets"),
    namespaced("apps", "StatefulSet", "statefulsets"),
    namespaced("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    namespaced("batch", "CronJob", "cronjobs"),
    namespaced("batch", "Job", "jobs"),
    cluster("certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests"),
    namespaced("coordination.k8s.io", "Lease", "leases"),
    namespaced("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    cluster("flowcontrol.apiserver.k8s.io", "FlowSchema", "flowschemas"),
    cluster("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", "prioritylevelconfigurations"),
    namespaced("networking.k8s.io", "Ingress", "ingresses"),
    cluster("networking.k8s.io", "IngressClass", "ingressclasses"),
    namespaced("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
    cluster("node.k8s.io", "RuntimeClass", "runtimeclasses"),
    namespaced("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
    cluster("policy", "PodSecurityPolicy", "podsecuritypolicies"),
    cluster("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
    cluster("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings"),
    namespaced("rbac.authorization.k8s.io", "Role", "roles"),
    namespaced("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    cluster("scheduling.k8s.io", "PriorityClass", "priorityclasses"),
    cluster("storage.k8s.io", "CSIDriver", "csidrivers"),
    cluster("storage.k8s.io", "StorageClass", "storageclasses"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(api_version: &str, kind: &str) -> ResourceKind {
        ResourceKind { api_version: api_version.into(), kind: kind.into() }
    }

    #[test]
    fn a_kind_is_known_in_its_group_only() {
        let found = |api_version: &str, name: &str| Resource::built_in(&kind(api_version, name)).map(|row| row.plural);
        assert_eq!(found("networking.k8s.io/v1", "Ingress").as_deref(), Some("ingresses"));
        assert_eq!(found("policy/v1beta1", "PodDisruptionBudget").as_deref(), Some("poddisruptionbudgets"));
        assert_eq!(found("example.org/v1", "Ingress"), None);
        assert_eq!(found("v1", "Deployment"), None);
    }

    #[test]
    fn a_definition_tells_of_the_versions_that_it_serves() {
        let mut definition = json!({
            "kind": "CustomResourceDefinition",
            "spec": {
                "group": "example.org",
                "scope": "Namespaced",
                "names": {"kind": "Octopus", "plural": "octopodes"},
                "versions": [{"name": "v1", "served": true}, {"name": "v1beta1", "served": false}],
            },
        });
        let resource = Resource { plural: "octopodes".into(), namespaced: true };
        assert_eq!(Resource::defined_by(&definition), [(kind("example.org/v1", "Octopus"), resource)]);
        definition["kind"] = "Other".into();
        assert_eq!(Resource::defined_by(&definition), []);
    }
}

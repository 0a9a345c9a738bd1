//! The kinds that the tool handles, and where their objects live.

/// One row.
struct Resource {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
}

const fn cluster(group: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    Resource { group, kind, plural, namespaced: false }
}

const fn namespaced(group: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    Resource { group, kind, plural, namespaced: true }
}

/// A table instead of discovery, which would cost every run two more requests one after the other.
const RESOURCES: &[Resource] = &[
    cluster("", "Namespace", "namespaces"),
    cluster("", "Node", "nodes"),
    namespaced("", "ConfigMap", "configmaps"),
    namespaced("", "Event", "events"),
    namespaced("", "Pod", "pods"),
    namespaced("", "Secret", "secrets"),
    namespaced("", "Service", "services"),
    namespaced("", "ServiceAccount", "serviceaccounts"),
    cluster("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions"),
    cluster("apiregistration.k8s.io", "APIService", "apiservices"),
    namespaced("apps", "DaemonSet", "daemonsets"),
    namespaced("apps", "Deployment", "deployments"),
    namespaced("coordination.k8s.io", "Lease", "leases"),
    namespaced("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    namespaced("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
    cluster("policy", "PodSecurityPolicy", "podsecuritypolicies"),
    namespaced("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
    cluster("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
    cluster("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings"),
    namespaced("rbac.authorization.k8s.io", "Role", "roles"),
    namespaced("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    cluster("scheduling.k8s.io", "PriorityClass", "priorityclasses"),
];

/// The plural of a kind and whether its objects lie in namespaces; `None` for a kind that the tool does not handle.
pub(super) fn lookup(api_version: &str, kind: &str) -> Option<(&'static str, bool)> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let row = RESOURCES.iter().find(|row| row.group == group && row.kind == kind)?;
    Some((row.plural, row.namespaced))
}

//! Paths of the API.

use std::fmt::Write as _;

use super::KubeApiError;
use crate::state::{ObjectKey, Resource};

/// The path of one object of a kind that Kubernetes brings.
pub(super) fn object_path(key: &ObjectKey) -> Result<String, KubeApiError> {
    let collection = collection_path(key)?;
    Ok(format!("{collection}/{}", encode(&key.name)))
}

/// The path of the collection that an object lies in.
pub(super) fn collection_path(key: &ObjectKey) -> Result<String, KubeApiError> {
    let resource = Resource::built_in(&key.resource_kind())
        .ok_or_else(|| unaddressable(key, "the tool handles no objects of this kind"))?;
    collection_path_of(key, &resource)
}

/// The path of one object of any kind.
pub(super) fn object_path_of(key: &ObjectKey, resource: &Resource) -> Result<String, KubeApiError> {
    let collection = collection_path_of(key, resource)?;
    Ok(format!("{collection}/{}", encode(&key.name)))
}

fn collection_path_of(key: &ObjectKey, resource: &Resource) -> Result<String, KubeApiError> {
    let Resource { plural, namespaced } = resource;
    let root = group_path(&key.api_version);
    match (namespaced, key.namespace.as_str()) {
        (true, "") => Err(unaddressable(key, "objects of this kind need a namespace")),
        (true, namespace) => Ok(format!("{root}/namespaces/{}/{plural}", encode(namespace))),
        (false, "") => Ok(format!("{root}/{plural}")),
        (false, _) => Err(unaddressable(key, "objects of this kind have no namespace")),
    }
}

/// The path of a version of a group.
pub(super) fn group_path(api_version: &str) -> String {
    let root = if api_version.contains('/') { "/apis" } else { "/api" };
    format!("{root}/{api_version}")
}

fn unaddressable(key: &ObjectKey, reason: &'static str) -> KubeApiError {
    let ObjectKey { api_version, kind, name, .. } = key.clone();
    KubeApiError::Unaddressable { api_version, kind, name, reason }
}

/// A path with query parameters.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{name}={}", encode(value));
    }
    text
}

/// Percent-encodes all but RFC 3986's unreserved characters and the colon of names like `system:node`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(api_version: &str, kind: &str, namespace: &str, name: &str) -> ObjectKey {
        let [api_version, kind, namespace, name] = [api_version, kind, namespace, name].map(str::to_owned);
        ObjectKey { api_version, kind, namespace, name }
    }

    #[test]
    fn objects_lie_where_the_api_puts_them() {
        for (key, path) in [
            (key("v1", "Node", "", "h1"), "/api/v1/nodes/h1"),
            (key("v1", "ConfigMap", "kube-system", "a"), "/api/v1/namespaces/kube-system/configmaps/a"),
            (key("apps/v1", "DaemonSet", "kube-system", "a"), "/apis/apps/v1/namespaces/kube-system/daemonsets/a"),
            (
                key("policy/v1beta1", "PodSecurityPolicy", "", "restricted"),
                "/apis/policy/v1beta1/podsecuritypolicies/restricted",
            ),
            (
                key("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:a/b?c"),
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%2Fb%3Fc",
            ),
        ] {
            assert_eq!(object_path(&key).unwrap(), path);
        }
    }

    #[test]
    fn what_has_no_path_is_refused() {
        for key in [
            key("v1", "Deployment", "a", "b"),
            key("v1", "ConfigMap", "", "b"),
            key("v1", "Node", "a", "b"),
            key("example.org/v1", "Foo", "", "b"),
        ] {
            assert!(object_path(&key).is_err(), "{key}");
        }
    }

    #[test]
    fn query_values_are_encoded() {
        let path = with_query("/a", &[("labelSelector", "k8s-app=x"), ("limit", "1")]);
        assert_eq!(path, "/a?labelSelector=k8s-app%3Dx&limit=1");
    }
}

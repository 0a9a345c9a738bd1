//! Objects of the Kubernetes API.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ResourceKind;
use crate::base::NodeName;

/// Who the API says owns the fields that the tool writes.
pub const FIELD_MANAGER: &str = "provision";

/// What names an object: group and version, kind, namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `ConfigMap`, …
    pub kind: String,
    /// Empty for objects of the cluster.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl ObjectKey {
    /// Whether both name the same object, which all versions of its group show.
    pub fn is_same_object(&self, other: &Self) -> bool {
        (self.group(), &self.kind, &self.namespace, &self.name)
            == (other.group(), &other.kind, &other.namespace, &other.name)
    }

    /// The group of its kind; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Its kind, with the version.
    pub fn resource_kind(&self) -> ResourceKind {
        ResourceKind { api_version: self.api_version.clone(), kind: self.kind.clone() }
    }

    /// The key of a Node object.
    pub fn node(name: &NodeName) -> Self {
        Self { api_version: "v1".into(), kind: "Node".into(), namespace: String::new(), name: name.to_string() }
    }

    /// The key of the Lease by which the instances of a component of the control plane agree on a leader.
    pub fn leader_lease(component: &str) -> Self {
        let (api_version, namespace) = ("coordination.k8s.io/v1".to_owned(), "kube-system".to_owned());
        Self { api_version, kind: "Lease".into(), namespace, name: component.to_owned() }
    }

    /// The key of a Namespace object.
    pub fn namespace(name: &str) -> Self {
        Self { api_version: "v1".into(), kind: "Namespace".into(), namespace: String::new(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(formatter, "{}/", self.namespace)?;
        }
        formatter.write_str(&self.name)
    }
}

/// An object to be applied, complete with `apiVersion`, `kind` and `metadata`.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// What names it.
    pub key: ObjectKey,
    /// The add-on that it belongs to; empty until [`Object::of`] or the table of add-ons says it.
    pub addon: String,
    /// Who the API shall say owns its fields.
    pub manager: &'static str,
    /// The whole object.
    pub body: Value,
}

impl Object {
    /// Takes a value that has `apiVersion`, `kind` and `metadata.name`; `None` if one is missing.
    pub fn new(body: Value) -> Option<Self> {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let key = ObjectKey {
            api_version: text("/apiVersion")?,
            kind: text("/kind")?,
            namespace: text("/metadata/namespace").unwrap_or_default(),
            name: text("/metadata/name")?,
        };
        Some(Self { key, addon: String::new(), manager: FIELD_MANAGER, body })
    }

    /// The same object as part of an add-on.
    #[must_use]
    pub fn of(self, addon: &str) -> Self {
        Self { addon: addon.to_owned(), ..self }
    }

    /// The same object, applied by another manager than [`FIELD_MANAGER`]: it owns what it writes and nothing else.
    #[must_use]
    pub fn managed_by(self, manager: &'static str) -> Self {
        Self { manager, ..self }
    }
}

/// A live object that shall go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// What names it.
    pub key: ObjectKey,
    /// What tells it from an earlier or later one of that name.
    pub uid: String,
}

/// Without the body, which may be a Secret's.
impl fmt::Debug for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, addon, .. } = self;
        formatter.debug_struct("Object").field("key", key).field("addon", addon).finish_non_exhaustive()
    }
}

//! Objects of the Kubernetes API.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::NodeName;

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
    /// The key of a Node object.
    pub fn node(name: &NodeName) -> Self {
        Self { api_version: "v1".into(), kind: "Node".into(), namespace: String::new(), name: name.to_string() }
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
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What names it.
    pub key: ObjectKey,
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
        Some(Self { key, body })
    }
}

//! Objects that are found by what they are, not by name.

use http::Method;
use serde_json::Value;

use super::paths::{collection_path, group_path, object_path, with_query};
use super::{KubeApi, KubeApiError, ReadApi, RefusalReason};
use crate::state::{ObjectKey, Resource, ResourceKind};

/// Objects of one piece of a list.
const AT_ONCE: &str = "500";

/// All objects of a kind, in a namespace where the kind has one, that carry a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Empty for objects of the cluster.
    pub namespace: String,
    /// A label selector, such as `app=a`.
    pub labels: String,
}

impl ReadApi {
    /// The objects of a collection, in no particular order.
    ///
    /// # Errors
    ///
    /// A kind that the tool does not handle; what the apiserver refuses.
    pub async fn collection(&self, wanted: &Collection) -> Result<Vec<Value>, KubeApiError> {
        let operation = format!("listing {} with {}", wanted.kind, wanted.labels);
        self.list(&path(wanted)?, &operation).await
    }
}

impl ReadApi {
    /// All objects of a kind, whatever their namespace, each with its `apiVersion` and `kind`, which lists leave out. Read
    /// piece by piece: a big cluster has many pods.
    pub async fn all_of(&self, kind: &ResourceKind, resource: &Resource) -> Result<Vec<Value>, KubeApiError> {
        let path = format!("{}/{}", group_path(&kind.api_version), resource.plural);
        let operation = format!("listing {}", resource.plural);
        let (mut objects, mut next) = (Vec::new(), String::new());
        loop {
            let piece = with_query(&path, &[("limit", AT_ONCE), ("continue", &next)]);
            let mut list = self.json(Method::GET, &piece, &operation, None).await?;
            let Value::Array(items) = list["items"].take() else { break };
            objects.extend(items.into_iter().map(|mut object| {
                object["apiVersion"] = kind.api_version.as_str().into();
                object["kind"] = kind.kind.as_str().into();
                object
            }));
            match list["metadata"]["continue"].as_str() {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => break,
            }
        }
        Ok(objects)
    }
}

fn path(wanted: &Collection) -> Result<String, KubeApiError> {
    let Collection { api_version, kind, namespace, labels } = wanted.clone();
    let path = collection_path(&ObjectKey { api_version, kind, namespace, name: String::new() })?;
    Ok(with_query(&path, &[("labelSelector", &labels)]))
}

impl KubeApi {
    /// Asks for the deletion of all objects of a collection, which may be over only later.
    ///
    /// # Errors
    ///
    /// A kind that the tool does not handle; what the apiserver refuses.
    pub async fn remove_all(&self, wanted: &Collection) -> Result<(), KubeApiError> {
        let operation = format!("deleting {} with {}", wanted.kind, wanted.labels);
        self.read().json(Method::DELETE, &path(wanted)?, &operation, None).await.map(|_| ())
    }

    /// Asks for an object's deletion, which may be over only later. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// What the apiserver refuses.
    pub async fn remove(&self, key: &ObjectKey) -> Result<(), KubeApiError> {
        let answer = self.read().json(Method::DELETE, &object_path(key)?, &format!("deleting {key}"), None).await;
        match answer {
            Err(error) if error.refusal() != Some(RefusalReason::NotFound) => Err(error),
            _ => Ok(()),
        }
    }
}

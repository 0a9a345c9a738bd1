//! The half that changes objects.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::node::{TAINTS_ANNOTATION, merge_taints, read_annotation, write_annotation};
use super::paths::{object_path, object_path_of, with_query};
use super::read::core_key;
use super::{KubeApiError, ReadApi, RefusalReason};
use crate::base::NodeName;
use crate::cluster::Taint;
use crate::host::ReadHost;
use crate::https::ClientTls;
use crate::state::{FIELD_MANAGER, Object, ObjectKey, Resource};

/// How often a change of taints is tried against others who write the same Node at the same moment.
const TAINT_ATTEMPTS: usize = 5;

/// An apiserver that a run may write to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KubeApi {
    read: ReadApi,
}

impl KubeApi {
    /// Opens a connection to the apiserver on a host's loopback: one channel, one TLS handshake.
    pub async fn connect(host: &dyn ReadHost, port: u16, tls: &ClientTls) -> Result<Self, KubeApiError> {
        Ok(Self { read: ReadApi::connect(host, port, tls).await? })
    }

    /// The half that only reads, over the same connection.
    pub fn read(&self) -> &ReadApi {
        &self.read
    }

    /// Makes an object what is given, by server-side apply: fields that others own and we do not write stay, fields that
    /// we no longer write go, and conflicts are decided for us. Unknown fields are an error from 1.25 on; 1.24 drops
    /// them silently. Returns the object as it is now.
    pub async fn apply(&self, object: &Object, resource: &Resource) -> Result<Value, KubeApiError> {
        let path = object_path_of(&object.key, resource)?;
        self.patch(&path, &format!("applying {}", object.key), object.manager, &object.body).await
    }

    async fn patch(&self, path: &str, operation: &str, manager: &str, body: &Value) -> Result<Value, KubeApiError> {
        let parameters = [("fieldManager", manager), ("force", "true"), ("fieldValidation", "Strict")];
        let path = with_query(path, &parameters);
        self.read.json(Method::PATCH, &path, operation, Some(("application/apply-patch+yaml", body))).await
    }

    /// Deletes an object and leaves what it owns to the garbage collector. One that is gone, or that is another one of the
    /// same name by now, is left alone.
    pub async fn delete(&self, key: &ObjectKey, resource: &Resource, uid: &str) -> Result<(), KubeApiError> {
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": { "uid": uid },
        });
        let path = object_path_of(key, resource)?;
        let content = Some(("application/json", &body));
        match self.read.json(Method::DELETE, &path, &format!("deleting {key}"), content).await {
            Err(error) if matches!(error.refusal(), Some(RefusalReason::NotFound | RefusalReason::Conflict)) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// Gives a Node exactly these labels and taints of ours; those of others stay.
    ///
    /// # Errors
    ///
    /// The Node must exist: it is never made here, since only kubelet can.
    pub async fn set_node_metadata(
        &self,
        node: &NodeName,
        labels: &BTreeMap<String, String>,
        taints: &[Taint],
    ) -> Result<(), KubeApiError> {
        let key = core_key("Node", "", node.as_str());
        for _ in 1..TAINT_ATTEMPTS {
            match self.try_node_metadata(&key, labels, taints).await {
                Err(error) if error.refusal() == Some(RefusalReason::Conflict) => {}
                result => return result,
            }
        }
        self.try_node_metadata(&key, labels, taints).await
    }

    /// Taints first: were the note of what is ours written first, an interruption would make us forget what to remove.
    async fn try_node_metadata(
        &self,
        key: &ObjectKey,
        labels: &BTreeMap<String, String>,
        taints: &[Taint],
    ) -> Result<(), KubeApiError> {
        let operation = format!("setting labels and taints of {key}");
        let path = object_path(key)?;
        let live = self.read.json(Method::GET, &path, &operation, None).await?;
        if let Some(body) = taint_patch(&live, taints) {
            let content = Some(("application/merge-patch+json", &body));
            let path = with_query(&path, &[("fieldManager", FIELD_MANAGER)]);
            self.read.json(Method::PATCH, &path, &operation, content).await?;
        }
        let mut metadata = json!({ "name": key.name, "uid": live["metadata"]["uid"], "labels": labels });
        if !taints.is_empty() {
            metadata["annotations"] = json!({ TAINTS_ANNOTATION: write_annotation(taints) });
        }
        let body = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata });
        self.patch(&path, &operation, FIELD_MANAGER, &body).await.map(|_| ())
    }
}

/// The change of taints, if there is one to make. It holds only for the version that was read.
fn taint_patch(live: &Value, wanted: &[Taint]) -> Option<Value> {
    let taints = live.pointer("/spec/taints").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let note = live["metadata"]["annotations"][TAINTS_ANNOTATION].as_str().unwrap_or_default();
    let merged = merge_taints(taints, &read_annotation(note), wanted);
    let version = &live["metadata"]["resourceVersion"];
    let patch = || json!({ "metadata": { "resourceVersion": version }, "spec": { "taints": merged } });
    (merged != taints).then(patch)
}

//! Keeping new pods from a node, and letting them back.

use http::Method;
use serde_json::{Value, json};

use super::paths::{object_path, with_query};
use super::read::core_key;
use super::{KubeApi, KubeApiError, RefusalReason};
use crate::base::NodeName;
use crate::state::{FIELD_MANAGER, ObjectKey};

/// The annotation of a Node that the tool has cordoned. One that is cordoned without it was so before, and stays so.
pub const CORDONED_ANNOTATION: &str = "provision/cordoned";

/// How often a change is tried against others who write the same Node at the same moment, as kubelets do all the time.
const ATTEMPTS: usize = 5;

/// Whether the tool itself keeps pods from a live Node. An annotation on a Node that takes pods is a leftover: somebody
/// else has lifted the cordon since.
pub fn is_cordoned_by_us(node: &Value) -> bool {
    is_cordoned(node) && node["metadata"]["annotations"][CORDONED_ANNOTATION].is_string()
}

fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

impl KubeApi {
    /// Keeps new pods from a node, and notes on it that it was the tool, in one request. A node that the operator has
    /// cordoned is left as it is.
    pub async fn cordon(&self, node: &NodeName) -> Result<(), KubeApiError> {
        self.change_node(node, "cordoning", |live| {
            let annotations = json!({ CORDONED_ANNOTATION: "true" });
            (!is_cordoned(live))
                .then(|| json!({ "metadata": { "annotations": annotations }, "spec": { "unschedulable": true } }))
        })
        .await
    }

    /// Lets new pods onto a node that the tool has cordoned. A cordon of the operator stays.
    pub async fn uncordon(&self, node: &NodeName) -> Result<(), KubeApiError> {
        self.change_node(node, "uncordoning", |live| {
            let annotations = json!({ CORDONED_ANNOTATION: null });
            let noted = live["metadata"]["annotations"][CORDONED_ANNOTATION].is_string();
            noted.then(|| json!({ "metadata": { "annotations": annotations }, "spec": { "unschedulable": null } }))
        })
        .await
    }

    /// Reads a Node and merges what `change` makes of it, for exactly the version that was read.
    async fn change_node(
        &self,
        node: &NodeName,
        doing: &str,
        change: impl Fn(&Value) -> Option<Value>,
    ) -> Result<(), KubeApiError> {
        let key = core_key("Node", "", node.as_str());
        let operation = format!("{doing} {key}");
        for _ in 1..ATTEMPTS {
            match self.try_change(&key, &operation, &change).await {
                Err(error) if error.refusal() == Some(RefusalReason::Conflict) => {}
                result => return result,
            }
        }
        self.try_change(&key, &operation, &change).await
    }

    async fn try_change(
        &self,
        key: &ObjectKey,
        operation: &str,
        change: impl Fn(&Value) -> Option<Value>,
    ) -> Result<(), KubeApiError> {
        let path = object_path(key)?;
        let live = self.read().json(Method::GET, &path, operation, None).await?;
        let Some(mut patch) = change(&live) else { return Ok(()) };
        patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        let content = Some(("application/merge-patch+json", &patch));
        let path = with_query(&path, &[("fieldManager", FIELD_MANAGER)]);
        self.read().json(Method::PATCH, &path, operation, content).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cordon_is_ours_only_where_it_stands_and_is_noted() {
        let node = |unschedulable: bool, annotations: Value| json!({ "metadata": { "annotations": annotations }, "spec": { "unschedulable": unschedulable } });
        assert!(is_cordoned_by_us(&node(true, json!({ CORDONED_ANNOTATION: "true" }))));
        assert!(!is_cordoned_by_us(&node(true, json!({}))), "the operator's");
        assert!(!is_cordoned_by_us(&node(false, json!({ CORDONED_ANNOTATION: "true" }))), "lifted by somebody");
    }
}

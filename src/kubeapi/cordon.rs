//! Keeping new pods from a node, and letting them back.

use http::Method;
use serde_json::{Value, json};

use super::paths::{object_path, with_query};
use super::read::core_key;
use super::{KubeApi, KubeApiError, RefusalReason};
use crate::base::NodeName;
use crate::state::{FIELD_MANAGER, ObjectKey};

/// The annotation of a Node that the tool has cordoned: what people see of it. Whose a cordon is the server tells.
pub const CORDONED_ANNOTATION: &str = "provision/cordoned";

/// How often a change is tried against others who write the same Node at the same moment, as kubelets do all the time.
const ATTEMPTS: usize = 5;

/// Whether the tool itself keeps pods from a live Node: it has noted so, and by the server's account of who wrote which field
/// (`metadata.managedFields`) the cordon is its own. Where somebody has lifted it and cordoned the node anew, the note is a
/// leftover, and the cordon that one's.
pub fn is_cordoned_by_us(node: &Value) -> bool {
    is_cordoned(node) && is_noted(node) && has_written_the_cordon(node)
}

/// Whether a live Node has the note of a cordon that is no longer the tool's.
pub fn has_stale_note(node: &Value) -> bool {
    is_noted(node) && !is_cordoned_by_us(node)
}

fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

fn is_noted(node: &Value) -> bool {
    node["metadata"]["annotations"][CORDONED_ANNOTATION].is_string()
}

/// Who lifts a cordon removes the field, and with it everybody's claim to it.
fn has_written_the_cordon(node: &Value) -> bool {
    let is_ours = |entry: &Value| {
        entry["manager"] == FIELD_MANAGER && entry.pointer("/fieldsV1/f:spec/f:unschedulable").is_some()
    };
    node["metadata"]["managedFields"].as_array().is_some_and(|entries| entries.iter().any(is_ours))
}

/// What cordons a live Node; nothing where it is cordoned, but for a note that is no longer true.
fn cordoning(live: &Value) -> Option<Value> {
    if !is_cordoned(live) {
        let annotations = json!({ CORDONED_ANNOTATION: "true" });
        return Some(json!({ "metadata": { "annotations": annotations }, "spec": { "unschedulable": true } }));
    }
    has_stale_note(live).then(without_note)
}

/// What lifts a cordon of the tool; of another's it takes only the tool's note away.
fn uncordoning(live: &Value) -> Option<Value> {
    if is_cordoned_by_us(live) {
        let mut patch = without_note();
        patch["spec"] = json!({ "unschedulable": null });
        return Some(patch);
    }
    is_noted(live).then(without_note)
}

fn without_note() -> Value {
    json!({ "metadata": { "annotations": { CORDONED_ANNOTATION: null } } })
}

impl KubeApi {
    /// Keeps new pods from a node, and notes on it that it was the tool, in one request. A node that the operator has
    /// cordoned is left as it is.
    pub async fn cordon(&self, node: &NodeName) -> Result<(), KubeApiError> {
        self.change_node(node, "cordoning", cordoning).await
    }

    /// Lets new pods onto a node that the tool has cordoned. A cordon of the operator stays.
    pub async fn uncordon(&self, node: &NodeName) -> Result<(), KubeApiError> {
        self.change_node(node, "uncordoning", uncordoning).await
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

    /// A Node as the server gives it, whose cordon was written by `by`.
    fn node(unschedulable: bool, noted: bool, by: &str) -> Value {
        let annotations = if noted { json!({ CORDONED_ANNOTATION: "true" }) } else { json!({}) };
        let cordon = if unschedulable { json!({ "f:unschedulable": {} }) } else { json!({ "f:podCIDR": {} }) };
        let fields = json!([
            { "manager": "kubelet", "operation": "Update", "fieldsV1": { "f:status": {} } },
            { "manager": by, "operation": "Update", "fieldsV1": { "f:spec": cordon } },
        ]);
        json!({
            "metadata": { "annotations": annotations, "managedFields": fields }, "spec": { "unschedulable": unschedulable },
        })
    }

    #[test]
    fn a_cordon_is_ours_only_where_it_stands_and_is_noted_and_we_have_written_it() {
        assert!(is_cordoned_by_us(&node(true, true, "provision")));
        assert!(!is_cordoned_by_us(&node(true, false, "kubectl")), "the operator's");
        assert!(!is_cordoned_by_us(&node(false, true, "provision")), "lifted by somebody");
        assert!(
            !is_cordoned_by_us(&node(true, true, "kubectl-cordon")),
            "lifted by somebody, who has cordoned it anew"
        );
        let mut untold = node(true, true, "provision");
        untold["metadata"]["managedFields"] = Value::Null;
        assert!(!is_cordoned_by_us(&untold), "nobody knows whose it is");
    }

    #[test]
    fn the_operators_cordon_stays_and_only_our_old_note_goes() {
        let again = node(true, true, "kubectl-cordon");
        for patch in [cordoning(&again).unwrap(), uncordoning(&again).unwrap()] {
            assert_eq!(patch, json!({ "metadata": { "annotations": { CORDONED_ANNOTATION: null } } }));
        }
        let lifted = node(false, true, "provision");
        assert!(uncordoning(&lifted).unwrap().get("spec").is_none());
        assert_eq!(cordoning(&lifted).unwrap()["spec"]["unschedulable"], true);
        let ours = node(true, true, "provision");
        assert_eq!(cordoning(&ours), None);
        assert_eq!(uncordoning(&ours).unwrap()["spec"], json!({ "unschedulable": null }));
        assert_eq!((cordoning(&node(true, false, "kubectl")), uncordoning(&node(false, false, ""))), (None, None));
    }
}

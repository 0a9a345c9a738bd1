//! What every object gets, whoever wrote it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::base::Digest;
use crate::state::{Object, ObjectKey, Resource, ResourceKind};

/// The label by which everything of ours is found, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "provision");
/// The annotation that holds the digest of what was applied last. It differs when we write something else than before, be
/// it that a field is only left out, which no comparison of fields can see.
pub const STAMP: &str = "provision/applied";
/// The annotation with which an operator keeps an object (`"true"`) that the tool would delete.
pub const KEEP: &str = "provision/keep";

/// Where objects go that name no namespace.
const DEFAULT_NAMESPACE: &str = "default";
/// What only the server sets. Files that were read out of a cluster have it, and applying it is refused.
const SERVER_METADATA: [&str; 7] =
    ["creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];

/// Makes an object what the API will give back, and labels it as ours.
pub(super) fn prepare(body: &mut Value) {
    if let Some(object) = body.as_object_mut() {
        object.shift_remove("status");
        if object.get("kind").is_some_and(|kind| kind == "Secret") {
            encode(object);
        }
    }
    if let Some(metadata) = body["metadata"].as_object_mut() {
        for key in SERVER_METADATA {
            metadata.shift_remove(key);
        }
        set(metadata, "labels", MANAGED_BY.0, MANAGED_BY.1);
    }
}

/// Plain texts of a Secret become what the API makes of them: it never gives them back as they were.
fn encode(secret: &mut Map<String, Value>) {
    let Some(Value::Object(plain)) = secret.get("stringData").cloned() else { return };
    let data = secret.entry("data").or_insert_with(|| json!({}));
    let Some(data) = data.as_object_mut() else { return };
    if !plain.values().all(Value::is_string) {
        return;
    }
    for (key, text) in &plain {
        data.insert(key.clone(), STANDARD.encode(text.as_str().unwrap_or_default()).into());
    }
    secret.shift_remove("stringData");
}

/// Leaves alone what is no map: the API names it.
fn set(metadata: &mut Map<String, Value>, map: &str, key: &str, value: &str) {
    let map = metadata.entry(map).or_insert(Value::Null);
    if map.is_null() {
        *map = json!({});
    }
    if let Some(map) = map.as_object_mut() {
        map.insert(key.to_owned(), value.into());
    }
}

/// Notes on each object what it is made of, once nothing about it changes any more.
pub fn stamp(objects: &mut [Object]) {
    for object in objects {
        let digest = Digest::of(object.body.to_string());
        if let Some(metadata) = object.body["metadata"].as_object_mut() {
            set(metadata, "annotations", STAMP, digest.as_str());
        }
    }
}

/// Completes the key of an object of a kind of which only the cluster could tell that its objects lie in namespaces.
pub fn complete(key: &mut ObjectKey, served: &BTreeMap<ResourceKind, Resource>) {
    let namespaced = served.get(&key.resource_kind()).is_some_and(|resource| resource.namespaced);
    if namespaced && key.namespace.is_empty() {
        key.namespace = DEFAULT_NAMESPACE.to_owned();
    }
}

/// The same for whole objects.
pub fn complete_objects(objects: &mut [Object], served: &BTreeMap<ResourceKind, Resource>) {
    for Object { key, body, .. } in objects {
        let was = key.namespace.clone();
        complete(key, served);
        if key.namespace != was {
            body["metadata"]["namespace"] = key.namespace.clone().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_out_of_a_cluster_can_be_applied() {
        let mut body = json!({
            "kind": "ConfigMap",
            "metadata": {"name": "a", "uid": "1", "resourceVersion": "5", "managedFields": [], "labels": null},
            "status": {},
        });
        prepare(&mut body);
        let labels = json!({"app.kubernetes.io/managed-by": "provision"});
        assert_eq!(body, json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": labels}}));
    }

    #[test]
    fn plain_texts_of_a_secret_are_written_as_the_api_keeps_them() {
        let mut body =
            json!({"kind": "Secret", "metadata": {}, "stringData": {"a": "plain"}, "data": {"b": "eA==", "a": "eA=="}});
        prepare(&mut body);
        assert_eq!(body["data"], json!({"b": "eA==", "a": "cGxhaW4="}));
        assert!(body.get("stringData").is_none());
    }

    #[test]
    fn labels_that_are_no_map_are_left_to_the_api() {
        let mut body = json!({"kind": "ConfigMap", "metadata": {"labels": "x"}});
        prepare(&mut body);
        assert_eq!(body["metadata"]["labels"], "x");
    }

    #[test]
    fn a_field_that_is_left_out_changes_the_stamp() {
        let stamped = |body: Value| {
            let mut objects = [Object {
                key: ObjectKey::namespace("a"),
                addon: String::new(),
                manager: crate::state::FIELD_MANAGER,
                body,
            }];
            stamp(&mut objects);
            objects[0].body["metadata"]["annotations"][STAMP].clone()
        };
        let two = stamped(json!({"metadata": {"name": "a"}, "data": {"a": "1", "b": "2"}}));
        assert_eq!(two, stamped(json!({"metadata": {"name": "a"}, "data": {"a": "1", "b": "2"}})));
        assert_ne!(two, stamped(json!({"metadata": {"name": "a"}, "data": {"a": "1"}})));
    }
}

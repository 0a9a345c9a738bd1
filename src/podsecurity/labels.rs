//! Labels of namespaces: set where there are none, remembered as ours, and taken back.

use serde_json::{Value, json};

use super::report::BorderReport;
use crate::cluster::PodSecurity;
use crate::state::Object;

/// Who the API says owns our labels. Not the manager of add-ons: an add-on that brings its Namespace is applied without
/// the label, and would take it away.
pub const LABELS_MANAGER: &str = "provision-pod-security";
/// Remembers on a Namespace which of its labels are ours, `key=value`.
pub const LABELS_ANNOTATION: &str = "provision/pod-security-label";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// The level that a namespace's label says; none where it has no such label.
pub(super) fn enforced(namespace: &Value) -> Option<PodSecurity> {
    let levels = [PodSecurity::Restricted, PodSecurity::Baseline, PodSecurity::Privileged];
    let label = namespace["metadata"]["labels"][ENFORCE].as_str()?;
    // A label that is no level makes the apiserver enforce `restricted`.
    Some(levels.into_iter().find(|level| level.as_str() == label).unwrap_or(PodSecurity::Restricted))
}

/// Whether a namespace's label is the one that we wrote.
pub(super) fn is_ours(namespace: &Value) -> bool {
    let metadata = &namespace["metadata"];
    let label = metadata["labels"][ENFORCE].as_str().map(|level| format!("{ENFORCE}={level}"));
    label.is_some() && metadata["annotations"][LABELS_ANNOTATION].as_str() == label.as_deref()
}

/// The Namespaces with the labels that they shall get, to be applied as [`LABELS_MANAGER`].
pub fn labelled(report: &BorderReport) -> Vec<Object> {
    let object = |name: &str, uid: &str, level: PodSecurity| {
        Object::new(json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            // The uid keeps a namespace that was deleted meanwhile from being made again.
            "metadata": {
                "name": name,
                "uid": uid,
                "labels": { ENFORCE: level.as_str() },
                "annotations": { LABELS_ANNOTATION: format!("{ENFORCE}={}", level.as_str()) },
            },
        }))
    };
    let due = report.namespaces.iter().filter_map(|report| object(&report.name, &report.uid, report.label?));
    due.map(|object| object.managed_by(LABELS_MANAGER)).collect()
}

/// The Namespaces whose label is still the one that we wrote, to be applied as [`LABELS_MANAGER`]: what it does not write
/// any more goes, and what others wrote since stays.
pub fn unlabelled(namespaces: &[Value]) -> Vec<Object> {
    let ours = namespaces.iter().filter(|namespace| is_ours(namespace));
    let bare = ours.filter_map(|namespace| {
        let metadata = json!({ "name": namespace["metadata"]["name"], "uid": namespace["metadata"]["uid"] });
        Object::new(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }))
    });
    bare.map(|object| object.managed_by(LABELS_MANAGER)).collect()
}

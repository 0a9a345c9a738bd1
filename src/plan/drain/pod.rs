//! What a pod says about itself that matters when its node is emptied.

use std::fmt;

use serde_json::Value;

use crate::state::{ObjectKey, Resource};

/// The annotation of a pod that kubelet runs from a file and only shows to the API.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// The annotation in which a pod names `emptyDir` volumes that may be lost, with commas between them. The cluster autoscaler
/// has introduced it.
const EXPENDABLE_ANNOTATION: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
/// The taint that a controller-manager puts on a node that is cordoned.
const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What tells it from a later one of that name.
    pub uid: String,
}

impl PodRef {
    /// The pod of a live object.
    pub fn of(pod: &Value) -> Self {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { namespace: text("namespace"), name: text("name"), uid: text("uid") }
    }
}

impl fmt::Display for PodRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// The objects that would make pods anew, of kinds that Kubernetes brings; those of other kinds are taken to be there.
pub fn owners(pods: &[Value]) -> Vec<ObjectKey> {
    let mut keys: Vec<ObjectKey> = pods.iter().filter(|pod| !is_mirror(pod)).filter_map(controller).collect();
    keys.retain(|key| Resource::built_in(&key.resource_kind()).is_some());
    keys.sort();
    keys.dedup();
    keys
}

/// Who makes an object anew when it goes.
pub(super) fn controller(object: &Value) -> Option<ObjectKey> {
    let references = object["metadata"]["ownerReferences"].as_array();
    let reference = references.into_iter().flatten().find(|reference| reference["controller"] == true)?;
    let text = |field: &str| reference[field].as_str().map(str::to_owned);
    let mut key = ObjectKey {
        api_version: text("apiVersion")?,
        kind: text("kind")?,
        namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
        name: text("name")?,
    };
    if Resource::built_in(&key.resource_kind()).is_some_and(|resource| !resource.namespaced) {
        key.namespace = String::new();
    }
    Some(key)
}

/// Whether a pod may be bound to a cordoned node: evicted, it would be back at once.
pub fn tolerates_cordon(pod: &Value) -> bool {
    let tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
    tolerations.into_iter().any(|toleration| {
        let key = toleration["key"].as_str().unwrap_or_default();
        let effect = toleration["effect"].as_str().unwrap_or_default();
        let any_value =
            toleration["operator"] == "Exists" || toleration["value"].as_str().unwrap_or_default().is_empty();
        let every_key = key.is_empty() && toleration["operator"] == "Exists";
        (every_key || key == UNSCHEDULABLE_TAINT) && any_value && (effect.is_empty() || effect == "NoSchedule")
    })
}

/// Whether a controller-manager has seen that a live Node is cordoned. Its controllers begin together, so that those which
/// make evicted pods anew, and take them out of Services, are at work too.
pub fn is_cordon_seen(node: &Value) -> bool {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.into_iter().any(|taint| taint["key"] == UNSCHEDULABLE_TAINT)
}

pub(super) fn is_mirror(pod: &Value) -> bool {
    pod["metadata"]["annotations"][MIRROR_ANNOTATION].is_string()
}

pub(super) fn is_ending(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

pub(super) fn is_finished(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

/// Whether a pod has run to its end and nobody takes it away: a drain leaves it. Kubernetes before 1.25 counts a Job's
/// successes by such pods.
pub fn has_ended(pod: &Value) -> bool {
    is_finished(pod) && !is_ending(pod)
}

/// Whether a pod's part is over some day by itself: it is a Job's.
pub(super) fn ends_by_itself(pod: &Value) -> bool {
    controller(pod).is_some_and(|owner| owner.kind == "Job")
}

/// Names of volumes that go with the pod, but for those that it calls expendable.
pub(super) fn local_volumes(pod: &Value) -> Vec<String> {
    let expendable = pod["metadata"]["annotations"][EXPENDABLE_ANNOTATION].as_str().unwrap_or_default();
    let is_expendable = |name: &&str| expendable.split(',').any(|one| one.trim() == *name);
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let local = volumes.filter(|volume| volume["emptyDir"].is_object()).filter_map(|volume| volume["name"].as_str());
    local.filter(|name| !is_expendable(name)).map(str::to_owned).collect()
}

/// Whether a container of it does something before it is told to end: the time in which others stop to send it requests.
pub(super) fn has_pre_stop(pod: &Value) -> bool {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.into_iter().any(|container| container["lifecycle"]["preStop"].is_object())
}

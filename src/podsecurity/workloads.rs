//! Workloads, their templates, and which pods are whose.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pod::items;

/// API version and kind of everything that makes pods or is one.
pub const WORKLOAD_KINDS: [(&str, &str); 8] = [
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("v1", "ReplicationController"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
];

/// The template of a workload, with `metadata` and `spec`; a pod is its own.
pub fn template_of(workload: &Value) -> Option<&Value> {
    match workload["kind"].as_str()? {
        "Pod" => Some(workload),
        "CronJob" => workload.pointer("/spec/jobTemplate/spec/template"),
        _ => workload.pointer("/spec/template"),
    }
}

/// A workload that nothing else here has made, and its pods.
pub(super) struct Subject<'a> {
    pub workload: &'a Value,
    pub template: &'a Value,
    /// Pods that are not over.
    pub pods: Vec<&'a Value>,
}

impl Subject<'_> {
    /// Such as `Deployment web`.
    pub fn name(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{} {}", text(&self.workload["kind"]), text(&self.workload["metadata"]["name"]))
    }
}

/// The workloads of a namespace by name. What another one has made is that one's: a ReplicaSet of a Deployment, a Job of a
/// CronJob. What is over (pods, Jobs) makes no pods any more.
pub(super) fn subjects<'a>(objects: &[&'a Value]) -> Vec<Subject<'a>> {
    let by_uid: BTreeMap<&str, &'a Value> = objects.iter().filter_map(|object| Some((uid(object)?, *object))).collect();
    let mut pods: BTreeMap<&str, Vec<&'a Value>> = BTreeMap::new();
    for pod in objects.iter().filter(|object| object["kind"] == "Pod" && !is_over(object)) {
        pods.entry(uid(root(pod, &by_uid)).unwrap_or_default()).or_default().push(pod);
    }
    let roots = objects.iter().filter(|object| std::ptr::eq(root(object, &by_uid), **object) && !is_over(object));
    let subject = |workload: &&'a Value| {
        let pods = uid(workload).and_then(|uid| pods.remove(uid)).unwrap_or_default();
        Some(Subject { workload, template: template_of(workload)?, pods })
    };
    let mut subjects: Vec<Subject<'a>> = roots.filter_map(subject).collect();
    subjects.sort_by_key(Subject::name);
    subjects
}

fn uid(object: &Value) -> Option<&str> {
    object["metadata"]["uid"].as_str()
}

/// Who made it in the end, as far as it is here.
fn root<'a>(object: &'a Value, by_uid: &BTreeMap<&str, &'a Value>) -> &'a Value {
    // CronJob, Job, pod: no chain is longer; owners that own each other must not hold us.
    const LONGEST: usize = 4;
    let mut object = object;
    for _ in 0..LONGEST {
        let owners = items(&object["metadata"]["ownerReferences"]);
        let maker = owners.iter().find(|owner| owner["controller"] == true);
        let Some(owner) = maker.and_then(|owner| by_uid.get(owner["uid"].as_str()?)) else { break };
        object = owner;
    }
    object
}

fn is_over(object: &Value) -> bool {
    match object["kind"].as_str() {
        Some("Pod") => matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
        Some("Job") => items(&object["status"]["conditions"]).iter().any(|condition| {
            condition["status"] == "True" && matches!(condition["type"].as_str(), Some("Complete" | "Failed"))
        }),
        _ => false,
    }
}

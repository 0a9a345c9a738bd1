//! Why pods do not get ready, in the words of kubelet, the scheduler and the controllers.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::Value;

use super::paths::{encode, with_query};
use super::{KubeApiError, ReadApi};

/// Pods of a workload that are told of; the others have the same reasons.
const PODS_SHOWN: usize = 3;
/// Warning events of a pod that are told of, the last ones.
const EVENTS_SHOWN: usize = 3;
/// Lines of a container's log that are told.
const LOG_LINES: &str = "8";
/// A container's first wait, which says nothing yet.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why a pod is not ready, or why a workload has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTrouble {
    /// The pod; the workload itself where it is what has no pods.
    pub of: String,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// Reasons, the telling ones first.
    pub reasons: Vec<String>,
    /// Last lines of containers that ended, each with its container's name.
    pub log: Vec<String>,
}

impl ReadApi {
    /// Why a workload's pods are not ready. A log that cannot be read is left out.
    pub async fn troubles(&self, workload: &Value) -> Result<Vec<PodTrouble>, KubeApiError> {
        let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
        let root = format!("/api/v1/namespaces/{}", encode(namespace));
        let events = with_query(&format!("{root}/events"), &[("fieldSelector", "type=Warning")]);
        let pods = self.pods_of(workload).await?;
        let events = self.list(&events, "listing warnings").await?;
        let mut troubles: Vec<PodTrouble> = own_trouble(workload, &events).into_iter().collect();
        let unready: Vec<&Value> = pods.iter().filter(|pod| !is_ready(pod)).take(PODS_SHOWN).collect();
        let logs = join_all(unready.iter().map(|pod| self.logs(&root, pod))).await;
        for (pod, log) in unready.into_iter().zip(logs) {
            troubles.push(PodTrouble { log, ..pod_trouble(pod, &events) });
        }
        Ok(troubles)
    }

    /// The pods of a workload's selector.
    pub async fn pods_of(&self, workload: &Value) -> Result<Vec<Value>, KubeApiError> {
        let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
        let path = format!("/api/v1/namespaces/{}/pods", encode(namespace));
        let selector = selector(workload);
        self.list(&with_query(&path, &[("labelSelector", &selector)]), "listing pods").await
    }

    async fn logs(&self, root: &str, pod: &Value) -> Vec<String> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let asked = ended_containers(pod).into_iter().map(|(container, previous)| async move {
            let path = format!("{root}/pods/{}/log", encode(name));
            let previous = if previous { "true" } else { "false" };
            let parameters = [("container", container.as_str()), ("tailLines", LOG_LINES), ("previous", previous)];
            let text = self.text(&with_query(&path, &parameters), &format!("reading the log of pod {name}")).await;
            let text = text.ok().flatten().unwrap_or_default();
            text.lines().map(|line| format!("{container}: {line}")).collect::<Vec<_>>()
        });
        join_all(asked).await.concat()
    }
}

/// The labels by which a workload knows its pods, as a query. Expressions are left out: more pods than its own are better
/// than none.
fn selector(workload: &Value) -> String {
    let labels = workload.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let pairs =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}

/// Whether a pod serves, or has done what it was for.
fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    pod["status"]["phase"] == "Succeeded" || conditions.into_iter().flatten().any(ready)
}

/// Why a workload has no pods: what its controllers were refused.
fn own_trouble(workload: &Value, events: &[Value]) -> Option<PodTrouble> {
    let (kind, name) = (text(&workload["kind"]), text(&workload["metadata"]["name"]));
    let conditions = workload.pointer("/status/conditions").and_then(Value::as_array);
    let failing = |condition: &&Value| condition["type"] == "ReplicaFailure" || condition["type"] == "Failed";
    let mut reasons: Vec<String> =
        conditions.into_iter().flatten().filter(failing).map(|condition| text(&condition["message"])).collect();
    let is_own = |event: &&Value| {
        let involved = &event["involvedObject"];
        let of_set = involved["kind"] == "ReplicaSet" && text(&involved["name"]).starts_with(&format!("{name}-"));
        (involved["kind"] == *kind && involved["name"] == *name) || of_set
    };
    reasons.extend(last_events(events.iter().filter(is_own)));
    reasons.dedup();
    let of = format!("{kind} {name}");
    (!reasons.is_empty()).then(|| PodTrouble { of, node: None, reasons, log: Vec::new() })
}

fn pod_trouble(pod: &Value, events: &[Value]) -> PodTrouble {
    let name = text(&pod["metadata"]["name"]);
    let mut reasons = container_reasons(pod);
    if reasons.is_empty() {
        reasons.extend(condition_reason(pod));
    }
    let is_own = |event: &&Value| event["involvedObject"]["kind"] == "Pod" && event["involvedObject"]["name"] == *name;
    reasons.extend(last_events(events.iter().filter(is_own)));
    let node = pod["spec"]["nodeName"].as_str().map(str::to_owned);
    PodTrouble { of: format!("pod {name}"), node, reasons, log: Vec::new() }
}

/// The last warnings, each once, newest first.
fn last_events<'a>(events: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let moment = |event: &Value| {
        let stamps = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
        stamps.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut sorted: Vec<&Value> = events.collect();
    sorted.sort_by_key(|event| std::cmp::Reverse(moment(event)));
    let mut lines: Vec<String> = Vec::new();
    for event in sorted {
        let line = format!("{}: {}", text(&event["reason"]), text(&event["message"]));
        if !lines.contains(&line) && lines.len() < EVENTS_SHOWN {
            lines.push(line);
        }
    }
    lines
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainerStatuses", "containerStatuses"];
    lists.into_iter().flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
}

/// What containers wait for, and how they ended.
fn container_reasons(pod: &Value) -> Vec<String> {
    let mut reasons = Vec::new();
    for status in containers(pod) {
        let name = text(&status["name"]);
        let waiting = &status["state"]["waiting"];
        if let Some(reason) = waiting["reason"].as_str().filter(|reason| !STARTING.contains(reason)) {
            reasons.push(sentence(&format!("container {name} waits: {reason}"), &waiting["message"]));
        }
        let ended = [&status["state"]["terminated"], &status["lastState"]["terminated"]];
        let failed = |ended: &&&Value| ended.is_object() && ended["exitCode"] != 0;
        if let Some(ended) = ended.iter().find(failed) {
            let code = ended["exitCode"].as_i64().unwrap_or_default();
            let start = format!("container {name} ended with exit code {code} ({})", text(&ended["reason"]));
            reasons.push(sentence(&start, &ended["message"]));
        }
        let runs = status["state"]["running"].is_object() && status["ready"] == false;
        if runs {
            reasons.push(format!("container {name} runs and is not ready"));
        }
    }
    reasons
}

fn sentence(start: &str, message: &Value) -> String {
    match message.as_str().map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => format!("{start}: {message}"),
        None => start.to_owned(),
    }
}

/// What a pod without containers waits for: a node.
fn condition_reason(pod: &Value) -> Option<String> {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let scheduled = conditions.into_iter().flatten().find(|condition| condition["type"] == "PodScheduled");
    match scheduled.filter(|condition| condition["status"] != "True") {
        Some(condition) => Some(sentence("no node takes it", &condition["message"])),
        None => pod["status"]["message"].as_str().map(str::to_owned),
    }
}

/// Containers whose log tells something: those that have ended, with whether it is the log of the run before.
fn ended_containers(pod: &Value) -> Vec<(String, bool)> {
    let mut found = BTreeMap::new();
    for status in containers(pod) {
        let name = text(&status["name"]);
        let failed = |ended: &Value| ended.is_object() && ended["exitCode"] != 0;
        if failed(&status["state"]["terminated"]) {
            found.insert(name, false);
        } else if failed(&status["lastState"]["terminated"]) {
            found.insert(name, true);
        } else if status["state"]["running"].is_object() && status["ready"] == false {
            found.insert(name, false);
        }
    }
    found.into_iter().collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What kubelet says while it has not got an image.
const WITHOUT_IMAGE: [&str; 4] = ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "ImageInspectError"];

/// Whether a pod lacks nothing but these images.
///
/// # Errors
///
/// What else it waits for, or that it does not wait for one of them yet.
pub fn waits_for_images(pod: &Value, images: &[String]) -> Result<(), String> {
    let name = text(&pod["metadata"]["name"]);
    let image = |status: &Value| {
        let specs = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
        let specs = specs.into_iter().flatten().flatten();
        specs.filter(|spec| spec["name"] == status["name"]).map(|spec| text(&spec["image"])).next().unwrap_or_default()
    };
    let mut lacks = false;
    for status in containers(pod) {
        let reason = status["state"]["waiting"]["reason"].as_str().unwrap_or_default();
        if WITHOUT_IMAGE.contains(&reason) {
            if !images.contains(&image(status)) {
                return Err(format!("pod {name} waits for image {} too", image(status)));
            }
            lacks = true;
        } else if !reason.is_empty() && !STARTING.contains(&reason) {
            return Err(format!("pod {name}: {}", container_reasons(pod).join("; ")));
        }
    }
    if lacks { Ok(()) } else { Err(format!("pod {name} does not ask for its image yet")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(statuses: Value) -> Value {
        let containers = json!([{"name": "main", "image": "r.example/a:1"}]);
        json!({
            "metadata": {"name": "a-1"},
            "spec": {"nodeName": "h1", "containers": containers},
            "status": {"containerStatuses": statuses},
        })
    }

    fn event(name: &str, moment: &str, message: &str) -> Value {
        let involved = json!({"kind": "Pod", "name": name});
        json!({"involvedObject": involved, "reason": "Failed", "message": message, "lastTimestamp": moment})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told_with_the_registrys_words() {
        let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image \"r.example/a:1\""});
        let pod = pod(json!([{"name": "main", "state": {"waiting": waiting}}]));
        let events = [
            event("a-1", "2026-01-01T00:00:01Z", "older"),
            event("a-1", "2026-01-01T00:00:02Z", "not found"),
            event("b", "3", "x"),
        ];
        let trouble = pod_trouble(&pod, &events);
        assert_eq!(
            trouble.reasons,
            [
                "container main waits: ImagePullBackOff: Back-off pulling image \"r.example/a:1\"",
                "Failed: not found",
                "Failed: older",
            ]
        );
        assert_eq!((trouble.of.as_str(), trouble.node.as_deref()), ("pod a-1", Some("h1")));
        assert_eq!(waits_for_images(&pod, &["r.example/a:1".into()]), Ok(()));
        assert!(waits_for_images(&pod, &["r.example/b:1".into()]).is_err());
    }

    #[test]
    fn a_container_that_crashes_is_told_with_its_exit_code_and_its_log() {
        let status = json!({
            "name": "main",
            "ready": false,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
            "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
        });
        let pod = pod(json!([status]));
        let reasons = container_reasons(&pod);
        assert_eq!(reasons[1], "container main ended with exit code 3 (Error)");
        assert_eq!(ended_containers(&pod), [("main".to_owned(), true)]);
        assert!(waits_for_images(&pod, &["r.example/a:1".into()]).is_err());
    }

    #[test]
    fn a_pod_that_no_node_takes_says_why() {
        let conditions = json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]);
        let pod = json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}});
        assert_eq!(pod_trouble(&pod, &[]).reasons, ["no node takes it: 0/1 nodes are available"]);
    }

    #[test]
    fn a_workload_whose_pods_are_refused_says_why() {
        let involved = json!({"kind": "ReplicaSet", "name": "web-5d4f"});
        let refused = json!({"involvedObject": involved, "reason": "FailedCreate", "message": "violates PodSecurity"});
        let workload = json!({"kind": "Deployment", "metadata": {"name": "web"}});
        let trouble = own_trouble(&workload, &[refused]).unwrap();
        assert_eq!(
            (trouble.of.as_str(), trouble.reasons),
            ("Deployment web", vec!["FailedCreate: violates PodSecurity".to_owned()])
        );
        assert_eq!(own_trouble(&workload, &[]), None);
    }
}

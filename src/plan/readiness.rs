//! When objects of the API are what they are for.

use serde_json::Value;

/// Whether a Node object says that it is Ready.
pub fn node_is_ready(node: &Value) -> bool {
    has_condition(node, "Ready")
}

/// Whether an object's condition of this type is true.
pub fn has_condition(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| condition["status"] == "True")
}

/// An object's condition of this type.
pub fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == name)
}

fn number(live: &Value, pointer: &str) -> i64 {
    live.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Whether objects of this kind run pods and can be awaited.
pub(super) fn is_awaited(kind: &str) -> bool {
    matches!(kind, "Deployment" | "DaemonSet" | "StatefulSet" | "Job")
}

/// Whether a Deployment, DaemonSet or StatefulSet runs its newest revision everywhere, or a Job is complete.
pub fn workload_is_ready(live: &Value) -> bool {
    if live["kind"] == "Job" {
        return has_condition(live, "Complete");
    }
    let is_manual = live.pointer("/spec/updateStrategy/type").is_some_and(|kind| kind == "OnDelete");
    let ready = match live["kind"].as_str() {
        Some("DaemonSet") => daemon_set_is_ready(live, is_manual),
        Some("StatefulSet") => stateful_set_is_ready(live, is_manual),
        _ => {
            let wanted = replicas(live);
            // Ready ones of the revision before count among the ready: there must be none left.
            let all = ["/status/replicas", "/status/updatedReplicas", "/status/readyReplicas"];
            all.iter().all(|pointer| number(live, pointer) == wanted)
        }
    };
    was_seen(live) && ready
}

/// Whether a controller-manager has seen the last change of a workload.
pub fn was_seen(live: &Value) -> bool {
    number(live, "/status/observedGeneration") >= number(live, "/metadata/generation")
}

fn replicas(live: &Value) -> i64 {
    live.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

/// One of the tool's own finds at least one node. Pods that are replaced only when they are deleted may be of any revision.
fn daemon_set_is_ready(live: &Value, is_manual: bool) -> bool {
    let wanted = number(live, "/status/desiredNumberScheduled");
    // One that no node is for is done; what it counts before it has looked is 0 too.
    let has_looked = live.pointer("/status/observedGeneration").is_some() || wanted > 0;
    let updated = is_manual || number(live, "/status/updatedNumberScheduled") == wanted;
    has_looked && number(live, "/status/numberReady") == wanted && updated
}

/// Pods below the partition keep their revision.
fn stateful_set_is_ready(live: &Value, is_manual: bool) -> bool {
    let wanted = replicas(live);
    let partition = number(live, "/spec/updateStrategy/rollingUpdate/partition");
    let updated = is_manual || number(live, "/status/updatedReplicas") >= (wanted - partition).max(0);
    number(live, "/status/replicas") == wanted && number(live, "/status/readyReplicas") == wanted && updated
}

/// Why a Job will never be complete.
pub fn job_failure(live: &Value) -> Option<String> {
    let failed = condition(live, "Failed").filter(|condition| condition["status"] == "True")?;
    Some(failed["message"].as_str().unwrap_or("the Job has failed").to_owned())
}

/// How far a workload is, in words.
pub fn workload_progress(live: &Value) -> String {
    let (ready, wanted, updated) = match live["kind"].as_str() {
        Some("Job") => {
            let wanted = live.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
            return format!("{} of {wanted} pods complete", number(live, "/status/succeeded"));
        }
        Some("DaemonSet") => (
            number(live, "/status/numberReady"),
            number(live, "/status/desiredNumberScheduled"),
            number(live, "/status/updatedNumberScheduled"),
        ),
        _ => (number(live, "/status/readyReplicas"), replicas(live), number(live, "/status/updatedReplicas")),
    };
    // Its numbers are still those of what was there before.
    if !was_seen(live) {
        return "no controller-manager has seen the change yet".to_owned();
    }
    let old = if ready == wanted && updated < wanted { format!(", {updated} of {wanted} new") } else { String::new() };
    format!("{ready} of {wanted} pods ready{old}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_not_ready_while_a_pod_of_its_old_revision_serves() {
        let live = |replicas: i64, updated: i64, ready: i64| {
            let status = json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready});
            json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status})
        };
        assert!(workload_is_ready(&live(2, 2, 2)));
        assert!(!workload_is_ready(&live(3, 2, 2)), "one old and one new pod are ready, the second new one is not");
        assert!(!workload_is_ready(&live(2, 2, 1)));
    }

    #[test]
    fn what_is_waited_for_is_not_told_in_the_numbers_of_what_was_there_before() {
        let live = |observed: i64, updated: i64| {
            let status = json!({"observedGeneration": observed, "desiredNumberScheduled": 3, "numberReady": 3, "updatedNumberScheduled": updated});
            json!({"kind": "DaemonSet", "metadata": {"generation": 2}, "status": status})
        };
        assert_eq!(workload_progress(&live(1, 3)), "no controller-manager has seen the change yet");
        assert_eq!(workload_progress(&live(2, 1)), "3 of 3 pods ready, 1 of 3 new");
        assert_eq!(workload_progress(&live(2, 3)), "3 of 3 pods ready");
    }

    #[test]
    fn a_stateful_set_is_ready_with_the_revisions_that_it_asks_for() {
        let live = |strategy: Value, updated: i64| {
            let status = json!({"replicas": 3, "readyReplicas": 3, "updatedReplicas": updated});
            json!({"kind": "StatefulSet", "spec": {"replicas": 3, "updateStrategy": strategy}, "status": status})
        };
        let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}});
        assert!(workload_is_ready(&live(json!({}), 3)) && !workload_is_ready(&live(json!({}), 2)));
        assert!(workload_is_ready(&live(partition.clone(), 1)) && !workload_is_ready(&live(partition, 0)));
        assert!(workload_is_ready(&live(json!({"type": "OnDelete"}), 0)));
    }

    #[test]
    fn a_daemon_set_for_which_there_is_no_node_is_ready_once_it_was_looked_at() {
        let live = |status: Value| json!({"kind": "DaemonSet", "metadata": {"generation": 1}, "status": status});
        assert!(!workload_is_ready(&live(json!({}))));
        assert!(workload_is_ready(&live(json!({"observedGeneration": 1, "desiredNumberScheduled": 0}))));
        let status = json!({"observedGeneration": 1, "desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 1});
        assert!(!workload_is_ready(&live(status)));
    }

    #[test]
    fn a_job_is_ready_when_it_is_complete_and_failed_when_it_says_so() {
        let live = |kind: &str| json!({"kind": "Job", "status": {"conditions": [{"type": kind, "status": "True", "message": "too often"}]}});
        assert!(workload_is_ready(&live("Complete")) && !workload_is_ready(&live("Failed")));
        assert_eq!(job_failure(&live("Failed")).as_deref(), Some("too often"));
        assert_eq!(job_failure(&live("Complete")), None);
    }
}

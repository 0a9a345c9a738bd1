//! Whether a workload is ready in truth: what it says of itself, and what its pods show while they are watched.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::kubeapi::waits_for_images;
use crate::plan::{has_condition, job_failure, workload_is_ready, workload_progress};

use super::Context;
use super::waiter::Not;

/// How long a pod must be seen to run whose containers do not all have a readiness probe.
const UNPROBED: Duration = Duration::from_secs(3);
/// And one that has ended by itself soon after its start: kubelet waits for ten seconds before it starts it the second time, and
/// longer each time after that.
const RESTARTED: Duration = Duration::from_secs(10);

/// What one wait has seen of pods: by uid, how often its containers were started again, and since when it is seen to run on.
#[derive(Default)]
pub(super) struct PodWatch(Mutex<BTreeMap<String, (u64, Instant)>>);

impl PodWatch {
    /// Whether a workload says that it is ready, and all its pods run on.
    pub async fn confirms(&self, live: &Value, context: &Context<'_>) -> Result<(), Not> {
        says_ready(live)?;
        self.pods_run_on(live, context).await
    }

    /// A DaemonSet counts a pod that is being replaced as ready until it has gone, and kubelet takes a container without a probe for
    /// ready in the moment in which it starts, be it that it ends at once each time.
    async fn pods_run_on(&self, live: &Value, context: &Context<'_>) -> Result<(), Not> {
        if live["kind"] == "Job" {
            return Ok(());
        }
        let pods = context.world.endpoints.pods(live).await?;
        let (leaving, staying): (Vec<&Value>, Vec<&Value>) =
            pods.iter().partition(|pod| !pod["metadata"]["deletionTimestamp"].is_null());
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if let Some(pod) = leaving.first().filter(|_| live["kind"] == "DaemonSet") {
            return Err(Not::Yet(format!("pod {} is being replaced", name(pod))));
        }
        if let Some(pod) = staying.iter().find(|pod| !self.has_run_on(pod)) {
            return Err(Not::Yet(format!("pod {} to run on", name(pod))));
        }
        Ok(all_are_there(live, staying.len())?)
    }

    fn has_run_on(&self, pod: &Value) -> bool {
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
        let statuses = || pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
        let restarts = statuses().filter_map(|status| status["restartCount"].as_u64()).sum();
        let needed = if statuses().any(ended_early) {
            RESTARTED
        } else if containers.into_iter().all(|container| container["readinessProbe"].is_object()) {
            return true;
        } else {
            UNPROBED
        };
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = running.entry(uid).or_insert_with(|| (restarts, Instant::now()));
        if seen.0 != restarts {
            *seen = (restarts, Instant::now());
        }
        seen.1.elapsed() >= needed
    }
}

fn says_ready(live: &Value) -> Result<(), Not> {
    if workload_is_ready(live) {
        return Ok(());
    }
    match job_failure(live).filter(|_| live["kind"] == "Job") {
        Some(reason) => Err(Not::Ever(reason)),
        None => Err(Not::Yet(workload_progress(live))),
    }
}

/// The count of ready pods is older than the list: it may hold one that has gone since.
fn all_are_there(live: &Value, there: usize) -> Result<(), String> {
    match wanted_pods(live) {
        Some(wanted) if there as u64 >= wanted => Ok(()),
        wanted => Err(format!("{there} of {} pods are there", wanted.unwrap_or_default())),
    }
}

/// How many pods a workload is to have; `None` of a DaemonSet for which nobody has counted the nodes.
fn wanted_pods(live: &Value) -> Option<u64> {
    let number = |pointer: &str| live.pointer(pointer).and_then(Value::as_u64);
    match live["kind"].as_str() {
        Some("DaemonSet") => number("/status/desiredNumberScheduled"),
        _ => number("/spec/replicas").or(Some(1)),
    }
}

/// Whether a container has ended so soon after its start that a watch which begins with its next one sees it again. One that
/// ran for longer was ended by a reboot or a change of its node; where it ends by itself, no watch of this length is sure to
/// see it. Both times are of the same host's clock; one that was set back meanwhile tells nothing.
fn ended_early(status: &Value) -> bool {
    let last = &status["lastState"]["terminated"];
    let time = |name: &str| last[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let ran = time("startedAt")
        .zip(time("finishedAt"))
        .and_then(|(start, end)| Duration::try_from(end.duration_since(start)).ok());
    status["restartCount"].as_u64().unwrap_or_default() > 0 && ran.is_none_or(|ran| ran <= RESTARTED)
}

/// Pods that are admitted and lack nothing but images.
pub(super) async fn only_images_missing(live: &Value, images: &[String], context: &Context<'_>) -> Result<(), Not> {
    let pods = context.world.endpoints.pods(live).await?;
    if wanted_pods(live) == Some(0) && live["kind"] == "DaemonSet" {
        return Err(Not::Yet("nobody has counted its nodes yet".into()));
    }
    all_are_there(live, pods.len())?;
    let mut unready = pods.iter().filter(|pod| !has_condition(pod, "Ready"));
    Ok(unready.try_for_each(|pod| waits_for_images(pod, images))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(probe: &Value, restarts: u64) -> Value {
        pod_that_ran("2026-01-01T00:00:00Z", "2026-01-01T00:00:02Z", probe, restarts)
    }

    fn pod_that_ran(from: &str, to: &str, probe: &Value, restarts: u64) -> Value {
        let last = json!({"terminated": {"startedAt": from, "finishedAt": to}});
        json!({
            "metadata": {"uid": "1"}, "spec": {"containers": [{"name": "main", "readinessProbe": probe}]},
            "status": {"containerStatuses": [{"name": "main", "restartCount": restarts, "lastState": last}]},
        })
    }

    #[test]
    fn a_pod_that_is_counted_and_gone_is_missed() {
        let daemon_set = json!({"kind": "DaemonSet", "status": {"desiredNumberScheduled": 2, "numberReady": 2}});
        assert_eq!(all_are_there(&daemon_set, 1), Err("1 of 2 pods are there".into()));
        assert_eq!(all_are_there(&daemon_set, 2), Ok(()));
        let deployment = json!({"kind": "Deployment", "spec": {}, "status": {"readyReplicas": 1}});
        assert!(all_are_there(&deployment, 0).is_err() && all_are_there(&deployment, 2).is_ok());
        assert!(all_are_there(&json!({"kind": "DaemonSet", "status": {}}), 1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_ends_each_time_it_is_started_never_runs_on() {
        let (running, probe) = (PodWatch::default(), Value::Null);
        assert!(!running.has_run_on(&pod(&probe, 0)));
        tokio::time::advance(UNPROBED).await;
        assert!(running.has_run_on(&pod(&probe, 0)), "it has never ended");
        for restarts in 1..4 {
            tokio::time::advance(RESTARTED * 2).await;
            assert!(!running.has_run_on(&pod(&probe, restarts)), "seen in the moment in which it was started");
        }
        tokio::time::advance(RESTARTED).await;
        assert!(running.has_run_on(&pod(&probe, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_probe_has_found_ready_is_not_watched() {
        let probe = json!({"httpGet": {"path": "/readyz", "port": 8181}});
        assert!(PodWatch::default().has_run_on(&pod(&probe, 0)));
        assert!(!PodWatch::default().has_run_on(&pod(&probe, 1)), "unless it has ended by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_served_for_long_before_it_ended_is_watched_no_longer_than_others() {
        let pod = |probe: &Value, to: &str| pod_that_ran("2026-01-01T00:00:00Z", to, probe, 1);
        let (running, later) = (PodWatch::default(), "2026-01-01T00:01:00Z");
        assert!(!running.has_run_on(&pod(&Value::Null, later)));
        tokio::time::advance(UNPROBED).await;
        assert!(running.has_run_on(&pod(&Value::Null, later)));
        let probe = json!({"httpGet": {"path": "/readyz", "port": 8181}});
        assert!(PodWatch::default().has_run_on(&pod(&probe, later)));
        // After a power cut nobody knows, nor where the clock was set back.
        assert!(!PodWatch::default().has_run_on(&pod(&probe, "2025-12-31T23:00:00Z")));
        assert!(!PodWatch::default().has_run_on(&pod(&probe, "")));
    }
}

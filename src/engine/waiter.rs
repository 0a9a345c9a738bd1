//! The one place that waits for a condition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::base::{NodeName, StepId};
use crate::endpoints::EndpointError;
use crate::event::Event;
use crate::kubeapi::waits_for_images;
use crate::plan::{Condition, condition, has_condition, job_failure, workload_is_ready, workload_progress};
use crate::state::ObjectKey;

use super::actions::StepError;
use super::explain::explain;
use super::{Context, etcd_data};

/// Between two probes: short at first, since a probe is one request over a connection that stands, then a twentieth of the
/// time that was waited, so that many waits do not slow down what they wait for.
fn pause(waited: Duration) -> Duration {
    (waited / 20).clamp(Duration::from_millis(100), Duration::from_millis(500))
}

/// Waits for a condition and reports each new reason why it does not hold yet. `halted` ends the wait: another step has
/// failed.
pub(super) async fn wait(
    step: &StepId,
    condition: &Condition,
    context: &Context<'_>,
    halted: &AtomicBool,
) -> Result<(), StepError> {
    let started = Instant::now();
    let seen = Seen::default();
    let patience = match condition {
        Condition::Soaked { duration, .. } => context.world.patience + *duration,
        _ => context.world.patience,
    };
    match poll_for(step, context, halted, patience, || probe(condition, started, &seen, context)).await {
        Err(StepError::TimedOut { seconds, reason }) => Err(explained(condition, Some(seconds), reason, context).await),
        Err(StepError::Hopeless(reason)) => Err(explained(condition, None, reason, context).await),
        result => result,
    }
}

async fn explained(condition: &Condition, seconds: Option<u64>, reason: String, context: &Context<'_>) -> StepError {
    match (explain(condition, seconds, reason.clone(), context).await, seconds) {
        (Some(not_ready), _) => Box::new(not_ready).into(),
        (None, Some(seconds)) => StepError::TimedOut { seconds, reason },
        (None, None) => StepError::Hopeless(reason),
    }
}

/// Why something does not hold.
pub(super) enum Not {
    /// It may hold a moment later.
    Yet(String),
    /// It never will.
    Ever(String),
}

impl From<String> for Not {
    fn from(reason: String) -> Self {
        Self::Yet(reason)
    }
}

impl From<EndpointError> for Not {
    fn from(error: EndpointError) -> Self {
        Self::Yet(error.to_string())
    }
}

/// Asks until it holds, for as long as the run waits for anything.
pub(super) async fn poll<F, E>(
    step: &StepId,
    context: &Context<'_>,
    halted: &AtomicBool,
    probe: impl Fn() -> F,
) -> Result<(), StepError>
where
    F: Future<Output = Result<(), E>>,
    Not: From<E>,
{
    poll_for(step, context, halted, context.world.patience, probe).await
}

/// Asks until it holds, or for this long.
pub(super) async fn poll_for<F, E>(
    step: &StepId,
    context: &Context<'_>,
    halted: &AtomicBool,
    patience: Duration,
    probe: impl Fn() -> F,
) -> Result<(), StepError>
where
    F: Future<Output = Result<(), E>>,
    Not: From<E>,
{
    let started = Instant::now();
    let mut last = String::new();
    loop {
        let Err(not) = probe().await else { return Ok(()) };
        let reason = match not.into() {
            Not::Yet(reason) => reason,
            Not::Ever(reason) => return Err(StepError::Hopeless(reason)),
        };
        if context.cancellation.stops() {
            return Err(StepError::Cancelled);
        }
        if halted.load(Ordering::Relaxed) {
            return Err(StepError::Abandoned);
        }
        if started.elapsed() > patience {
            return Err(StepError::TimedOut { seconds: patience.as_secs(), reason });
        }
        if reason != last {
            context.events.emit(Event::StepWaits { step: step.clone(), reason: reason.clone() });
            last = reason;
        }
        tokio::time::sleep(pause(started.elapsed())).await;
    }
}

async fn probe(condition: &Condition, started: Instant, seen: &Seen, context: &Context<'_>) -> Result<(), Not> {
    let endpoints = &context.world.endpoints;
    match condition {
        Condition::EtcdHealthy(nodes) => {
            let health = nodes.iter().map(|node| endpoints.etcd_health(node));
            let results = futures::future::join_all(health).await;
            Ok(results.into_iter().collect::<Result<(), _>>()?)
        }
        Condition::EtcdDataWhole(node) => etcd_data::whole(node, context).await,
        Condition::ApiAnswers(node) => Ok(endpoints.api_answers(node).await?),
        Condition::ApiReady(node) => {
            endpoints.api_health(node).await?;
            Ok(namespaces(context).await?)
        }
        Condition::NodeRegistered(node) => Ok(object(&ObjectKey::node(node), context).await.map(|_| ())?),
        Condition::NodeReady { node, .. } => {
            let live = object(&ObjectKey::node(node), context).await?;
            Ok(node_condition(&live)?)
        }
        Condition::WorkloadReady { key, .. } => {
            let live = object(key, context).await?;
            workload(&live)?;
            pods_run_on(&live, &seen.pods, context).await
        }
        Condition::OnlyImagesMissing { key, images, .. } => {
            only_images_missing(&object(key, context).await?, images, context).await
        }
        Condition::Established { keys, .. } => established(keys, context).await,
        Condition::ServiceAvailable { key, .. } => Ok(available(&object(key, context).await?)?),
        Condition::Soaked { nodes, duration } => soaked(nodes, *duration, started, context).await,
        Condition::ComponentHealthy(node, component) => match component.health_port() {
            Some(port) => Ok(endpoints.listens(node, port).await?),
            None => Ok(()),
        },
        Condition::Led => led(&seen.renewals, context).await,
    }
}

/// What one wait has seen. Clocks of hosts and of this machine are not compared.
#[derive(Default)]
struct Seen {
    renewals: Renewals,
    pods: Running,
}

/// When leases were renewed, as seen first.
type Renewals = Mutex<BTreeMap<&'static str, String>>;

/// By a pod's uid, how often its containers were started again, and since when it is seen to run on.
type Running = Mutex<BTreeMap<String, (u64, Instant)>>;

/// Whoever leads renews its lease every two seconds (`--leader-elect-retry-period`); one that has ended leaves it as it is.
async fn led(renewals: &Renewals, context: &Context<'_>) -> Result<(), Not> {
    let mut waits_for = None;
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let lease = object(&ObjectKey::leader_lease(component), context).await?;
        let renewed = lease.pointer("/spec/renewTime").and_then(Value::as_str).unwrap_or_default();
        let mut first_seen = renewals.lock().unwrap_or_else(PoisonError::into_inner);
        if first_seen.entry(component).or_insert_with(|| renewed.to_owned()).as_str() == renewed {
            waits_for.get_or_insert(component);
        }
    }
    match waits_for {
        Some(component) => Err(Not::Yet(format!("nobody has renewed the lease of {component} yet"))),
        None => Ok(()),
    }
}

fn workload(live: &Value) -> Result<(), Not> {
    if workload_is_ready(live) {
        return Ok(());
    }
    match job_failure(live).filter(|_| live["kind"] == "Job") {
        Some(reason) => Err(Not::Ever(reason)),
        None => Err(Not::Yet(workload_progress(live))),
    }
}

/// A canary that is lost while it is watched has said what it was there to say.
async fn soaked(nodes: &[NodeName], duration: Duration, started: Instant, context: &Context<'_>) -> Result<(), Not> {
    let live = context.world.endpoints.nodes().await?;
    for node in nodes {
        let Some(live) = live.get(&ObjectKey::node(node)) else {
            return Err(Not::Ever(format!("node {node} is gone")));
        };
        if let Err(reason) = node_condition(live) {
            return Err(Not::Ever(format!("node {node} did not stay Ready: {reason}")));
        }
    }
    let left = duration.saturating_sub(started.elapsed());
    if left.is_zero() { Ok(()) } else { Err(Not::Yet("all is well so far".into())) }
}

/// A DaemonSet counts a pod that is being replaced as ready until it has gone, and kubelet takes a container without a probe for
/// ready in the moment in which it starts, be it that it ends at once each time.
async fn pods_run_on(live: &Value, running: &Running, context: &Context<'_>) -> Result<(), Not> {
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
    if let Some(pod) = staying.iter().find(|pod| !has_run_on(pod, running)) {
        return Err(Not::Yet(format!("pod {} to run on", name(pod))));
    }
    Ok(all_are_there(live, staying.len())?)
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

/// How long a pod must be seen to run whose containers do not all have a readiness probe.
const UNPROBED: Duration = Duration::from_secs(3);
/// And one that has ended by itself soon after its start: kubelet waits for ten seconds before it starts it the second time, and
/// longer each time after that.
const RESTARTED: Duration = Duration::from_secs(10);

fn has_run_on(pod: &Value, running: &Running) -> bool {
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
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = running.entry(uid).or_insert_with(|| (restarts, Instant::now()));
    if seen.0 != restarts {
        *seen = (restarts, Instant::now());
    }
    seen.1.elapsed() >= needed
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
async fn only_images_missing(live: &Value, images: &[String], context: &Context<'_>) -> Result<(), Not> {
    let pods = context.world.endpoints.pods(live).await?;
    if wanted_pods(live) == Some(0) && live["kind"] == "DaemonSet" {
        return Err(Not::Yet("nobody has counted its nodes yet".into()));
    }
    all_are_there(live, pods.len())?;
    let mut unready = pods.iter().filter(|pod| !has_condition(pod, "Ready"));
    Ok(unready.try_for_each(|pod| waits_for_images(pod, images))?)
}

async fn established(keys: &[ObjectKey], context: &Context<'_>) -> Result<(), Not> {
    let live = context.world.endpoints.read(keys).await?;
    for key in keys {
        let Some(definition) = live.get(key) else { return Err(format!("{key} is not there yet").into()) };
        // Another definition has one of its names: that lasts until somebody changes one of them.
        if let Some(refused) = condition(definition, "NamesAccepted").filter(|names| names["status"] == "False") {
            return Err(Not::Ever(format!("{key}: {}", refused["message"].as_str().unwrap_or("names not accepted"))));
        }
        if !has_condition(definition, "Established") {
            return Err(format!("{key} is not served yet").into());
        }
    }
    Ok(())
}

fn available(live: &Value) -> Result<(), String> {
    if has_condition(live, "Available") {
        return Ok(());
    }
    let message = condition(live, "Available").and_then(|condition| condition["message"].as_str());
    Err(message.unwrap_or("the apiserver has not asked the service yet").to_owned())
}

/// The apiserver makes the system namespaces a moment after it says that it is ready.
async fn namespaces(context: &Context<'_>) -> Result<(), String> {
    let keys = ["default", "kube-system", "kube-public", "kube-node-lease"].map(ObjectKey::namespace);
    let found = context.world.endpoints.read(&keys).await.map_err(|error| error.to_string())?;
    match keys.iter().find(|key| !found.contains_key(key)) {
        None => Ok(()),
        Some(missing) => Err(format!("{missing} is not there yet")),
    }
}

async fn object(key: &ObjectKey, context: &Context<'_>) -> Result<Value, String> {
    let keys = [key.clone()];
    let mut found = context.world.endpoints.read(&keys).await.map_err(|error| error.to_string())?;
    found.remove(key).ok_or_else(|| format!("{key} is not there yet"))
}

fn node_condition(node: &Value) -> Result<(), String> {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(condition) if condition["status"] == "True" => Ok(()),
        Some(condition) => Err(condition["message"].as_str().unwrap_or("the node is not ready").to_owned()),
        None => Err("kubelet has not reported yet".into()),
    }
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
        let (running, probe) = (Running::default(), Value::Null);
        assert!(!has_run_on(&pod(&probe, 0), &running));
        tokio::time::advance(UNPROBED).await;
        assert!(has_run_on(&pod(&probe, 0), &running), "it has never ended");
        for restarts in 1..4 {
            tokio::time::advance(RESTARTED * 2).await;
            assert!(!has_run_on(&pod(&probe, restarts), &running), "seen in the moment in which it was started");
        }
        tokio::time::advance(RESTARTED).await;
        assert!(has_run_on(&pod(&probe, 3), &running));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_probe_has_found_ready_is_not_watched() {
        let probe = json!({"httpGet": {"path": "/readyz", "port": 8181}});
        assert!(has_run_on(&pod(&probe, 0), &Running::default()));
        assert!(!has_run_on(&pod(&probe, 1), &Running::default()), "unless it has ended by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_served_for_long_before_it_ended_is_watched_no_longer_than_others() {
        let pod = |probe: &Value, to: &str| pod_that_ran("2026-01-01T00:00:00Z", to, probe, 1);
        let (running, later) = (Running::default(), "2026-01-01T00:01:00Z");
        assert!(!has_run_on(&pod(&Value::Null, later), &running));
        tokio::time::advance(UNPROBED).await;
        assert!(has_run_on(&pod(&Value::Null, later), &running));
        let probe = json!({"httpGet": {"path": "/readyz", "port": 8181}});
        assert!(has_run_on(&pod(&probe, later), &Running::default()));
        // After a power cut nobody knows, nor where the clock was set back.
        assert!(!has_run_on(&pod(&probe, "2025-12-31T23:00:00Z"), &Running::default()));
        assert!(!has_run_on(&pod(&probe, ""), &Running::default()));
    }
}

//! The one place that waits for a condition.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::base::StepId;
use crate::event::Event;
use crate::plan::{Condition, workload_is_ready};
use crate::state::ObjectKey;

use super::Context;
use super::actions::StepError;

/// Between two probes: short at first, since a probe is one request over a connection that stands, then a twentieth of the
/// time that was waited, so that many waits do not slow down what they wait for.
fn pause(waited: Duration) -> Duration {
    (waited / 20).clamp(Duration::from_millis(100), Duration::from_millis(500))
}

/// Longer than the slowest start seen on two busy cores, times ten.
const DEADLINE: Duration = Duration::from_secs(300);

/// Waits for a condition and reports each new reason why it does not hold yet. `halted` ends the wait: another step has
/// failed.
pub(super) async fn wait(
    step: &StepId,
    condition: &Condition,
    context: &Context<'_>,
    halted: &AtomicBool,
) -> Result<(), StepError> {
    let started = Instant::now();
    let mut last = String::new();
    loop {
        let Err(reason) = probe(condition, context).await else { return Ok(()) };
        if context.cancellation.stops() {
            return Err(StepError::Cancelled);
        }
        if halted.load(Ordering::Relaxed) {
            return Err(StepError::Abandoned);
        }
        if started.elapsed() > DEADLINE {
            return Err(StepError::TimedOut { seconds: DEADLINE.as_secs(), reason });
        }
        if reason != last {
            context.events.emit(Event::StepWaits { step: step.clone(), reason: reason.clone() });
            last = reason;
        }
        tokio::time::sleep(pause(started.elapsed())).await;
    }
}

async fn probe(condition: &Condition, context: &Context<'_>) -> Result<(), String> {
    let endpoints = &context.world.endpoints;
    match condition {
        Condition::EtcdHealthy(nodes) => {
            let health = nodes.iter().map(|node| endpoints.etcd_health(node));
            let results = futures::future::join_all(health).await;
            results.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
        }
        Condition::ApiAnswers(node) => endpoints.api_answers(node).await.map_err(|error| error.to_string()),
        Condition::ApiReady(node) => {
            endpoints.api_health(node).await.map_err(|error| error.to_string())?;
            namespaces(context).await
        }
        Condition::NodeRegistered(node) => object(&ObjectKey::node(node), context).await.map(|_| ()),
        Condition::NodeReady(node) => {
            let live = object(&ObjectKey::node(node), context).await?;
            node_condition(&live)
        }
        Condition::WorkloadReady(key) => {
            let live = object(key, context).await?;
            if workload_is_ready(&live) { Ok(()) } else { Err(workload_progress(&live)) }
        }
        Condition::ComponentHealthy(node, component) => match component.health_port() {
            Some(port) => endpoints.listens(node, port).await.map_err(|error| error.to_string()),
            None => Ok(()),
        },
    }
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

async fn object(key: &ObjectKey, context: &Context<'_>) -> Result<serde_json::Value, String> {
    let keys = [key.clone()];
    let mut found = context.world.endpoints.read(&keys).await.map_err(|error| error.to_string())?;
    found.remove(key).ok_or_else(|| format!("{key} is not there yet"))
}

fn node_condition(node: &serde_json::Value) -> Result<(), String> {
    let conditions = node.pointer("/status/conditions").and_then(serde_json::Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(condition) if condition["status"] == "True" => Ok(()),
        Some(condition) => Err(condition["message"].as_str().unwrap_or("the node is not ready").to_owned()),
        None => Err("kubelet has not reported yet".into()),
    }
}

fn workload_progress(live: &serde_json::Value) -> String {
    let number = |pointer: &str| live.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap_or(0);
    if live["kind"] == "DaemonSet" {
        return format!("{} of {} pods ready", number("/status/numberReady"), number("/status/desiredNumberScheduled"));
    }
    format!("{} of {} pods ready", number("/status/readyReplicas"), number("/spec/replicas"))
}

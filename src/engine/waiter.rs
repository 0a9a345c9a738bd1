//! The one place that waits for a condition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::base::{NodeName, StepId};
use crate::endpoints::EndpointError;
use crate::event::Event;
use crate::plan::{Condition, condition, has_condition};
use crate::state::ObjectKey;

use super::actions::StepError;
use super::explain::explain;
use super::pod_watch::{PodWatch, only_images_missing};
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
        Condition::WorkloadReady { key, .. } => seen.pods.confirms(&object(key, context).await?, context).await,
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
    pods: PodWatch,
}

/// When leases were renewed, as seen first.
type Renewals = Mutex<BTreeMap<&'static str, String>>;

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

//! Taking a node out of service: its pods are evicted at once, and those that a budget keeps are asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::slice;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::future::{join_all, try_join};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::base::{NodeName, StepId};
use crate::cluster::DrainOptions;
use crate::endpoints::EndpointError;
use crate::kubeapi::{Eviction, EvictionAnswer};
use crate::plan::{self, Blocked, DrainForecast, DrainInput, PodRef};
use crate::state::{Deletion, ObjectKey};

use super::Context;
use super::actions::StepError;
use super::waiter::{self, Not};

/// Until a pod that was refused is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// Why a node still has pods that were to leave it.
#[derive(Debug, thiserror::Error)]
pub struct NotEmpty {
    /// The node.
    pub node: NodeName,
    /// Seconds for which was waited; none where waiting could not help.
    pub seconds: Option<u64>,
    /// Pods that are left, each with what keeps it and what helps.
    pub left: Vec<(PodRef, String)>,
    /// Why the tool's cordon could not be lifted; none where the node takes pods again.
    pub still_cordoned: Option<EndpointError>,
}

impl fmt::Display for NotEmpty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            Some(seconds) => write!(formatter, "{} is not empty after {seconds} s", self.node)?,
            None => write!(formatter, "{} cannot be emptied", self.node)?,
        }
        for (position, (pod, why)) in self.left.iter().enumerate() {
            write!(formatter, "{} pod {pod}: {why}", if position == 0 { ":" } else { ";" })?;
        }
        match &self.still_cordoned {
            None => write!(formatter, "; it takes pods again unless you have cordoned it yourself"),
            Some(error) => write!(formatter, "; it is still cordoned: {error}"),
        }
    }
}

/// Evicts the pods of a node and returns when they are gone. Where they do not go, the tool's cordon is lifted: nothing was
/// changed on the node.
pub(super) async fn drain(
    step: &StepId,
    node: &NodeName,
    options: &DrainOptions,
    context: &Context<'_>,
    halted: &AtomicBool,
) -> Result<(), StepError> {
    let drain = Drain { node, options, context, state: Mutex::default() };
    let emptied = waiter::poll_for(step, context, halted, options.timeout, || drain.round()).await;
    let Err(error) = emptied else { return Ok(()) };
    let left = match &error {
        StepError::TimedOut { seconds, .. } => drain.left().await.map(|left| (Some(*seconds), left)),
        StepError::Hopeless(_) => drain.left().await.map(|left| (None, left)),
        _ => None,
    };
    let still_cordoned = context.world.endpoints.uncordon(context.world.epoch, node).await.err();
    Err(match left.filter(|(_, left)| !left.is_empty()) {
        Some((seconds, left)) => Box::new(NotEmpty { node: node.clone(), seconds, left, still_cordoned }).into(),
        None => error,
    })
}

/// A drain at work.
struct Drain<'a> {
    node: &'a NodeName,
    options: &'a DrainOptions,
    context: &'a Context<'a>,
    state: Mutex<State>,
}

/// What was asked so far, by the pods' uids.
#[derive(Default)]
struct State {
    /// Pods that are to go, until all of them are gone.
    targets: BTreeMap<String, PodRef>,
    /// Those that were there at the beginning: of later ones, only those are evicted that do not come back at once.
    first: Option<BTreeSet<String>>,
    /// Those that are on their way out.
    accepted: BTreeSet<String>,
    /// When the others were asked for last, and what the answer was.
    refused: BTreeMap<String, (Instant, String)>,
}

impl Drain<'_> {
    /// One look and what follows from it; what is waited for, as long as there is something.
    async fn round(&self) -> Result<(), Not> {
        let mut state = self.state.lock().await;
        let gone = {
            let live = self.context.world.endpoints.pods_on(self.node).await?;
            // One that has come to its end while it waited stays.
            let live = live.iter().filter(|pod| !plan::has_ended(pod));
            let live: BTreeSet<String> = live.map(|pod| PodRef::of(pod).uid).collect();
            state.targets.retain(|uid, _| live.contains(uid));
            state.targets.is_empty()
        };
        if gone {
            let forecast = self.look(state.first.as_ref()).await?;
            if forecast.is_done() {
                return Ok(());
            }
            if state.first.is_none() {
                self.await_controllers().await?;
            }
            self.begin(&forecast, &mut state)?;
        }
        self.ask(&mut state).await?;
        Err(Not::Yet(awaited(&state)))
    }

    /// A controller-manager that has just begun to lead still reads what there is. Until it works, a Service sends requests to
    /// pods that have ended, and nobody makes them anew.
    async fn await_controllers(&self) -> Result<(), Not> {
        let key = ObjectKey::node(self.node);
        let live = self.context.world.endpoints.read(slice::from_ref(&key)).await?;
        if live.get(&key).is_some_and(plan::is_cordon_seen) {
            return Ok(());
        }
        Err(Not::Yet(format!("a controller-manager to see that {} is cordoned", self.node)))
    }

    /// Takes over what is to go; fails where waiting cannot help, before anything is evicted.
    fn begin(&self, forecast: &DrainForecast, state: &mut State) -> Result<(), Not> {
        if let Some(Blocked { pod, obstacle }) = forecast.hopeless().next() {
            return Err(Not::Ever(format!("pod {pod}: {obstacle}; {}", obstacle.way_out(pod))));
        }
        let blocked = forecast.blocked.iter().map(|blocked| &blocked.pod);
        let all = forecast.evicted.iter().chain(&forecast.ending).chain(blocked);
        state.targets = all.map(|pod| (pod.uid.clone(), pod.clone())).collect();
        state.accepted.extend(forecast.ending.iter().map(|pod| pod.uid.clone()));
        let here = state.targets.keys().cloned().collect();
        state.first.get_or_insert(here);
        Ok(())
    }

    /// What a drain would do now.
    async fn look(&self, first: Option<&BTreeSet<String>>) -> Result<DrainForecast, EndpointError> {
        let endpoints = &self.context.world.endpoints;
        let (mut pods, budgets) = try_join(endpoints.pods_on(self.node), endpoints.disruption_budgets()).await?;
        if let Some(first) = first {
            pods.retain(|pod| first.contains(&PodRef::of(pod).uid) || !plan::tolerates_cordon(pod));
        }
        let keys = plan::owners(&pods);
        let owners = if keys.is_empty() { BTreeMap::new() } else { endpoints.read(&keys).await? };
        let options = self.options;
        Ok(plan::forecast(&DrainInput { node: self.node, pods: &pods, budgets: &budgets, owners: &owners, options }))
    }

    /// Asks for all pods at once that are not on their way out and were not asked for a moment ago.
    async fn ask(&self, state: &mut State) -> Result<(), Not> {
        let due = |uid: &String| state.refused.get(uid).is_none_or(|(asked, _)| asked.elapsed() >= AGAIN);
        let asked: Vec<PodRef> = state
            .targets
            .iter()
            .filter(|(uid, _)| !state.accepted.contains(*uid) && due(uid))
            .map(|(_, pod)| pod.clone())
            .collect();
        let answers = join_all(asked.iter().map(|pod| self.evict(pod))).await;
        for (pod, answer) in asked.into_iter().zip(answers) {
            let refusal = match answer {
                Ok(EvictionAnswer::Accepted | EvictionAnswer::Gone) => None,
                Ok(EvictionAnswer::Budget { message, .. } | EvictionAnswer::NotNow(message)) => Some(message),
                Ok(EvictionAnswer::Unserved) => {
                    return Err(Not::Ever(format!("pod {pod}: the API evicts no pods, and `force` is not set")));
                }
                Err(error) => Some(error.to_string()),
            };
            match refusal {
                Some(message) => drop(state.refused.insert(pod.uid, (Instant::now(), message))),
                None => drop(state.accepted.insert(pod.uid)),
            }
        }
        Ok(())
    }

    /// Asks for one pod; with `force` it is deleted where the API evicts nothing.
    async fn evict(&self, pod: &PodRef) -> Result<EvictionAnswer, EndpointError> {
        let (endpoints, epoch) = (&self.context.world.endpoints, self.context.world.epoch);
        let PodRef { namespace, name, uid } = pod.clone();
        let grace_period = self.options.grace_period;
        let eviction = Eviction { namespace, name, uid, grace_period };
        let answer = endpoints.evict(epoch, &eviction).await?;
        if answer != EvictionAnswer::Unserved || !self.options.force {
            return Ok(answer);
        }
        let Eviction { namespace, name, uid, .. } = eviction;
        let key = ObjectKey { api_version: "v1".into(), kind: "Pod".into(), namespace, name };
        endpoints.delete(epoch, &[Deletion { key, uid }]).await?;
        Ok(EvictionAnswer::Accepted)
    }

    /// The pods that did not go, each with what keeps it; none where the API does not tell.
    async fn left(&self) -> Option<Vec<(PodRef, String)>> {
        let state = self.state.lock().await;
        let forecast = self.look(state.first.as_ref()).await.ok()?;
        let blocked = forecast.blocked.iter().filter(|blocked| state.first.is_some() || !blocked.obstacle.may_pass());
        let blocked =
            blocked.map(|Blocked { pod, obstacle }| (pod.clone(), format!("{obstacle} ({})", obstacle.way_out(pod))));
        let mut left: Vec<(PodRef, String)> = blocked.collect();
        let ending = forecast.ending.iter().map(|pod| (pod.clone(), "it has not ended yet".to_owned()));
        let refused =
            forecast.evicted.iter().filter_map(|pod| Some((pod.clone(), state.refused.get(&pod.uid)?.1.clone())));
        if state.first.is_some() {
            left.extend(ending.chain(refused));
        }
        Some(left)
    }
}

/// What keeps the node from being empty: the first pod that was refused, else the first that ends.
fn awaited(state: &State) -> String {
    let refused = |pod: &PodRef| state.refused.get(&pod.uid).filter(|_| !state.accepted.contains(&pod.uid));
    let mut pods: Vec<&PodRef> = state.targets.values().collect();
    pods.sort();
    let others = match pods.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more pods)", count - 1),
    };
    match pods.iter().find_map(|pod| Some((pod, refused(pod)?))) {
        Some((pod, (_, message))) => format!("pod {pod}: {message}{others}"),
        None => match pods.first() {
            Some(pod) => format!("the end of pod {pod}{others}"),
            None => "a last look".into(),
        },
    }
}

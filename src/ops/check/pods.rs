//! Brings the test pods up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::leftovers::pods_of;
use super::patience::patiently;
use super::tester::TestPod;
use super::{Check, CheckError};
use crate::base::{Epoch, NodeName};
use crate::netcheck::{PodState, Trial, pod_state};
use crate::ops::OperationError;

/// A pod that does not run by then has a node with a trouble of its own.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A pull that failed may go well at kubelet's next attempt, but that comes late.
const IMAGE_PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(300);

/// A pod of the check as the API has it.
struct Seen {
    name: String,
    node: NodeName,
    state: PodState,
}

/// Makes pods and Services and waits until the pods run. Gives the pods by name, and nodes whose server does not run.
pub(super) async fn start(
    check: &Check<'_>,
) -> Result<(BTreeMap<String, TestPod>, Vec<(NodeName, String)>), OperationError> {
    let trial = &check.trial;
    check.phase(format!("starting test pods on {} nodes in namespace {}", trial.nodes().len(), trial.namespace()));
    check.api.apply(Epoch::FIRST, &[trial.account()]).await?;
    check.api.apply(Epoch::FIRST, &trial.workload()).await?;
    let started = Instant::now();
    let mut without_image: Option<Instant> = None;
    loop {
        let pods = look(check).await?;
        let waiting: Vec<&Seen> = pods.iter().filter(|pod| !matches!(pod.state, PodState::Runs(_))).collect();
        if waiting.is_empty() && !pods.is_empty() {
            return Ok(sorted(trial, pods));
        }
        let only_images = waiting.iter().all(|pod| matches!(pod.state, PodState::NoImage(_)));
        without_image = without_image.or(Some(Instant::now())).filter(|_| only_images);
        if without_image.is_some_and(|since| since.elapsed() > IMAGE_PATIENCE) {
            return Err(no_image(trial, &waiting).into());
        }
        if started.elapsed() > START_LIMIT {
            let (running, untested) = sorted(trial, pods);
            let reasons = untested.iter().map(|(node, reason)| format!("{node}: {reason}")).collect();
            return if running.is_empty() { Err(CheckError::NoNode(reasons).into()) } else { Ok((running, untested)) };
        }
        check.phase(describe(&waiting));
        sleep(PAUSE).await;
    }
}

async fn look(check: &Check<'_>) -> Result<Vec<Seen>, OperationError> {
    let wanted = pods_of(check.trial.namespace());
    let seen = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str()?.to_owned();
        let node = NodeName::new(pod["spec"]["nodeName"].as_str()?).ok()?;
        Some(Seen { name, node, state: pod_state(pod) })
    };
    Ok(patiently(|| check.api.list(&wanted)).await?.iter().filter_map(seen).collect())
}

fn describe(waiting: &[&Seen]) -> String {
    let first = waiting.first().map(|pod| match &pod.state {
        PodState::Waits(reason) | PodState::NoImage(reason) => format!("{}: {reason}", pod.node),
        PodState::Runs(_) => pod.node.to_string(),
    });
    format!("waiting for {} test pods ({})", waiting.len(), first.unwrap_or_default())
}

fn no_image(trial: &Trial, waiting: &[&Seen]) -> CheckError {
    let mut reasons: Vec<String> = waiting
        .iter()
        .filter_map(|pod| match &pod.state {
            PodState::NoImage(reason) => Some(format!("{}: {reason}", pod.node)),
            _ => None,
        })
        .collect();
    reasons.sort();
    reasons.dedup_by_key(|reason| reason.split(':').next().map(str::to_owned));
    CheckError::NoImage { image: trial.image().clone(), reasons }
}

fn sorted(trial: &Trial, pods: Vec<Seen>) -> (BTreeMap<String, TestPod>, Vec<(NodeName, String)>) {
    let (mut running, mut untested) = (BTreeMap::new(), Vec::new());
    for Seen { name, node, state } in pods {
        match state {
            PodState::Runs(ip) => drop(running.insert(name, TestPod { node, ip })),
            PodState::Waits(reason) | PodState::NoImage(reason) if trial.server(&node).as_ref() == Some(&name) => {
                untested.push((node, format!("its test pod does not start: {reason}")));
            }
            PodState::Waits(_) | PodState::NoImage(_) => {}
        }
    }
    (running, untested)
}

//! Whether a NetworkPolicy does what it says.

use std::time::Duration;

use futures::stream::{StreamExt as _, iter};
use tokio::time::{Instant, sleep, timeout};

use super::Check;
use super::tester::{AT_ONCE, SETTLE, Tester, persist};
use crate::base::{Epoch, NodeName};
use crate::netcheck::{Dial, HTTP_PORT, Outcome, PolicySeen, Trial};
use crate::ops::OperationError;

/// A connection that was made in milliseconds before counts as denied after this.
const DENIED_AFTER: Duration = Duration::from_secs(2);
/// Agents program policies some time after they were made.
const ENFORCED_AFTER: Duration = Duration::from_secs(15);
/// The same where nobody has promised to enforce anything.
const SHORTLY: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(300);

/// The nodes whose servers the stranger reaches as long as there is no policy: only there a policy can be seen. None where
/// the two clients do not run; that the stranger runs does not mean yet that it listens.
pub(super) async fn reached(check: &Check<'_>, tester: &Tester<'_>, nodes: &[NodeName]) -> Vec<NodeName> {
    let clients = [Trial::STRANGER, Trial::FRIEND];
    if !clients.iter().all(|client| tester.ip(client).is_some()) {
        return Vec::new();
    }
    let attempt = |server: String| async move { persist(SETTLE, || dial(tester, Trial::STRANGER, &server)).await };
    let outcomes = all(check, nodes, attempt).await;
    nodes.iter().zip(outcomes).filter(|(_, outcome)| outcome.works()).map(|(node, _)| node.clone()).collect()
}

/// Makes a policy that only the friend may reach servers, and tries whether it holds on these nodes.
pub(super) async fn observe(
    check: &Check<'_>,
    tester: &Tester<'_>,
    nodes: &[NodeName],
) -> Result<Vec<PolicySeen>, OperationError> {
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    check.phase("trying connections under a NetworkPolicy");
    check.api.apply(Epoch::FIRST, &[check.trial.policy()]).await?;
    let denied = denied(check, tester, nodes).await;
    let attempt = |server: String| async move { persist(SETTLE, || dial(tester, Trial::FRIEND, &server)).await };
    let allowed = all(check, nodes, attempt).await;
    // The stranger has not gone where the friend, too, tells that it reaches nobody: all is cut off then.
    let is_cut = |outcome: &Outcome| matches!(outcome, Outcome::Silent | Outcome::Refused | Outcome::NoRoute);
    let cut_off = || allowed.iter().all(is_cut).then(|| allowed.clone());
    let Some(denied) = denied.or_else(cut_off) else { return Ok(Vec::new()) };
    let results = nodes.iter().cloned().zip(denied).zip(allowed);
    Ok(results.map(|((node, denied), allowed)| PolicySeen { node, denied, allowed }).collect())
}

/// What the stranger gets in the end: asks until it reaches nobody. Once it is denied somewhere, something enforces policies
/// here, and the others get the longer time too. None where it does not reach the friend either.
///
/// That it reaches nobody counts when seen twice in a row, and as long as it reaches whom no policy protects: its
/// connections may stall together once, and its pod or the way to it may go away.
async fn denied(check: &Check<'_>, tester: &Tester<'_>, nodes: &[NodeName]) -> Option<Vec<Outcome>> {
    let promised = check.setting.enforces_policy == Some(true);
    let started = Instant::now();
    let mut reached_nobody = 0;
    loop {
        let attempt = |server: String| async move { dial_briefly(tester, &server).await };
        let outcomes = all(check, nodes, attempt).await;
        let reached = outcomes.iter().filter(|outcome| outcome.works()).count();
        let limit = if promised || reached < outcomes.len() { ENFORCED_AFTER } else { SHORTLY };
        let is_over = started.elapsed() > limit;
        if reached > 0 {
            reached_nobody = 0;
        } else if dial_briefly(tester, Trial::FRIEND).await.works() {
            reached_nobody += 1;
        } else if is_over {
            return None;
        }
        if reached_nobody == 2 || (reached > 0 && is_over) {
            return Some(outcomes);
        }
        sleep(PAUSE).await;
    }
}

/// Lets the stranger dial a pod.
async fn dial_briefly(tester: &Tester<'_>, pod: &str) -> Outcome {
    timeout(DENIED_AFTER, dial(tester, Trial::STRANGER, pod)).await.unwrap_or(Outcome::Silent)
}

async fn dial(tester: &Tester<'_>, client: &str, pod: &str) -> Outcome {
    let ip = tester.ip(pod).unwrap_or_default();
    tester.dial(client, &Dial::tcp(ip, HTTP_PORT), pod).await
}

/// As many at once as the client's host bears: an attempt's time is not to go by while it waits for its turn.
async fn all<F: Future<Output = Outcome>>(
    check: &Check<'_>,
    nodes: &[NodeName],
    attempt: impl Fn(String) -> F,
) -> Vec<Outcome> {
    let servers = nodes.iter().map(|node| check.trial.server(node).unwrap_or_default());
    iter(servers.map(attempt)).buffered(AT_ONCE).collect().await
}

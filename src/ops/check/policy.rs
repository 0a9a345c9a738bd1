//! Whether a NetworkPolicy does what it says.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::Check;
use super::tester::{Tester, persist};
use crate::base::{Epoch, NodeName};
use crate::netcheck::{Dial, HTTP_PORT, Outcome, PolicySeen, Trial};
use crate::ops::OperationError;

/// A connection that was made in milliseconds before counts as denied after this.
const DENIED_AFTER: Duration = Duration::from_secs(2);
/// Agents program policies some time after they were made.
const SETTLE: Duration = Duration::from_secs(15);
/// Where nobody has promised to enforce anything.
const SHORT_SETTLE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(300);

/// The nodes whose servers the stranger reaches as long as there is no policy: only there a policy can be seen. None where
/// the two clients do not run.
pub(super) async fn reached(check: &Check<'_>, tester: &Tester<'_>, nodes: &[NodeName]) -> Vec<NodeName> {
    let clients = [Trial::STRANGER, Trial::FRIEND];
    if !clients.iter().all(|client| tester.ip(client).is_some()) {
        return Vec::new();
    }
    let attempt =
        |server: String| async move { persist(Duration::ZERO, || dial(tester, Trial::STRANGER, &server)).await };
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
    let attempt = |server: String| async move { persist(SHORT_SETTLE, || dial(tester, Trial::FRIEND, &server)).await };
    let allowed = all(check, nodes, attempt).await;
    let results = nodes.iter().cloned().zip(denied).zip(allowed);
    Ok(results.map(|((node, denied), allowed)| PolicySeen { node, denied, allowed }).collect())
}

/// What the stranger gets in the end: asks until it reaches nobody. Once it is denied somewhere, something enforces
/// policies here, and the others get the longer time too.
async fn denied(check: &Check<'_>, tester: &Tester<'_>, nodes: &[NodeName]) -> Vec<Outcome> {
    let promised = check.setting.enforces_policy == Some(true);
    let started = Instant::now();
    loop {
        let outcomes = all(check, nodes, |server| async move {
            let attempt = dial(tester, Trial::STRANGER, &server);
            timeout(DENIED_AFTER, attempt).await.unwrap_or(Outcome::Silent)
        })
        .await;
        let reached = outcomes.iter().filter(|outcome| outcome.works()).count();
        let limit = if promised || reached < outcomes.len() { SETTLE } else { SHORT_SETTLE };
        if reached == 0 || started.elapsed() > limit {
            return outcomes;
        }
        sleep(PAUSE).await;
    }
}

async fn dial(tester: &Tester<'_>, client: &str, server: &str) -> Outcome {
    let ip = tester.ip(server).unwrap_or_default();
    tester.dial(client, &Dial::tcp(ip, HTTP_PORT), server).await
}

async fn all<F: Future<Output = Outcome>>(
    check: &Check<'_>,
    nodes: &[NodeName],
    attempt: impl Fn(String) -> F,
) -> Vec<Outcome> {
    join_all(nodes.iter().map(|node| attempt(check.trial.server(node).unwrap_or_default()))).await
}

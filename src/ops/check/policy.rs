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

/// Before there is a policy the stranger must reach every server; then only the friend may. Empty where the two clients
/// do not run.
pub(super) async fn observe(
    check: &Check<'_>,
    tester: &Tester<'_>,
    nodes: &[NodeName],
) -> Result<Vec<PolicySeen>, OperationError> {
    let clients = [Trial::STRANGER, Trial::FRIEND];
    if !clients.iter().all(|client| tester.ip(client).is_some()) {
        return Ok(Vec::new());
    }
    check.phase("trying connections without and with a NetworkPolicy");
    let before =
        all(
            check,
            nodes,
            |server| async move { persist(Duration::ZERO, || dial(tester, Trial::STRANGER, &server)).await },
        );
    let before = before.await;
    check.api.apply(Epoch::FIRST, &[check.trial.policy()]).await?;
    let denied = denied(check, tester, nodes).await;
    let allowed =
        all(check, nodes, |server| async move { persist(SHORT_SETTLE, || dial(tester, Trial::FRIEND, &server)).await });
    let results = nodes.iter().cloned().zip(before).zip(denied).zip(allowed.await);
    let seen = |(((node, reached_before), denied), allowed)| PolicySeen { node, reached_before, denied, allowed };
    Ok(results.map(seen).collect())
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

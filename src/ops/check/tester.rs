//! Opens connections and lets test pods open some.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::base::NodeName;
use crate::host::{HostError, SharedHost};
use crate::https::{HttpsError, plain_get};
use crate::netcheck::{Dial, HOSTNAME, HTTP_PORT, MTU_REQUEST, Outcome, mtu_of};

/// Connections through one host at a time. Those that fail hold their places for seconds.
pub(super) const AT_ONCE: usize = 48;
/// How long a connection from a node may take; a test pod gives up after as much by itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// Twice a pod's patience and that of its resolver.
const DIAL_PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);
/// Routes and rules for new Services and pods may take so long to arrive everywhere, and containers that run to listen.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

/// Where a test pod runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestPod {
    pub node: NodeName,
    pub ip: String,
}

/// The nodes with their test pods.
pub(super) struct Tester<'a> {
    hosts: &'a BTreeMap<NodeName, SharedHost>,
    /// By the pods' names.
    pods: &'a BTreeMap<String, TestPod>,
    permits: BTreeMap<NodeName, Semaphore>,
}

impl<'a> Tester<'a> {
    pub fn new(hosts: &'a BTreeMap<NodeName, SharedHost>, pods: &'a BTreeMap<String, TestPod>) -> Self {
        let permits = hosts.keys().map(|node| (node.clone(), Semaphore::new(AT_ONCE))).collect();
        Self { hosts, pods, permits }
    }

    /// The address of a pod.
    pub fn ip(&self, pod: &str) -> Option<&str> {
        self.pods.get(pod).map(|pod| pod.ip.as_str())
    }

    /// Lets a pod dial; the pod named `wanted` has to answer.
    pub async fn dial(&self, pod: &str, dial: &Dial, wanted: &str) -> Outcome {
        let Some(TestPod { node, ip }) = self.pods.get(pod) else {
            return Outcome::Other("its pod does not run".into());
        };
        // Since it was its turn.
        let mut asked = Instant::now();
        let path = || {
            asked = Instant::now();
            dial.path()
        };
        match self.get(node, (ip, HTTP_PORT), path, DIAL_PATIENCE).await {
            Ok((status, body)) => Outcome::of_dial(status, &body, wanted).of_lookup(asked.elapsed()),
            Err(outcome) => Outcome::Other(format!("the pod on {node} did not take the request: {outcome}")),
        }
    }

    /// Connects from a node itself and asks for a pod's name.
    pub async fn ask(
        &self,
        node: &NodeName,
        place: (&str, u16),
        path: impl FnOnce() -> String,
        wanted: &str,
    ) -> Outcome {
        match self.get(node, place, path, PATIENCE).await {
            Ok((200, body)) => Outcome::of_name(&String::from_utf8_lossy(&body), wanted),
            Ok((status, _)) => Outcome::Other(format!("HTTP status {status}")),
            Err(outcome) => outcome,
        }
    }

    /// Connects from a node and says nothing.
    pub async fn connect(&self, node: &NodeName, address: &str, port: u16) -> Outcome {
        let Ok((host, _permit)) = self.host(node).await else { return Outcome::Other("no SSH connection".into()) };
        match timeout(PATIENCE, host.open_tcp(address, port)).await {
            Err(_) => Outcome::Silent,
            Ok(Ok(_)) => Outcome::Answered,
            Ok(Err(error)) => outcome_of(&error),
        }
    }

    /// Whether a node reaches the pod on itself.
    pub async fn own(&self, pod: &str) -> Outcome {
        let Some(TestPod { node, ip }) = self.pods.get(pod) else {
            return Outcome::Other("its pod does not run".into());
        };
        self.ask(node, (ip, HTTP_PORT), || HOSTNAME.to_owned(), pod).await
    }

    /// The MTU of a pod's interface, where its image has a shell that tells. One lost answer is asked for again: without it
    /// no full datagram is tried.
    pub async fn mtu(&self, pod: &str) -> Option<u32> {
        let TestPod { node, ip } = self.pods.get(pod)?;
        let ask = || self.get(node, (ip, HTTP_PORT), || MTU_REQUEST.to_owned(), PATIENCE);
        let answer = match ask().await {
            Ok(answer) => Ok(answer),
            Err(_) => ask().await,
        };
        mtu_of(&answer.ok()?.1)
    }

    async fn host(&self, node: &NodeName) -> Result<(&SharedHost, tokio::sync::SemaphorePermit<'_>), Outcome> {
        let missing = || Outcome::Other("no SSH connection".into());
        let host = self.hosts.get(node).ok_or_else(missing)?;
        // The semaphore lives as long as the tester and is never closed.
        let permit = self.permits.get(node).ok_or_else(missing)?.acquire().await.map_err(|_| missing())?;
        Ok((host, permit))
    }

    /// The path is made only once it is its turn: there may be thousands, of 32 KiB each.
    async fn get(
        &self,
        node: &NodeName,
        (address, port): (&str, u16),
        path: impl FnOnce() -> String,
        patience: Duration,
    ) -> Result<(u16, Vec<u8>), Outcome> {
        let (host, _permit) = self.host(node).await?;
        let stream = timeout(PATIENCE, host.open_tcp(address, port)).await.map_err(|_| Outcome::Silent)?;
        let stream = stream.map_err(|error| outcome_of(&error))?;
        let answer = plain_get(stream, &format!("{address}:{port}"), &path(), patience).await;
        match answer {
            Ok(answer) => Ok((answer.status.as_u16(), answer.body.to_vec())),
            Err(HttpsError::TimedOut(_)) => Err(Outcome::Silent),
            Err(error) => Err(Outcome::Other(error.to_string())),
        }
    }
}

/// sshd says only that it could not connect; whether nobody was there or somebody refused it keeps to itself.
fn outcome_of(error: &HostError) -> Outcome {
    match error {
        HostError::Refused { reason, .. } if reason.starts_with("no answer") => Outcome::Silent,
        HostError::Refused { .. } => Outcome::Refused,
        error => Outcome::Other(error.to_string()),
    }
}

/// Tries twice at least, and again until `settle` is over: rules for a new pod or Service take a moment to arrive. That a
/// packet is too long is final, since the kernel would cut the next one. Whoever answers wrongly twice in a row is not
/// late: a name server that does not know the name, or another pod than was meant.
pub(super) async fn persist<F: Future<Output = Outcome>>(settle: Duration, attempt: impl Fn() -> F) -> Outcome {
    let started = Instant::now();
    let (mut attempts, mut wrong) = (0, 0);
    loop {
        let outcome = attempt().await;
        attempts += 1;
        wrong = if matches!(outcome, Outcome::NameUnknown | Outcome::Stranger(_)) { wrong + 1 } else { 0 };
        let is_final = matches!(outcome, Outcome::Answered | Outcome::TooLong) || wrong == 2;
        if is_final || (attempts >= 2 && started.elapsed() >= settle) {
            return outcome;
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn persisted(settle: u64, outcomes: &[Outcome]) -> (Outcome, usize) {
        let asked = Cell::new(0);
        let outcome = persist(Duration::from_secs(settle), || {
            let outcome = outcomes[asked.get().min(outcomes.len() - 1)].clone();
            asked.set(asked.get() + 1);
            async move { outcome }
        })
        .await;
        (outcome, asked.get())
    }

    #[tokio::test]
    async fn one_lost_packet_is_no_finding() {
        assert_eq!(persisted(0, &[Outcome::Silent, Outcome::Answered]).await, (Outcome::Answered, 2));
        assert_eq!(persisted(0, &[Outcome::Silent]).await, (Outcome::Silent, 2));
        assert_eq!(persisted(0, &[Outcome::TooLong, Outcome::Answered]).await, (Outcome::TooLong, 1));
    }

    #[tokio::test]
    async fn rules_may_arrive_late() {
        let late = [Outcome::Refused, Outcome::Refused, Outcome::Refused, Outcome::Answered];
        assert_eq!(persisted(5, &late).await, (Outcome::Answered, 4));
        assert_eq!(persisted(5, &[Outcome::NameUnknown]).await, (Outcome::NameUnknown, 2));
        let found = [Outcome::Silent, Outcome::NameUnknown, Outcome::Answered];
        assert_eq!(persisted(5, &found).await, (Outcome::Answered, 3));
        let wrong = Outcome::Stranger("server-2".into());
        assert_eq!(persisted(5, std::slice::from_ref(&wrong)).await, (wrong, 2));
    }
}

//! The door: the only code that changes a host.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::{BoxStream, StreamExt as _, iter};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::connection::Connection;
use super::container::{self, DIGEST_LABEL};
use super::docker::Answer;
use super::outgoing::Outgoing;
use super::swap::{self, Outcome};
use super::{Change, HostError, Ssh, Swap, Transfer, pull, request, script};
use crate::base::{Digest, Epoch};
use crate::state::{ContainerSpec, ImageReference, ImageStore};

/// Small changes: files, accounts, settings.
const SHORT: Duration = Duration::from_secs(120);
/// The script waits up to ten minutes for another run, and apt for another apt.
const PACKAGES: Duration = Duration::from_secs(1800);
/// Copying, restoring and starting what a database of gigabytes holds, on slow disks.
const SNAPSHOT: Duration = Duration::from_secs(3600);
/// A stream has this long, and as long as the slowest line that is worth waiting for needs.
const STREAM: Duration = Duration::from_secs(300);
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// A pending swap is awaited, and the one before that.
const SETTLE: Duration = Duration::from_secs(1800);

/// Both ways, and what Docker and systemd need.
fn swap_limit(swap: &Swap) -> Duration {
    let stop = swap.replacement.container().map_or(90, |spec| u64::try_from(spec.stop_timeout_seconds).unwrap_or(0));
    let once = stop + u64::from(swap.patience_seconds) + u64::from(swap.proof.stays_seconds);
    SHORT + Duration::from_secs(3 * once)
}

fn stream_limit(transfer: &Transfer) -> Duration {
    limit_for(transfer.size)
}

/// How long bytes may take on their way.
pub(super) fn limit_for(size: u64) -> Duration {
    STREAM + Duration::from_secs(size / SLOWEST_BYTES_PER_SECOND)
}

/// How progress is told: bytes sent so far.
pub(super) type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Makes one change.
pub(super) async fn change(ssh: &Ssh, epoch: Epoch, change: &Change, progress: Progress<'_>) -> Result<(), HostError> {
    let door = Door { ssh, epoch };
    match change {
        Change::Send { path, payload, .. } => {
            let head = door.head(change)?;
            door.stream(&format!("sending {path}"), head, payload, progress).await
        }
        Change::LoadImage { store: ImageStore::Containerd, reference, payload, .. } => {
            let head = door.head(change)?;
            door.stream(&format!("loading {reference} into containerd"), head, payload, progress).await
        }
        Change::LoadImage { store: ImageStore::Docker, reference, id, payload } => {
            door.load_into_docker(reference, id.as_ref(), payload, progress).await
        }
        Change::PullImage(pull) => pull::pull(&door, pull, progress).await,
        Change::CreateContainer(spec) => door.create(spec).await,
        Change::StartContainer(name) => door.start(name).await,
        Change::StopContainer(name) => door.stop(name).await,
        Change::RemoveContainer(name) => door.remove(name).await,
        Change::Swap(swap) => door.swap(change, swap).await,
        Change::Settle(name) => door.settle(name).await,
        Change::SuspendContainer(name) => door.suspend(name).await,
        Change::ResumeContainer(name) => door.resume(name).await,
        Change::SaveSnapshot(_)
        | Change::VerifySnapshot(_)
        | Change::PrepareRestore(_)
        | Change::RestoreSnapshot(_)
        | Change::DiscardRestore(_) => door.snapshot(&request::describe(change), door.head(change)?).await,
        Change::InstallPackages(names) => {
            let operation = format!("installing {}", names.join(", "));
            door.script(&operation, door.head(change)?, PACKAGES).await
        }
        _ => door.script(&request::describe(change), door.head(change)?, SHORT).await,
    }
}

pub(super) struct Door<'a> {
    pub ssh: &'a Ssh,
    epoch: Epoch,
}

impl Door<'_> {
    /// What the script reads before any stream: the epoch first.
    fn head(&self, change: &Change) -> Result<Bytes, HostError> {
        request::encode(self.epoch, change).map_err(|reason| self.refused(request::describe(change), reason))
    }

    pub fn refused(&self, operation: String, reason: String) -> HostError {
        HostError::Refused { host: self.ssh.options.node.clone(), operation, reason }
    }

    async fn script(&self, operation: &str, head: Bytes, limit: Duration) -> Result<(), HostError> {
        self.run(&self.ssh.main, operation, iter([Ok(head)]), limit).await
    }

    async fn snapshot(&self, operation: &str, head: Bytes) -> Result<(), HostError> {
        let (ssh, input) = (self.ssh, iter([Ok(head)]));
        let output = script::door(&ssh.main, &ssh.options, script::SNAPSHOTS, input, SNAPSHOT).await?;
        if output.status == 0 { Ok(()) } else { Err(self.refused(operation.to_owned(), output.complaint())) }
    }

    async fn run(
        &self,
        connection: &Connection,
        operation: &str,
        input: impl Stream<Item = Result<Bytes, HostError>>,
        limit: Duration,
    ) -> Result<(), HostError> {
        self.output(connection, operation, input, limit).await.map(|_| ())
    }

    /// What the script prints where it succeeds.
    async fn output(
        &self,
        connection: &Connection,
        operation: &str,
        input: impl Stream<Item = Result<Bytes, HostError>>,
        limit: Duration,
    ) -> Result<Vec<u8>, HostError> {
        let output = script::door(connection, &self.ssh.options, "", input, limit).await?;
        if output.status == 0 { Ok(output.stdout) } else { Err(self.refused(operation.to_owned(), output.complaint())) }
    }

    /// Streams over the second connection, so that commands and the API never queue behind megabytes.
    async fn stream(
        &self,
        operation: &str,
        head: Bytes,
        payload: &Transfer,
        progress: Progress<'_>,
    ) -> Result<(), HostError> {
        let connection = self.ssh.bulk().await?;
        let (outgoing, bytes) = Outgoing::open(&self.ssh.options.node, payload).await?;
        let input = iter([Ok(head)]).chain(bytes);
        outgoing.accompany(self.run(&connection, operation, input, stream_limit(payload)), progress).await
    }

    async fn load_into_docker(
        &self,
        reference: &ImageReference,
        id: Option<&Digest>,
        payload: &Transfer,
        progress: Progress<'_>,
    ) -> Result<(), HostError> {
        let operation = format!("loading {reference} into Docker");
        let before = self.image_id(reference, &operation).await?;
        if before.is_some() && before.as_ref() == id {
            return Ok(());
        }
        let connection = self.ssh.bulk().await?;
        let (outgoing, bytes) = Outgoing::open(&self.ssh.options.node, payload).await?;
        let bytes: BoxStream<'static, _> = bytes;
        let upload = self.ssh.bulk_docker.upload(&connection, "/images/load?quiet=1", bytes, stream_limit(payload));
        let answer = outgoing.accompany(upload, progress).await?;
        if let Some(complaint) = load_complaint(&answer) {
            return Err(self.refused(operation, complaint));
        }
        match (self.image_id(reference, &operation).await?, id) {
            (None, _) => Err(self.refused(operation, format!("the archive does not hold {reference}"))),
            (Some(seen), Some(wanted)) if seen != *wanted => {
                Err(self.refused(operation, format!("the name now has id {seen} instead of {wanted}")))
            }
            _ => Ok(()),
        }
    }

    pub async fn image_id(&self, reference: &ImageReference, operation: &str) -> Result<Option<Digest>, HostError> {
        let name = self.plain(&reference.0, operation)?;
        let answer = self.docker(Method::GET, &format!("/images/{name}/json"), None).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.json().as_ref().and_then(|image| image["Id"].as_str()).and_then(Digest::parse)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(operation.to_owned(), answer.message())),
        }
    }

    /// What an earlier swap has left is ended first; then the new container is made, not started, and the host does the rest.
    async fn swap(&self, change: &Change, swap: &Swap) -> Result<(), HostError> {
        let name = swap.replacement.name();
        let operation = request::describe(change);
        let head = self.head(change)?;
        if let Outcome::Unfinished { reason } = self.ask_swap(&operation, self.settle_head(name)?, SETTLE).await? {
            return Err(self.refused(operation, reason));
        }
        if let Some(spec) = swap.replacement.container() {
            // With other files the same container is another one.
            if swap.reads.is_empty() && self.is_as_it_was_made(spec, name).await? {
                return Ok(());
            }
            self.create_as(spec, &swap::next_name(name)).await?;
        }
        match self.ask_swap(&operation, head, swap_limit(swap)).await {
            Ok(outcome) => self.conclude(operation, outcome),
            Err(error) => {
                // Where it was refused before it began, the new container waits for nothing. A host that has no room says so
                // again; what counts is the first word.
                if matches!(error, HostError::Refused { .. }) {
                    let _ = self.ask_swap(&operation, self.settle_head(name)?, SETTLE).await;
                }
                Err(error)
            }
        }
    }

    /// An old component that is back is what is wanted here.
    async fn settle(&self, name: &str) -> Result<(), HostError> {
        let operation = request::describe(&Change::Settle(name.to_owned()));
        match self.ask_swap(&operation, self.settle_head(name)?, SETTLE).await? {
            Outcome::Reverted { .. } => Ok(()),
            outcome => self.conclude(operation, outcome),
        }
    }

    fn settle_head(&self, name: &str) -> Result<Bytes, HostError> {
        self.head(&Change::Settle(name.to_owned()))
    }

    async fn ask_swap(&self, operation: &str, head: Bytes, limit: Duration) -> Result<Outcome, HostError> {
        let answer = self.output(&self.ssh.main, operation, iter([Ok(head)]), limit).await?;
        swap::outcome(&answer).map_err(|reason| HostError::Malformed {
            host: self.ssh.options.node.clone(),
            operation: operation.to_owned(),
            reason,
        })
    }

    fn conclude(&self, operation: String, outcome: Outcome) -> Result<(), HostError> {
        let host = self.ssh.options.node.clone();
        match outcome {
            Outcome::Done => Ok(()),
            Outcome::Reverted { reason, log } => Err(HostError::Reverted { host, operation, reason, log }),
            Outcome::Neither { reason, log } => Err(HostError::NeitherWorks { host, operation, reason, log }),
            Outcome::Unfinished { reason } => Err(HostError::Refused { host, operation, reason }),
        }
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), HostError> {
        self.create_as(spec, &spec.name).await
    }

    async fn create_as(&self, spec: &ContainerSpec, name: &str) -> Result<(), HostError> {
        let operation = format!("creating container {name}");
        let name = self.plain(name, &operation)?;
        // The name is what people read in `docker ps`; the bytes are what we vouch for.
        match self.image_id(&spec.image.reference, &operation).await? {
            Some(id) if id == spec.image.id => {}
            Some(id) => {
                let reason = format!("{} has id {id} instead of {}", spec.image.reference, spec.image.id);
                return Err(self.refused(operation, reason));
            }
            None => return Err(self.refused(operation, format!("image {} is not there", spec.image.reference))),
        }
        let body = container::create_request(spec);
        let answer = self.docker(Method::POST, &format!("/containers/create?name={name}"), Some(&body)).await?;
        match answer.status {
            StatusCode::CREATED => Ok(()),
            StatusCode::CONFLICT if self.is_made_from(spec, name).await? => Ok(()),
            _ => Err(self.refused(operation, answer.message())),
        }
    }

    /// The same, and whether nothing of it was changed since: its label says nothing of that.
    async fn is_as_it_was_made(&self, spec: &ContainerSpec, name: &str) -> Result<bool, HostError> {
        let answer = self.docker(Method::GET, &format!("/containers/{name}/json"), None).await?;
        let Some(inspected) = answer.json() else { return Ok(false) };
        // Only what Docker keeps for the host can be changed; all else counts as if its image had it.
        let image = json!({ "Config": inspected["Config"] });
        let Some(seen) = container::observed(&inspected, Some(&image)) else { return Ok(false) };
        Ok(seen.label.as_deref() == Some(spec.digest().as_str()) && seen.irregularities.is_empty())
    }

    /// Whether a container of this name carries the digest of this spec.
    async fn is_made_from(&self, spec: &ContainerSpec, name: &str) -> Result<bool, HostError> {
        let answer = self.docker(Method::GET, &format!("/containers/{name}/json"), None).await?;
        let label = answer.json().map(|container| container["Config"]["Labels"][DIGEST_LABEL].clone());
        Ok(label == Some(Value::from(spec.digest().as_str())))
    }

    async fn start(&self, name: &str) -> Result<(), HostError> {
        let operation = format!("starting container {name}");
        let name = self.plain(name, &operation)?;
        let answer = self.docker(Method::POST, &format!("/containers/{name}/start"), None).await?;
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Ok(()),
            _ => Err(self.refused(operation, answer.message())),
        }
    }

    /// Docker waits as long as the container was given, then kills it, and only then answers.
    async fn stop(&self, name: &str) -> Result<(), HostError> {
        let operation = format!("stopping container {name}");
        let name = self.plain(name, &operation)?;
        let answer = self.docker(Method::POST, &format!("/containers/{name}/stop"), None).await?;
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(self.refused(operation, answer.message())),
        }
    }

    /// Without force: Docker itself refuses one that runs.
    async fn remove(&self, name: &str) -> Result<(), HostError> {
        let operation = format!("removing container {name}");
        let name = self.plain(name, &operation)?;
        let answer = self.docker(Method::DELETE, &format!("/containers/{name}?v=true"), None).await?;
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(self.refused(operation, answer.message())),
        }
    }

    /// The policy first: a reboot in between finds it stopped or running, and never about to start by itself.
    async fn suspend(&self, name: &str) -> Result<(), HostError> {
        if self.restart_policy(name, "no").await? { self.stop(name).await } else { Ok(()) }
    }

    /// A stop that nobody waits for any more may go on, and would end what is started now: it is waited for.
    async fn resume(&self, name: &str) -> Result<(), HostError> {
        let operation = format!("looking at container {name}");
        let path = format!("/containers/{}/json", self.plain(name, &operation)?);
        let answer = self.docker(Method::GET, &path, None).await?;
        if answer.json().is_some_and(|seen| seen["HostConfig"]["RestartPolicy"]["Name"] == "no") {
            self.stop(name).await?;
        }
        if !self.restart_policy(name, "always").await? {
            return Err(self.refused(format!("starting container {name}"), "there is no such container".into()));
        }
        self.start(name).await
    }

    /// Whether there is such a container.
    async fn restart_policy(&self, name: &str, policy: &str) -> Result<bool, HostError> {
        let operation = format!("setting the restart policy of container {name}");
        let name = self.plain(name, &operation)?;
        let body = json!({ "RestartPolicy": { "Name": policy } });
        let answer = self.docker(Method::POST, &format!("/containers/{name}/update"), Some(&body)).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refused(operation, answer.message())),
        }
    }

    pub async fn docker(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, HostError> {
        self.ssh.docker.request(&self.ssh.main, method, path, body).await
    }

    pub fn plain<'a>(&self, text: &'a str, operation: &str) -> Result<&'a str, HostError> {
        if container::is_plain(text) {
            Ok(text)
        } else {
            Err(self.refused(operation.into(), format!("`{text}` is no name")))
        }
    }
}

/// The engine answers 200 and tells failures in the stream of its messages.
fn load_complaint(answer: &Answer) -> Option<String> {
    if answer.status != StatusCode::OK {
        return Some(answer.message());
    }
    let messages = serde_json::Deserializer::from_slice(&answer.body).into_iter::<Value>();
    messages.flatten().find_map(|message| message["error"].as_str().map(str::to_owned))
}

//! A real host.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::{BoxFuture, join, join_all, join3, try_join_all};
use http::StatusCode;
use serde_json::Value;
use tokio::sync::Mutex;

use super::connection::Connection;
use super::docker::{Answer, Docker};
use super::round_trips::{AFTER_LOGIN, RoundTripCount, RoundTrips};
use super::snapshot::Gathered;
use super::{
    Change, HostError, HostStream, LogSource, LookRequest, ReadHost, SshOptions, WriteHost, container, door, outgoing,
    script, snapshot,
};
use crate::base::{Digest, Epoch, NodeName};
use crate::state::{CgroupDriver, DockerFacts, HostSnapshot, ObservedContainer};

/// A look reads files whose size nobody knows beforehand.
const LOOK: Duration = Duration::from_secs(120);
const LOG: Duration = Duration::from_secs(20);
/// The script gives up before.
const AUDIT: Duration = Duration::from_secs(60);

/// A host reached over SSH. It has one connection, and a second one from the first big stream on.
pub struct Ssh {
    pub(super) options: SshOptions,
    pub(super) main: Connection,
    pub(super) docker: Docker,
    /// The engine again, over the second connection.
    pub(super) bulk_docker: Docker,
    bulk: Mutex<Option<Arc<Connection>>>,
    trips: Arc<RoundTrips>,
}

/// What is to be told about a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// SHA-256 fingerprint of the host's key, where it was unknown and is on record now.
    pub new_key_fingerprint: Option<String>,
}

impl Ssh {
    /// Connects and logs in. Whether the user may become root shows at the first look.
    pub async fn connect(options: SshOptions) -> Result<(Self, Connected), HostError> {
        let trips = Arc::new(RoundTrips::default());
        let (main, new_key_fingerprint) = Connection::open(&options, Arc::clone(&trips)).await?;
        let docker = || Docker::new(options.node.clone(), !options.is_root());
        let (docker, bulk_docker) = (docker(), docker());
        let host = Self { main, docker, bulk_docker, bulk: Mutex::new(None), trips, options };
        Ok((host, Connected { new_key_fingerprint }))
    }

    /// The connection for big streams, made when it is first needed and again when it broke.
    pub(super) async fn bulk(&self) -> Result<Arc<Connection>, HostError> {
        let mut bulk = self.bulk.lock().await;
        if let Some(connection) = bulk.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Arc::clone(connection));
        }
        let (connection, _) = Connection::open(&self.options, Arc::clone(&self.trips)).await?;
        Ok(Arc::clone(bulk.insert(Arc::new(connection))))
    }

    fn malformed(&self, operation: &str, reason: impl Into<String>) -> HostError {
        let (host, operation) = (self.options.node.clone(), operation.to_owned());
        HostError::Malformed { host, operation, reason: reason.into() }
    }

    pub(super) async fn gather(&self, request: &LookRequest) -> Result<Gathered, HostError> {
        let operation = "looking at the host";
        let input = snapshot::encode(request).map_err(|reason| self.malformed(operation, reason))?;
        let output = script::gather(&self.main, &self.options, input, LOOK).await?;
        let answered = output.first_output.unwrap_or_else(SystemTime::now);
        let gathered = snapshot::parse(&output.stdout, request, output.asked, answered);
        gathered.map_err(|reason| self.malformed(operation, format!("{reason}: {}", output.complaint())))
    }

    /// Everything that Docker knows, asked for at once over channels of its own; the images' own settings follow, where
    /// there are containers.
    async fn ask_docker(&self, request: &LookRequest) -> Result<DockerSight, HostError> {
        let ours = format!("/containers/json?all=1&filters={}", container::our_label_filter());
        let ask = |path| self.json(path, AFTER_LOGIN);
        let engine = join3(ask("/info"), ask("/images/json"), ask(&ours));
        let inspections = request.containers.iter().map(|name| self.inspect(name, AFTER_LOGIN));
        let ((info, images, list), inspected) = join(engine, try_join_all(inspections)).await;
        let ((info, _), (images, _), (list, listed_at)) = (info?, images?, list?);
        let mut inspected: Vec<(Value, usize)> = inspected?.into_iter().flatten().collect();
        let strangers = container::names(&list).into_iter().filter(|name| !request.containers.contains(name));
        let strangers = strangers.collect::<Vec<_>>();
        let others = try_join_all(strangers.iter().map(|name| self.inspect(name, listed_at))).await?;
        inspected.extend(others.into_iter().flatten());
        let containers = self.with_images(&inspected).await?;
        let driver = if info["CgroupDriver"] == "systemd" { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
        let version = info["ServerVersion"].as_str().unwrap_or_default().to_owned();
        let facts = DockerFacts { version, cgroup_driver: driver, running: true };
        Ok(DockerSight { facts, images: container::images(&images), containers })
    }

    /// Reads containers back; what comes from their images is told apart from what was added.
    async fn with_images(&self, inspected: &[(Value, usize)]) -> Result<Vec<ObservedContainer>, HostError> {
        let mut ids: Vec<&str> = inspected.iter().filter_map(|(value, _)| container::image_id(value)).collect();
        ids.sort_unstable();
        ids.dedup();
        let after = inspected.iter().map(|(_, place)| *place).max().unwrap_or(AFTER_LOGIN);
        let images = join_all(ids.iter().map(async |id| self.json(&format!("/images/{id}/json"), after).await)).await;
        let image = |container: &Value| {
            let index = ids.iter().position(|id| container::image_id(container) == Some(id))?;
            // An image may have been removed below its container.
            images[index].as_ref().ok().map(|(image, _)| image)
        };
        let read = |(value, _): &(Value, usize)| {
            let observed = container::observed(value, image(value));
            observed.ok_or_else(|| self.malformed("inspecting containers", "a container without id, name or image"))
        };
        inspected.iter().map(read).collect()
    }

    async fn inspect(&self, name: &str, after: usize) -> Result<Option<(Value, usize)>, HostError> {
        if !container::is_plain(name) {
            return Err(self.malformed("inspecting containers", format!("`{name}` is no name")));
        }
        let path = format!("/containers/{name}/json");
        let answer = self.docker.get(&self.main, &path, after).await?;
        if answer.status == StatusCode::NOT_FOUND { Ok(None) } else { self.value(&path, &answer).map(Some) }
    }

    /// An answer, and the place of what is asked because of it.
    async fn json(&self, path: &str, after: usize) -> Result<(Value, usize), HostError> {
        let answer = self.docker.get(&self.main, path, after).await?;
        self.value(path, &answer)
    }

    fn value(&self, path: &str, answer: &Answer) -> Result<(Value, usize), HostError> {
        let operation = format!("Docker: GET {path}");
        if answer.status != StatusCode::OK {
            let host = self.options.node.clone();
            return Err(HostError::Refused { host, operation, reason: answer.message() });
        }
        let value = answer.json().ok_or_else(|| self.malformed(&operation, "no JSON"))?;
        Ok((value, answer.place))
    }

    async fn container_log(&self, name: &str, lines: usize) -> Result<Vec<String>, HostError> {
        let path = format!("/containers/{name}/logs?stdout=1&stderr=1&tail={lines}");
        let answer = self.docker.get(&self.main, &path, AFTER_LOGIN).await?;
        if answer.status != StatusCode::OK {
            let (host, operation) = (self.options.node.clone(), format!("reading the log of container {name}"));
            return Err(HostError::Refused { host, operation, reason: answer.message() });
        }
        Ok(container::log_lines(&answer.body))
    }

    /// Over the connection for big streams, as everything large.
    async fn copy_out(&self, path: &str, size: u64, into: &File) -> Result<Digest, HostError> {
        let operation = format!("copying {path}");
        if path.contains(['\n', '\0']) || !path.starts_with('/') {
            return Err(self.malformed(&operation, "no path"));
        }
        let connection = self.bulk().await?;
        let before = local(&self.options.node, path, into.metadata().map(|metadata| metadata.len()))?;
        let output = script::copy(&connection, &self.options, path, into, door::limit_for(size)).await?;
        if output.status != 0 {
            let host = self.options.node.clone();
            return Err(HostError::Refused { host, operation, reason: output.complaint() });
        }
        local(&self.options.node, path, outgoing::digest_from(into, before))
    }

    async fn audit_log(&self, annotation: &str, lines: usize) -> Result<Vec<String>, HostError> {
        let input = format!("audit {lines} {annotation}\n");
        self.lines("looking through the audit log", input, AUDIT).await
    }

    async fn unit_log(&self, unit: &str, lines: usize) -> Result<Vec<String>, HostError> {
        let operation = format!("reading the log of {unit}");
        if unit.contains(['\n', '\0']) || unit.starts_with('-') {
            return Err(self.malformed(&operation, "no name of a unit"));
        }
        self.lines(&operation, format!("log {lines} {unit}\n"), LOG).await
    }

    /// What the script that looks answers to a single question.
    async fn lines(&self, operation: &str, input: String, limit: Duration) -> Result<Vec<String>, HostError> {
        let output = script::gather(&self.main, &self.options, input, limit).await?;
        if output.status != 0 {
            let (host, operation) = (self.options.node.clone(), operation.to_owned());
            return Err(HostError::Refused { host, operation, reason: output.complaint() });
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

/// Of the copy of a host's file on this machine.
fn local<T>(node: &NodeName, path: &str, result: std::io::Result<T>) -> Result<T, HostError> {
    let wrong = |source| HostError::LocalFile { host: node.clone(), path: format!("the copy of {path}"), source };
    result.map_err(wrong)
}

/// Docker's part of a look.
struct DockerSight {
    facts: DockerFacts,
    images: std::collections::BTreeMap<crate::state::ImageReference, crate::base::Digest>,
    containers: Vec<ObservedContainer>,
}

/// Puts both halves together. What Docker did not answer counts only where Docker is installed.
fn combine(
    node: &NodeName,
    gathered: Gathered,
    docker: Result<DockerSight, HostError>,
) -> Result<HostSnapshot, HostError> {
    let mut snapshot = gathered.snapshot;
    let Some(package) = gathered.docker else { return Ok(snapshot) };
    match docker {
        Ok(sight) => {
            snapshot.facts.docker = Some(sight.facts);
            snapshot.docker_images = sight.images;
            snapshot.containers =
                sight.containers.into_iter().map(|container| (container.name.clone(), container)).collect();
        }
        Err(error @ (HostError::ForwardingRefused { .. } | HostError::NoRoot { .. })) => return Err(error),
        // sshd gives the same answer for a socket that it may not forward to and for one that nobody listens on.
        Err(_) if gathered.docker_listens => {
            return Err(HostError::forwarding(node, "forwarding to Docker's socket", "AllowStreamLocalForwarding"));
        }
        Err(_) => {
            let systemd = snapshot.facts.cgroup_version == 2;
            // Docker's own default, since it does not say.
            let cgroup_driver = if systemd { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
            snapshot.facts.docker = Some(DockerFacts { version: package, cgroup_driver, running: false });
        }
    }
    Ok(snapshot)
}

impl ReadHost for Ssh {
    fn node(&self) -> &NodeName {
        &self.options.node
    }

    fn look<'a>(&'a self, request: &'a LookRequest) -> BoxFuture<'a, Result<HostSnapshot, HostError>> {
        Box::pin(async move {
            let (gathered, docker) = join(self.gather(request), self.ask_docker(request)).await;
            combine(&self.options.node, gathered?, docker)
        })
    }

    fn log_tail<'a>(&'a self, source: &'a LogSource, lines: usize) -> BoxFuture<'a, Result<Vec<String>, HostError>> {
        Box::pin(async move {
            match source {
                LogSource::Container(name) => self.container_log(name, lines).await,
                LogSource::Unit(unit) => self.unit_log(unit, lines).await,
                LogSource::Audit(annotation) => self.audit_log(annotation, lines).await,
            }
        })
    }

    fn open_tcp<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<HostStream, HostError>> {
        Box::pin(self.main.open_tcp(address, port))
    }

    fn copy_file<'a>(&'a self, path: &'a str, size: u64, into: &'a File) -> BoxFuture<'a, Result<Digest, HostError>> {
        Box::pin(self.copy_out(path, size, into))
    }

    fn round_trips(&self) -> Option<RoundTripCount> {
        Some(self.trips.count())
    }
}

impl WriteHost for Ssh {
    fn change<'a>(
        &'a self,
        epoch: Epoch,
        change: &'a Change,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(door::change(self, epoch, change, progress))
    }
}

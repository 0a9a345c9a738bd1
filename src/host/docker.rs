//! The Docker Engine's API over channels of a connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::connection::Connection;
use super::round_trips::AFTER_LOGIN;
use super::{HostError, HostStream};
use crate::base::NodeName;
use crate::https::Meter;

/// The oldest version that everything here is in, which Docker 20.10 speaks, and the oldest that Docker 29 speaks.
const VERSIONS: [&str; 2] = ["v1.41", "v1.44"];
const SOCKET: &str = "/run/docker.sock";
/// `dial-stdio` needs the client program, which comes with every package of the engine.
const DIAL: &str = "exec sudo -n docker system dial-stdio";
/// Channels to a socket cost next to nothing; sessions count against sshd's `MaxSessions`.
const MOST_CHANNELS: usize = 32;
const MOST_SESSIONS: usize = 4;
/// Creating a container on a busy disk takes seconds.
const TIMEOUT: Duration = Duration::from_secs(60);
const MOST_ANSWER_BYTES: usize = 32 << 20;

type Body = UnsyncBoxBody<Bytes, HostError>;

/// What the engine answered.
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// The place in the chain of waiting requests of what is asked because of it.
    pub place: usize,
}

impl Answer {
    /// The engine's own sentence.
    pub fn message(&self) -> String {
        let json: Option<Value> = serde_json::from_slice(&self.body).ok();
        let message = json.as_ref().and_then(|json| json["message"].as_str()).map(str::to_owned);
        message.unwrap_or_else(|| format!("{} {}", self.status, String::from_utf8_lossy(&self.body).trim()))
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn asks_for_newer_client(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST && self.message().contains("is too old")
    }
}

/// A connection to the engine.
struct Channel {
    sender: SendRequest<Body>,
    meter: Option<Arc<dyn Meter>>,
}

/// The engine of one host. Connections are kept and used again.
pub(super) struct Docker {
    node: NodeName,
    sudo: bool,
    channels: Semaphore,
    idle: Mutex<Vec<Channel>>,
    version: AtomicUsize,
    heard: Heard,
}

/// When something came last of any work that is followed.
struct Heard(Mutex<Instant>);

impl Heard {
    fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits as long as something has come of anybody's work within `patience`; nothing if it has not.
    async fn within<T>(&self, patience: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match tokio::time::timeout_at((last + patience).into(), &mut work).await {
                Ok(result) => return Some(result),
                Err(_) if *self.0.lock().unwrap_or_else(PoisonError::into_inner) > last => {}
                Err(_) => return None,
            }
        }
    }
}

impl Docker {
    /// Prepares; nothing is opened before it is used. With `sudo` the engine is reached through a command.
    pub fn new(node: NodeName, sudo: bool) -> Self {
        let channels = Semaphore::new(if sudo { MOST_SESSIONS } else { MOST_CHANNELS });
        Self {
            node,
            sudo,
            channels,
            idle: Mutex::default(),
            version: AtomicUsize::new(0),
            heard: Heard(Mutex::new(Instant::now())),
        }
    }

    /// Asks for something because of answers up to a place in the chain.
    pub async fn get(&self, connection: &Connection, path: &str, after: usize) -> Result<Answer, HostError> {
        self.ask(connection, (Method::GET, path, None), after).await
    }

    /// One request with its whole body.
    pub async fn request(
        &self,
        connection: &Connection,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, HostError> {
        self.ask(connection, (method, path, body), AFTER_LOGIN).await
    }

    /// An engine that is too new for our version is asked again in its own.
    async fn ask(
        &self,
        connection: &Connection,
        (method, path, body): (Method, &str, Option<&Value>),
        mut after: usize,
    ) -> Result<Answer, HostError> {
        loop {
            let version = self.version.load(Ordering::Relaxed);
            let content = body.map(ToString::to_string).unwrap_or_default();
            let content = Full::new(Bytes::from(content)).map_err(|never| match never {}).boxed_unsync();
            let kind = if body.is_some() { "application/json" } else { "" };
            let request = self.build(&method, version, path, kind, content)?;
            let answer = self.exchange(connection, request, after, TIMEOUT).await?;
            if !answer.asks_for_newer_client() || version + 1 >= VERSIONS.len() {
                return Ok(answer);
            }
            self.version.store(version + 1, Ordering::Relaxed);
            after = answer.place;
        }
    }

    /// Sends a stream. Something else must have been asked before, so that the version is settled.
    pub async fn upload(
        &self,
        connection: &Connection,
        path: &str,
        content: BoxStream<'static, Result<Bytes, HostError>>,
        limit: Duration,
    ) -> Result<Answer, HostError> {
        let frames = futures::StreamExt::map(content, |bytes| bytes.map(Frame::data));
        let body = UnsyncBoxBody::new(StreamBody::new(frames));
        let version = self.version.load(Ordering::Relaxed);
        let request = self.build(&Method::POST, version, path, "application/x-tar", body)?;
        self.exchange(connection, request, AFTER_LOGIN, limit).await
    }

    /// Asks for work whose messages come while it is done, and gives them on. The engine does a few such works at a time and
    /// lets the others wait without a word, so it counts as silent when nothing came of any of them for `patience`. Gives
    /// the answer's status, and its body where it is a refusal.
    pub async fn follow(
        &self,
        connection: &Connection,
        (path, registry_login): (&str, Option<&HeaderValue>),
        patience: Duration,
        message: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<Answer, HostError> {
        let version = self.version.load(Ordering::Relaxed);
        let empty = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let mut request = self.build(&Method::POST, version, path, "", empty)?;
        if let Some(login) = registry_login {
            request.headers_mut().insert("x-registry-auth", login.clone());
        }
        let operation = format!("Docker: POST {}", path.split('?').next().unwrap_or(path));
        let silent = || self.broken(&operation, &format!("the engine was silent for {} s", patience.as_secs()));
        let mut channel = self.channel(connection, &operation).await?;
        self.heard.touch();
        let response = self.heard.within(patience, channel.sender.send_request(request)).await.ok_or_else(silent)?;
        let response = response.map_err(|error| self.failure(&operation, &error))?;
        let status = response.status();
        let (mut body, mut kept) = (response.into_body(), BytesMut::new());
        while let Some(frame) = self.heard.within(patience, body.frame()).await.ok_or_else(silent)? {
            self.heard.touch();
            let frame = frame.map_err(|error| self.failure(&operation, &error))?;
            kept.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            while let (true, Some(end)) = (status == StatusCode::OK, kept.iter().position(|byte| *byte == b'\n')) {
                let line = kept.split_to(end + 1);
                serde_json::from_slice(&line).iter().for_each(&mut *message);
            }
            if kept.len() > MOST_ANSWER_BYTES {
                return Err(self.broken(&operation, &"a message without end"));
            }
        }
        self.keep(channel);
        Ok(Answer { status, body: kept.freeze(), place: AFTER_LOGIN })
    }

    fn build(
        &self,
        method: &Method,
        version: usize,
        path: &str,
        kind: &str,
        body: Body,
    ) -> Result<Request<Body>, HostError> {
        let uri = format!("/{}{path}", VERSIONS[version]);
        let builder = Request::builder().method(method).uri(uri).header("host", "docker");
        let builder = if kind.is_empty() { builder } else { builder.header("content-type", kind) };
        builder.body(body).map_err(|error| HostError::Refused {
            host: self.node.clone(),
            operation: format!("Docker: {method} {path}"),
            reason: error.to_string(),
        })
    }

    async fn exchange(
        &self,
        connection: &Connection,
        request: Request<Body>,
        after: usize,
        limit: Duration,
    ) -> Result<Answer, HostError> {
        let operation = format!("Docker: {} {}", request.method(), request.uri().path());
        let work = async {
            // The semaphore lives as long as the host and is never closed.
            let _permit = self.channels.acquire().await.map_err(|error| self.broken(&operation, &error))?;
            let mut channel = self.channel(connection, &operation).await?;
            let failed = |error: &(dyn std::error::Error + 'static)| self.failure(&operation, error);
            let response = channel.sender.send_request(request).await.map_err(|error| failed(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MOST_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| failed(error.as_ref()))?.to_bytes();
            let place = channel.meter.as_ref().map_or(after, |meter| meter.answered(meter.opened().max(after)));
            self.keep(channel);
            Ok(Answer { status, body, place })
        };
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(self.broken(&operation, &format!("no answer within {} s", limit.as_secs()))))
    }

    /// A kept connection that still stands, or a new one.
    async fn channel(&self, connection: &Connection, operation: &str) -> Result<Channel, HostError> {
        loop {
            // The lock is given back before anything is awaited.
            let kept = self.idle().pop();
            let Some(mut kept) = kept else { break };
            if kept.sender.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let stream = self.stream(connection).await?;
        let meter = stream.meter();
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = shaken.map_err(|error| self.failure(operation, &error))?;
        // Its error also reaches the request that it breaks, which reports it.
        tokio::spawn(driver);
        Ok(Channel { sender, meter })
    }

    async fn stream(&self, connection: &Connection) -> Result<HostStream, HostError> {
        if self.sudo { connection.open_command(DIAL).await } else { connection.open_socket(SOCKET).await }
    }

    fn keep(&self, channel: Channel) {
        let mut idle = self.idle();
        // Of all of them: a second question over a new channel would wait for one answer more.
        let most = if self.sudo { MOST_SESSIONS } else { MOST_CHANNELS };
        if !channel.sender.is_closed() && idle.len() < most {
            idle.push(channel);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self, operation: &str, reason: &dyn std::fmt::Display) -> HostError {
        let (host, operation) = (self.node.clone(), operation.to_owned());
        HostError::Disconnected { host, operation, reason: reason.to_string() }
    }

    /// An error of ours that went through hyper comes out as it was; of others the deepest cause says most.
    fn failure(&self, operation: &str, error: &(dyn std::error::Error + 'static)) -> HostError {
        let mut deepest = error;
        while let Some(cause) = deepest.source() {
            deepest = cause;
        }
        self.broken(operation, &deepest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_silent_only_when_nothing_comes_of_any_work() {
        let heard = Heard(Mutex::new(Instant::now()));
        let (patience, tick) = (Duration::from_millis(600), Duration::from_millis(100));
        let other_work = async {
            for _ in 0..12 {
                tokio::time::sleep(tick).await;
                heard.touch();
            }
        };
        let waiting = async {
            tokio::time::sleep(tick * 10).await;
            7
        };
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            // The other work is looked at first, so that a pause of this process does not count as silence.
            let ((), seen) = futures::future::join(other_work, heard.within(patience, waiting)).await;
            assert_eq!(seen, Some(7));
            assert_eq!(heard.within(patience, std::future::pending::<()>()).await, None);
        });
    }
}

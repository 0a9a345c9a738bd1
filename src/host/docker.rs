//! The Docker Engine's API over a channel of the connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::{HostError, HostStream};
use crate::base::NodeName;

/// The oldest version that everything here is in; Docker 20.10 speaks it, Docker 29 still does not refuse 1.44.
const VERSIONS: [&str; 2] = ["v1.41", "v1.44"];
/// Creating a container on a busy disk takes seconds; loading an image has its own time.
const TIMEOUT: Duration = Duration::from_secs(60);
const MOST_ANSWER_BYTES: usize = 32 << 20;

/// A request's body, sent at once or as a stream.
pub(super) type Body = BoxBody<Bytes, HostError>;

/// What the engine answered.
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
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
}

/// A body that is there as a whole.
pub(super) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// One request on a stream of its own: the engine closes it after the answer, and nothing waits for anything else.
pub(super) async fn exchange(
    node: &NodeName,
    stream: HostStream,
    request: Request<Body>,
    limit: Option<Duration>,
) -> Result<Answer, HostError> {
    let operation = format!("Docker: {} {}", request.method(), request.uri().path());
    let work = async {
        let failed = |error: &dyn std::error::Error| deepest(node, &operation, error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), MOST_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| failed(error.as_ref()))?.to_bytes();
        Ok(Answer { status, body })
    };
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let reason = format!("no answer within {} s", limit.as_secs());
            Err(HostError::Disconnected { host: node.clone(), operation: operation.clone(), reason })
        }),
    }
}

fn deepest(node: &NodeName, operation: &str, error: &dyn std::error::Error) -> HostError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = cause.to_string();
        source = cause.source();
    }
    HostError::Disconnected { host: node.clone(), operation: operation.to_owned(), reason }
}

/// A request for the engine.
pub(super) fn request(method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
    let bytes = body.map(ToString::to_string).unwrap_or_default();
    let builder = Request::builder().method(method).uri(format!("/{}{path}", VERSIONS[0])).header("host", "docker");
    let builder = if body.is_some() { builder.header("content-type", "application/json") } else { builder };
    builder.body(whole(bytes)).expect("paths are made of names that were checked")
}

/// A request whose body is a stream of an archive.
pub(super) fn upload(path: &str, body: Body) -> Request<Body> {
    let builder = Request::builder().method(Method::POST).uri(format!("/{}{path}", VERSIONS[0]));
    let builder = builder.header("host", "docker").header("content-type", "application/x-tar");
    builder.body(body).expect("the path is constant")
}

/// Time for an ordinary request.
pub(super) const ORDINARY: Option<Duration> = Some(TIMEOUT);

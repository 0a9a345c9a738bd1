//! The half that only reads.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use super::KubeApiError;
use super::error::RefusalReason;
use super::paths::object_path_of;
use crate::base::{KubernetesVersion, NodeName};
use crate::host::ReadHost;
use crate::https::{Answer, ClientTls, Connection};
use crate::state::{ObjectKey, Resource};

/// How a list without the objects' content is asked for.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// An apiserver through one connection. Cheap to clone; has no way to change anything.
#[derive(Debug, Clone)]
pub struct ReadApi {
    host: NodeName,
    connection: Connection,
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It serves.
    Ready,
    /// It does not serve yet; the text names what it waits for.
    NotReady(String),
}

impl ReadApi {
    /// Opens a connection to the apiserver on a host's loopback: one channel, one TLS handshake.
    pub async fn connect(host: &dyn ReadHost, port: u16, tls: &ClientTls) -> Result<Self, KubeApiError> {
        let name = host.node();
        let stream = host.open_tcp("127.0.0.1", port).await;
        let stream = stream.map_err(|source| KubeApiError::Unreachable {
            host: name.clone(),
            port,
            source: Box::new(source),
        })?;
        let meter = stream.meter();
        let connection = Connection::open(stream, tls, meter).await;
        let connection = connection.map_err(|source| KubeApiError::of_https(name, "connecting", source))?;
        Ok(Self { host: name.clone(), connection })
    }

    /// The node through which it is reached.
    pub fn host(&self) -> &NodeName {
        &self.host
    }

    /// Whether the connection has ended; a new one must be made then.
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Asks `/readyz`. A refusal is an answer too: before its roles exist, an apiserver refuses everybody.
    pub async fn ready(&self) -> Result<Readiness, KubeApiError> {
        let answer = self.send(Method::GET, "/readyz?verbose", "asking for readiness", None).await?;
        if answer.status.is_success() {
            return Ok(Readiness::Ready);
        }
        let text = String::from_utf8_lossy(&answer.body);
        let failing: Vec<&str> = text.lines().filter_map(failed_check).collect();
        let reason = if failing.is_empty() {
            KubeApiError::of_answer(&self.host, "asking for readiness", &answer).to_string()
        } else {
            format!("not ready yet: {}", failing.join(", "))
        };
        Ok(Readiness::NotReady(reason))
    }

    /// The version that it reports.
    pub async fn version(&self) -> Result<KubernetesVersion, KubeApiError> {
        let operation = "asking for the version";
        let body = self.json(Method::GET, "/version", operation, None).await?;
        let text = body["gitVersion"].as_str().unwrap_or_default();
        KubernetesVersion::parse(text).map_err(|error| self.malformed(operation, error.to_string()))
    }

    /// One object; `None` if there is none, or no such kind in this version.
    pub async fn get(&self, key: &ObjectKey, resource: &Resource) -> Result<Option<Value>, KubeApiError> {
        self.found(&object_path_of(key, resource)?, &format!("reading {key}")).await
    }

    /// What is at a path; `None` if there is nothing.
    pub(super) async fn found(&self, path: &str, operation: &str) -> Result<Option<Value>, KubeApiError> {
        match self.json(Method::GET, path, operation, None).await {
            Ok(body) => Ok(Some(body)),
            Err(error) if error.refusal() == Some(RefusalReason::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Many objects at once; those that do not exist are left out.
    pub async fn get_all(
        &self,
        keys: impl IntoIterator<Item = (&ObjectKey, &Resource)>,
    ) -> Result<BTreeMap<ObjectKey, Value>, KubeApiError> {
        let read = keys.into_iter().map(|(key, resource)| async move { (key, self.get(key, resource).await) });
        let mut found = BTreeMap::new();
        for (key, answer) in join_all(read).await {
            if let Some(object) = answer? {
                found.insert(key.clone(), object);
            }
        }
        Ok(found)
    }

    /// What it counts of itself, in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// Also an apiserver that has none to give.
    pub async fn metrics(&self) -> Result<String, KubeApiError> {
        let operation = "asking for metrics";
        let text = self.text("/metrics", operation).await?;
        text.ok_or_else(|| self.malformed(operation, "it gives none".into()))
    }

    /// All Node objects.
    pub async fn nodes(&self) -> Result<Vec<Value>, KubeApiError> {
        self.list("/api/v1/nodes", "listing nodes").await
    }

    pub(super) async fn list(&self, path: &str, operation: &str) -> Result<Vec<Value>, KubeApiError> {
        let mut body = self.json(Method::GET, path, operation, None).await?;
        match body["items"].take() {
            Value::Array(items) => Ok(items),
            Value::Null => Ok(Vec::new()),
            _ => Err(self.malformed(operation, "its items are no list".into())),
        }
    }

    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        operation: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Value, KubeApiError> {
        let answer = self.require_success(method, path, operation, body).await?;
        serde_json::from_slice(&answer.body).map_err(|error| self.malformed(operation, error.to_string()))
    }

    async fn require_success(
        &self,
        method: Method,
        path: &str,
        operation: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Answer, KubeApiError> {
        let answer = self.send(method, path, operation, body).await?;
        let success = answer.status.is_success();
        if success { Ok(answer) } else { Err(KubeApiError::of_answer(&self.host, operation, &answer)) }
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        operation: &str,
        body: Option<(&'static str, &Value)>,
    ) -> Result<Answer, KubeApiError> {
        let mut request = Request::builder().method(method).uri(path).header("accept", "application/json");
        if let Some((content_type, _)) = body {
            request = request.header("content-type", content_type);
        }
        let bytes = body.map(|(_, value)| Bytes::from(value.to_string())).unwrap_or_default();
        self.ask(request.body(bytes), operation).await
    }

    /// A list of which only the metadata is sent: it may be of Secrets. `None` where there is no such list.
    pub(super) async fn metadata_list(&self, path: &str, operation: &str) -> Result<Option<Value>, KubeApiError> {
        let request = Request::builder().method(Method::GET).uri(path).header("accept", METADATA_ONLY);
        let answer = self.ask(request.body(Bytes::new()), operation).await?;
        if answer.status == StatusCode::NOT_FOUND || answer.status == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(KubeApiError::of_answer(&self.host, operation, &answer));
        }
        let list = serde_json::from_slice(&answer.body);
        list.map(Some).map_err(|error| self.malformed(operation, error.to_string()))
    }

    /// A plain text; `None` where the apiserver has none to give.
    pub(super) async fn text(&self, path: &str, operation: &str) -> Result<Option<String>, KubeApiError> {
        let answer = self.send(Method::GET, path, operation, None).await?;
        Ok(answer.status.is_success().then(|| String::from_utf8_lossy(&answer.body).into_owned()))
    }

    async fn ask(&self, request: http::Result<Request<Bytes>>, operation: &str) -> Result<Answer, KubeApiError> {
        let request = request.map_err(|error| self.malformed(operation, error.to_string()))?;
        self.connection.send(request).await.map_err(|source| KubeApiError::of_https(&self.host, operation, source))
    }

    fn malformed(&self, operation: &str, reason: String) -> KubeApiError {
        KubeApiError::Malformed { host: self.host.clone(), operation: operation.to_owned(), reason }
    }
}

/// `[-]poststarthook/rbac/bootstrap-roles failed: reason withheld` names its check.
fn failed_check(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("[-]")?;
    Some(rest.split(' ').next().unwrap_or(rest))
}

pub(super) fn core_key(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    let [api_version, kind, namespace, name] = ["v1", kind, namespace, name].map(str::to_owned);
    ObjectKey { api_version, kind, namespace, name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_checks_are_named() {
        let text = "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: x\n";
        let failing: Vec<_> = text.lines().filter_map(failed_check).collect();
        assert_eq!(failing, ["etcd", "poststarthook/rbac/bootstrap-roles"]);
    }
}

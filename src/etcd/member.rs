//! One member, asked for what it knows.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{Health, MemberList, Pair, Range, Status};
use super::{EtcdError, EtcdStatus};
use crate::base::NodeName;
use crate::host::ReadHost;
use crate::https::{Answer, ClientTls, Connection};
use crate::state::ObservedEtcdMember;

/// Keys of one piece of a range.
const AT_ONCE: u32 = 500;

/// An etcd member through one connection. Cheap to clone; has no way to change anything.
#[derive(Debug, Clone)]
pub struct EtcdMember {
    host: NodeName,
    connection: Connection,
}

impl EtcdMember {
    /// Opens a connection to the member on a host's loopback: one channel, one TLS handshake.
    pub async fn connect(host: &dyn ReadHost, port: u16, tls: &ClientTls) -> Result<Self, EtcdError> {
        let name = host.node();
        let stream = host.open_tcp("127.0.0.1", port).await;
        let unreachable = |source| EtcdError::Unreachable { host: name.clone(), port, source: Box::new(source) };
        let stream = stream.map_err(unreachable)?;
        let meter = stream.meter();
        let connection = Connection::open(stream, tls, meter).await;
        let refused = |source| EtcdError::Connection { host: name.clone(), operation: "the connection", source };
        Ok(Self { host: name.clone(), connection: connection.map_err(refused)? })
    }

    /// Whether the connection has ended; a new one must be made then.
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// All members of the cluster as this one knows them, by name; it answers without a quorum too. A member that has
    /// never started has no name yet and stands under its first peer URL.
    pub async fn members(&self) -> Result<BTreeMap<String, ObservedEtcdMember>, EtcdError> {
        let list: MemberList = self.call("the members", "/v3/cluster/member/list", &json!({})).await?;
        Ok(list.observed())
    }

    /// Version, leader, size and troubles of this member.
    pub async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        Ok(self.call::<Status>("the status", "/v3/maintenance/status", &json!({})).await?.into())
    }

    /// Whether this member serves reads that a quorum agrees to, and has no alarm.
    pub async fn health(&self) -> Result<(), EtcdError> {
        const OPERATION: &str = "the health";
        let answer = self.send(OPERATION, Method::GET, "/health", Bytes::new()).await?;
        let health: Health = match serde_json::from_slice(&answer.body) {
            Ok(health) => health,
            Err(_) => return Err(self.refused(OPERATION, &answer)),
        };
        if health.health == "true" {
            return Ok(());
        }
        let message = if health.reason.is_empty() { "it is not healthy".to_owned() } else { health.reason };
        Err(EtcdError::Refused { host: self.host.clone(), operation: OPERATION, status: answer.status, message })
    }

    /// All keys that begin with this one, and their values, as a quorum has them. Read piece by piece.
    pub async fn range(&self, prefix: &str) -> Result<Vec<Pair>, EtcdError> {
        const OPERATION: &str = "a range of keys";
        let malformed = |error: base64::DecodeError| EtcdError::Malformed {
            host: self.host.clone(),
            operation: OPERATION,
            reason: error.to_string(),
        };
        let end = STANDARD.encode(after(prefix.as_bytes()));
        let (mut pairs, mut from) = (Vec::new(), prefix.as_bytes().to_vec());
        loop {
            let body = json!({ "key": STANDARD.encode(&from), "range_end": end, "limit": AT_ONCE });
            let range: Range = self.call(OPERATION, "/v3/kv/range", &body).await?;
            let more = range.more;
            pairs.extend(range.pairs().map_err(malformed)?);
            match pairs.last() {
                // The next key there can be.
                Some((last, _)) if more => from = [last.as_slice(), b"\0"].concat(),
                _ => return Ok(pairs),
            }
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body: &Value,
    ) -> Result<T, EtcdError> {
        let answer = self.send(operation, Method::POST, path, Bytes::from(body.to_string())).await?;
        if !answer.status.is_success() {
            return Err(self.refused(operation, &answer));
        }
        let malformed = |reason| EtcdError::Malformed { host: self.host.clone(), operation, reason };
        serde_json::from_slice(&answer.body).map_err(|error| malformed(error.to_string()))
    }

    async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, EtcdError> {
        let failed = |source| EtcdError::Connection { host: self.host.clone(), operation, source };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json").body(body);
        let settings = |error: http::Error| failed(crate::https::HttpsError::Settings(error.to_string()));
        self.connection.send(request.map_err(settings)?).await.map_err(failed)
    }

    fn refused(&self, operation: &'static str, answer: &Answer) -> EtcdError {
        let message = String::from_utf8_lossy(&answer.body).trim().to_owned();
        EtcdError::Refused { host: self.host.clone(), operation, status: answer.status, message }
    }
}

/// The first key that does not begin with this one, which must not be empty.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        // Paths are text: no byte of theirs is the last there is.
        *last = last.saturating_add(1);
    }
    end
}

//! What can go wrong with the Kubernetes API.

use http::StatusCode;
use serde_json::Value;

use crate::base::NodeName;
use crate::host::HostError;
use crate::https::{Answer, HttpsError};
use crate::state::ResourceKind;

/// A failure of a request to an apiserver. Each variant names the node through which it was reached.
#[derive(Debug, thiserror::Error)]
pub enum KubeApiError {
    /// The host does not let us reach the port.
    #[error("the apiserver of {host} cannot be reached on port {port}")]
    Unreachable {
        /// Host.
        host: NodeName,
        /// Port on its loopback.
        port: u16,
        /// The host's words.
        source: Box<HostError>,
    },
    /// The apiserver and we do not trust each other.
    #[error("{operation} through {host}: the apiserver's certificate or ours was refused")]
    Tls {
        /// Host.
        host: NodeName,
        /// What was asked.
        operation: String,
        /// TLS's words.
        source: HttpsError,
    },
    /// The connection could not be made or broke before the answer.
    #[error("{operation} through {host}: no answer")]
    Transport {
        /// Host.
        host: NodeName,
        /// What was asked.
        operation: String,
        /// The transport's words.
        source: HttpsError,
    },
    /// The apiserver refused.
    #[error("{operation} through {host}: {message} ({status})")]
    Refused {
        /// Host.
        host: NodeName,
        /// What was asked, with kind and name.
        operation: String,
        /// HTTP status.
        status: StatusCode,
        /// The apiserver's word for it.
        reason: RefusalReason,
        /// The apiserver's sentence.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("{operation} through {host}: unexpected answer: {reason}")]
    Malformed {
        /// Host.
        host: NodeName,
        /// What was asked.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster knows no such kind, or not yet.
    #[error("the cluster serves no {kind}")]
    Unserved {
        /// Kind and version.
        kind: ResourceKind,
    },
    /// The object's kind is not one that the tool handles, or it lacks the namespace that its kind needs.
    #[error("{api_version} {kind} {name}: {reason}")]
    Unaddressable {
        /// `apps/v1`, …
        api_version: String,
        /// Kind.
        kind: String,
        /// Name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Why the apiserver refused, by its own `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// There is no such object, or no such kind in this version.
    NotFound,
    /// Who we are is not known to it.
    Unauthorized,
    /// Who we are may not do this; also an admission's refusal.
    Forbidden,
    /// The object has changed or is there already.
    Conflict,
    /// The object does not pass validation.
    Invalid,
    /// It cannot answer now: starting, overloaded, or its etcd is gone.
    Unavailable,
    /// Anything else.
    Other,
}

impl KubeApiError {
    /// Why the apiserver refused; `None` where it was not the apiserver.
    pub fn refusal(&self) -> Option<RefusalReason> {
        match self {
            Self::Refused { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::Unserved { .. })
            || self.refusal() == Some(RefusalReason::Unavailable)
            || self.is_of_new_namespace()
    }

    /// Whether a pod was refused whose namespace is so new that the controller-manager has not made its account yet.
    fn is_of_new_namespace(&self) -> bool {
        let looks =
            |message: &str| message.contains("error looking up service account") && message.contains("not found");
        matches!(self, Self::Refused { reason: RefusalReason::Forbidden, message, .. } if looks(message))
    }

    /// Whether a webhook did not answer that must pass the object.
    pub fn is_of_webhook(&self) -> bool {
        matches!(self, Self::Refused { message, .. } if self.may_pass() && message.contains("failed calling webhook"))
    }

    /// Whether another apiserver of the cluster may answer otherwise. One that has just started knows no roles yet and
    /// forbids everything.
    pub fn is_of_one_apiserver(&self) -> bool {
        let reason = self.refusal();
        self.may_pass() || matches!(reason, Some(RefusalReason::Forbidden | RefusalReason::Unauthorized))
    }

    pub(super) fn of_https(host: &NodeName, operation: &str, source: HttpsError) -> Self {
        let (host, operation) = (host.clone(), operation.to_owned());
        match source {
            HttpsError::Tls(_) | HttpsError::Settings(_) => Self::Tls { host, operation, source },
            HttpsError::Transport(_) | HttpsError::TimedOut(_) => Self::Transport { host, operation, source },
        }
    }

    /// Reads a `Status` object; a body that is none is taken as the sentence.
    pub(super) fn of_answer(host: &NodeName, operation: &str, answer: &Answer) -> Self {
        let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let plain = || String::from_utf8_lossy(&answer.body).trim().to_owned();
        Self::Refused {
            host: host.clone(),
            operation: operation.to_owned(),
            status: answer.status,
            reason: RefusalReason::of(answer.status),
            message: status["message"].as_str().map_or_else(plain, str::to_owned),
        }
    }
}

impl RefusalReason {
    /// By status: the API's conventions give each `reason` one, and proxies before it send only the status.
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            400 | 415 | 422 => Self::Invalid,
            429 | 500..=504 => Self::Unavailable,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &'static str) -> KubeApiError {
        let answer = Answer { status: StatusCode::from_u16(status).unwrap(), body: body.into() };
        KubeApiError::of_answer(&NodeName::new("h1").unwrap(), "reading Node h2", &answer)
    }

    #[test]
    fn the_apiservers_sentence_is_kept() {
        let error = refusal(404, r#"{"kind":"Status","reason":"NotFound","message":"nodes \"h2\" not found"}"#);
        assert_eq!(error.refusal(), Some(RefusalReason::NotFound));
        assert_eq!(error.to_string(), "reading Node h2 through h1: nodes \"h2\" not found (404 Not Found)");
    }

    #[test]
    fn an_apiserver_that_is_not_ready_is_told_from_one_that_says_no() {
        assert!(refusal(503, "").may_pass() && refusal(503, "").is_of_one_apiserver());
        assert!(refusal(429, "").may_pass());
        assert!(!refusal(403, "").may_pass() && refusal(403, "").is_of_one_apiserver());
        let account = r#"{"message":"pods \"a\" is forbidden: error looking up service account b/default: serviceaccount \"default\" not found"}"#;
        assert!(refusal(403, account).may_pass());
        assert!(!refusal(422, "").may_pass() && !refusal(422, "").is_of_one_apiserver());
    }

    #[test]
    fn a_plain_body_is_the_sentence() {
        let error = refusal(503, "apiserver not ready\n");
        assert_eq!(error.refusal(), Some(RefusalReason::Unavailable));
        assert!(error.to_string().contains("apiserver not ready (503"), "{error}");
    }
}

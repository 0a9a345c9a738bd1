//! What can go wrong with etcd.

use http::StatusCode;

use crate::base::NodeName;
use crate::host::HostError;
use crate::https::HttpsError;

/// A failure of a request to an etcd member. Each variant names the node on which it runs.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// The host does not let us reach the port.
    #[error("etcd on {host} cannot be reached on port {port}")]
    Unreachable {
        /// Host.
        host: NodeName,
        /// Port on its loopback.
        port: u16,
        /// The host's words.
        source: Box<HostError>,
    },
    /// No connection, or none that both sides trust, or it broke before the answer.
    #[error("{operation} of etcd on {host}")]
    Connection {
        /// Host.
        host: NodeName,
        /// What was asked for, such as `the members`.
        operation: &'static str,
        /// The transport's words.
        source: HttpsError,
    },
    /// etcd answered that it cannot.
    #[error("{operation} of etcd on {host}: {message} ({status})")]
    Refused {
        /// Host.
        host: NodeName,
        /// What was asked for.
        operation: &'static str,
        /// HTTP status.
        status: StatusCode,
        /// etcd's words.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("{operation} of etcd on {host}: unexpected answer: {reason}")]
    Malformed {
        /// Host.
        host: NodeName,
        /// What was asked for.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

//! What can go wrong with a host.

use crate::base::{Epoch, NodeName};

/// A failure on or on the way to a host. Each variant names the host and the operation.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No TCP connection or no SSH banner in time.
    #[error("{host}: {address} cannot be reached: {reason}")]
    Unreachable {
        /// Host.
        host: NodeName,
        /// `address:port`.
        address: String,
        /// What the network said.
        reason: String,
    },
    /// The host shows another key than the recorded one.
    #[error(
        "{host}: the SSH host key of {address} has changed: {known_hosts}:{line} has another one than {fingerprint}"
    )]
    HostKeyChanged {
        /// Host.
        host: NodeName,
        /// `address:port`.
        address: String,
        /// File with the recorded key.
        known_hosts: String,
        /// Line of the recorded key.
        line: usize,
        /// SHA-256 fingerprint of the key shown now.
        fingerprint: String,
    },
    /// The host's key is unknown and strict checking was asked for.
    #[error("{host}: the SSH host key of {address} is not in {known_hosts} ({fingerprint})")]
    HostKeyUnknown {
        /// Host.
        host: NodeName,
        /// `address:port`.
        address: String,
        /// File without the key.
        known_hosts: String,
        /// SHA-256 fingerprint of the key shown.
        fingerprint: String,
    },
    /// The file of known keys cannot be read, understood or extended: no host can be trusted then.
    #[error("{host}: known host keys in {path}: {source}")]
    KnownHosts {
        /// Host.
        host: NodeName,
        /// File.
        path: String,
        /// The system's words, or what cannot be understood.
        source: std::io::Error,
    },
    /// No key was accepted.
    #[error("{host}: sshd refused user {user}: {reason}")]
    AuthenticationRefused {
        /// Host.
        host: NodeName,
        /// User.
        user: String,
        /// What was tried.
        reason: String,
    },
    /// The user is not root and sudo asks for a password or is missing.
    #[error(
        "{host}: user {user} may not run commands as root without a password: {reason} (line for sudoers: `{user} ALL=(ALL) NOPASSWD: ALL`)"
    )]
    NoRoot {
        /// Host.
        host: NodeName,
        /// User.
        user: String,
        /// sudo's words.
        reason: String,
    },
    /// sshd refuses forwarding.
    #[error("{host}: sshd refuses {what}")]
    ForwardingRefused {
        /// Host.
        host: NodeName,
        /// What was refused, with the sshd setting that forbids it.
        what: String,
    },
    /// The connection broke.
    #[error("{host}: the connection broke while {operation}: {reason}")]
    Disconnected {
        /// Host.
        host: NodeName,
        /// What was being done.
        operation: String,
        /// russh's words.
        reason: String,
    },
    /// A command or a request on the host ended with a failure.
    #[error("{host}: {operation}: {reason}")]
    Refused {
        /// Host.
        host: NodeName,
        /// What was being done, with the path or name.
        operation: String,
        /// The host's words, last lines first cut.
        reason: String,
    },
    /// A new component did not prove itself; the old one is back and has.
    #[error("{host}: {operation}: the old one is back, since the new one failed: {reason}{log}", log = last_lines(.log))]
    Reverted {
        /// Host.
        host: NodeName,
        /// What was being done.
        operation: String,
        /// Why the new one was not taken.
        reason: String,
        /// The last lines of the new one, oldest first.
        log: Vec<String>,
    },
    /// A new component did not prove itself, and the old one does not either now.
    #[error("{host}: {operation}: neither the new one nor the old one works: {reason}{log}", log = last_lines(.log))]
    NeitherWorks {
        /// Host.
        host: NodeName,
        /// What was being done.
        operation: String,
        /// Why the new one was not taken, and what is wrong with the old one.
        reason: String,
        /// The last lines of the new one, oldest first.
        log: Vec<String>,
    },
    /// The host answered something that cannot be understood.
    #[error("{host}: {operation}: unexpected answer: {reason}")]
    Malformed {
        /// Host.
        host: NodeName,
        /// What was being done.
        operation: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A change came with an epoch that is not in force.
    #[error("{host}: refused a change of epoch {given:?}: another run has taken over")]
    Fenced {
        /// Host.
        host: NodeName,
        /// The change's epoch.
        given: Epoch,
    },
    /// A file on this machine could not be read.
    #[error("{host}: {path} could not be read for sending: {source}")]
    LocalFile {
        /// Host that it was meant for.
        host: NodeName,
        /// File.
        path: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// What would be sent is not what was promised; the host has dropped it.
    #[error("{host}: {path} is not what it must be: {reason}")]
    LocalContent {
        /// Host that it was meant for.
        host: NodeName,
        /// File, or `memory`.
        path: String,
        /// Size or digest that differs.
        reason: String,
    },
}

fn last_lines(log: &[String]) -> String {
    log.last().map(|line| format!(" (its last line: {line})")).unwrap_or_default()
}

impl HostError {
    /// sshd's configuration forbids what is needed.
    pub(super) fn forwarding(host: &NodeName, operation: &str, setting: &str) -> Self {
        let what = format!("{operation}: set `{setting} yes` in /etc/ssh/sshd_config and reload ssh");
        Self::ForwardingRefused { host: host.clone(), what }
    }

    /// Which host.
    pub fn host(&self) -> &NodeName {
        match self {
            Self::Unreachable { host, .. }
            | Self::HostKeyChanged { host, .. }
            | Self::HostKeyUnknown { host, .. }
            | Self::AuthenticationRefused { host, .. }
            | Self::NoRoot { host, .. }
            | Self::ForwardingRefused { host, .. }
            | Self::Disconnected { host, .. }
            | Self::Refused { host, .. }
            | Self::Reverted { host, .. }
            | Self::NeitherWorks { host, .. }
            | Self::Malformed { host, .. }
            | Self::Fenced { host, .. }
            | Self::LocalFile { host, .. }
            | Self::LocalContent { host, .. }
            | Self::KnownHosts { host, .. } => host,
        }
    }
}

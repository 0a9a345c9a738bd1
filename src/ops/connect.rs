//! Connections to all hosts at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::base::NodeName;
use crate::cluster::{Cluster, Node};
use crate::event::{Event, EventSink};
use crate::host::{SharedHost, Ssh, SshOptions};

/// How to connect.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// File of known host keys.
    pub known_hosts: PathBuf,
    /// Refuse unknown keys.
    pub strict: bool,
    /// Time for TCP, handshake and login together.
    pub timeout: Duration,
    /// Socket of the SSH agent, if there is one.
    pub agent_socket: Option<PathBuf>,
}

/// Each host: connected, or why not.
pub type Connections = BTreeMap<NodeName, Result<SharedHost, String>>;

/// Connects to all hosts at once; a failure of one does not hinder the others.
pub async fn connect(cluster: &Cluster, options: &ConnectOptions, events: &dyn EventSink) -> Connections {
    let count = cluster.nodes.len();
    events.emit(Event::Phase { text: format!("connecting to {count} host{}", if count == 1 { "" } else { "s" }) });
    let attempts = cluster.nodes.iter().map(|node| async move {
        let result = Ssh::connect(ssh_options(node, options)).await;
        let result = result.map(|(host, connected)| {
            if let Some(fingerprint) = connected.new_key_fingerprint {
                events.emit(Event::HostKeyRecorded { host: node.name.clone(), fingerprint });
            }
            let shared: SharedHost = Arc::new(host);
            shared
        });
        (node.name.clone(), result.map_err(|error| error.to_string()))
    });
    join_all(attempts).await.into_iter().collect()
}

fn ssh_options(node: &Node, options: &ConnectOptions) -> SshOptions {
    SshOptions {
        node: node.name.clone(),
        address: node.address.clone(),
        port: node.ssh.port,
        user: node.ssh.user.clone(),
        key_path: node.ssh.key_path.clone(),
        agent: options.agent_socket.clone().filter(|_| node.ssh.agent),
        known_hosts: options.known_hosts.clone(),
        strict: options.strict,
        connect_timeout: options.timeout,
        keepalive: Duration::from_secs(15),
    }
}

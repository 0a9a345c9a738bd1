//! How a run reaches hosts, and what runs on them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};

use crate::base::NodeName;
use crate::cluster::{Cluster, Node};
use crate::endpoints::{Credentials, EndpointError, Endpoints, TrialEndpoints, TunnelEndpoints};
use crate::event::{Event, EventSink};
use crate::host::{HostError, ReadHost, SharedHost, Ssh, SshOptions};

use super::TrialReach;

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

/// The way to the hosts: SSH for an operator, fakes for tests that stop a run at every point.
pub trait Reach: Send + Sync {
    /// Connects to all hosts at once; a failure of one does not hinder the others.
    fn connect<'a>(&'a self, cluster: &'a Cluster, events: &'a dyn EventSink) -> BoxFuture<'a, Connections>;

    /// Prepares to talk to etcd and the API through these hosts; nothing is connected before it is used.
    fn endpoints(
        &self,
        cluster: &Cluster,
        hosts: &BTreeMap<NodeName, SharedHost>,
        credentials: &Credentials,
    ) -> Result<Arc<dyn Endpoints>, EndpointError>;
}

/// SSH, and tunnels through it.
#[derive(Debug, Clone)]
pub struct SshReach(pub ConnectOptions);

impl Reach for SshReach {
    fn connect<'a>(&'a self, cluster: &'a Cluster, events: &'a dyn EventSink) -> BoxFuture<'a, Connections> {
        Box::pin(async move {
            let attempts = cluster.nodes.iter().map(|node| async move {
                let result = log_in(node, &self.0, events).await;
                (node.name.clone(), result.map_err(|error| error.to_string()))
            });
            join_all(attempts).await.into_iter().collect()
        })
    }

    fn endpoints(
        &self,
        cluster: &Cluster,
        hosts: &BTreeMap<NodeName, SharedHost>,
        credentials: &Credentials,
    ) -> Result<Arc<dyn Endpoints>, EndpointError> {
        Ok(Arc::new(tunnels(cluster, hosts, credentials)?))
    }
}

impl TrialReach for SshReach {
    fn trials(
        &self,
        cluster: &Cluster,
        hosts: &BTreeMap<NodeName, SharedHost>,
        credentials: &Credentials,
    ) -> Result<Arc<dyn TrialEndpoints>, EndpointError> {
        Ok(Arc::new(tunnels(cluster, hosts, credentials)?))
    }
}

fn tunnels(
    cluster: &Cluster,
    hosts: &BTreeMap<NodeName, SharedHost>,
    credentials: &Credentials,
) -> Result<TunnelEndpoints, EndpointError> {
    let hosts = hosts.iter().map(|(name, host)| (name.clone(), Arc::clone(host) as Arc<dyn ReadHost>)).collect();
    TunnelEndpoints::new(cluster, hosts, credentials)
}

async fn log_in(node: &Node, options: &ConnectOptions, events: &dyn EventSink) -> Result<SharedHost, HostError> {
    let (host, connected) = Ssh::connect(ssh_options(node, options)).await?;
    if let Some(fingerprint) = connected.new_key_fingerprint {
        events.emit(Event::HostKeyRecorded { host: node.name.clone(), fingerprint });
    }
    Ok(Arc::new(host))
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

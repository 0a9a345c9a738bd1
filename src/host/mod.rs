//! Hosts: looking at them, changing them through one door, and talking to what listens on them.

mod change;
mod connection;
mod container;
mod cri;
mod docker;
mod door;
mod error;
mod etcd_snapshot;
mod fake;
mod known_hosts;
mod login;
mod outgoing;
mod pull;
mod request;
mod round_trips;
mod script;
mod sections;
mod snapshot;
mod ssh;
mod swap;

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::base::{Digest, Epoch, NodeName};
use crate::https::Meter;
use crate::state::HostSnapshot;

pub use change::{Change, Payload, Pull, RegistryLogin, Transfer};
pub use connection::SshOptions;
pub use error::HostError;
pub use etcd_snapshot::{PreparedRestore, SnapshotCheck, SnapshotRestore, SnapshotSave};
pub use fake::{Dead, FakeHost, FakeProcess, Moment};
pub use round_trips::RoundTripCount;
pub use ssh::{Connected, Ssh};
pub use swap::{ClientFiles, Probe, Proof, Replacement, Swap};

/// A byte stream through a host: a channel of the SSH connection.
pub type HostStream = Pin<Box<dyn ByteStream>>;

/// What a stream through a host can do.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Sync {
    /// Where round trips over this stream are counted, if anywhere.
    fn meter(&self) -> Option<Arc<dyn Meter>>;
}

/// What a look at a host must find out.
#[derive(Debug, Clone, Default)]
pub struct LookRequest {
    /// Folders whose entries are listed and digested, all below them included.
    pub folders: Vec<String>,
    /// Single paths, listed and digested where they exist.
    pub paths: Vec<String>,
    /// Files whose text is wanted (merged files: no secrets).
    pub texts: Vec<String>,
    /// Packages of interest.
    pub packages: Vec<String>,
    /// Modules of interest.
    pub modules: Vec<String>,
    /// Sysctls of interest.
    pub sysctls: Vec<String>,
    /// systemd units of interest.
    pub units: Vec<String>,
    /// Containers of interest, by name; others are only listed where they carry our label.
    pub containers: Vec<String>,
    /// uid that the tool wants for etcd.
    pub etcd_uid: u32,
}

/// Where last lines can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// A container of the Docker Engine.
    Container(String),
    /// A systemd unit.
    Unit(String),
    /// Events of the apiserver's audit log that carry this annotation, those of one hour that differ in nothing but their
    /// objects counted together: lines `<count> <json>` with `hour`, `user`, `agent`, `resource`, `group` and `version`, in
    /// no particular order, and `cut` where that is not all. Files that were written within a little more than a day are
    /// looked through, at the lowest priority.
    Audit(&'static str),
}

/// The half of a host that cannot change it.
pub trait ReadHost: Send + Sync {
    /// Which node this is.
    fn node(&self) -> &NodeName;

    /// Looks at everything in one round: the chain of requests that wait for each other is at most three long.
    fn look<'a>(&'a self, request: &'a LookRequest) -> BoxFuture<'a, Result<HostSnapshot, HostError>>;

    /// The last lines of a log, oldest first.
    fn log_tail<'a>(&'a self, source: &'a LogSource, lines: usize) -> BoxFuture<'a, Result<Vec<String>, HostError>>;

    /// Opens a connection from the host to an address and port (loopback or another node).
    fn open_tcp<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<HostStream, HostError>>;

    /// Copies a file of the host, of about as many bytes as given, behind what is in an open file of this machine. Gives
    /// the SHA-256 of what came.
    fn copy_file<'a>(&'a self, path: &'a str, size: u64, into: &'a File) -> BoxFuture<'a, Result<Digest, HostError>>;

    /// Round trips to this host so far, where somebody counts them; for figures only.
    fn round_trips(&self) -> Option<RoundTripCount> {
        None
    }
}

/// The half that changes a host: one method, the door.
pub trait WriteHost: ReadHost {
    /// Makes one change. Repeating a change that was made already does no harm. `progress` is told bytes sent so far.
    fn change<'a>(
        &'a self,
        epoch: Epoch,
        change: &'a Change,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), HostError>>;
}

/// A host that a run may write to.
pub type SharedHost = Arc<dyn WriteHost>;

//! Containers of the Docker Engine.

use serde::{Deserialize, Serialize};

use super::ImageIdentity;
use crate::base::Digest;

/// A Linux capability without its `CAP_` prefix.
pub type Capability = String;

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// Path on the host; by rule the same as inside, so one field serves both.
    pub path: String,
    /// Whether the container may write there.
    pub writable: bool,
}

/// All that decides how a system container runs. Host network, restart policy `always` and `no-new-privileges` are
/// the same for all and therefore no fields; `host/` sets them and reports a container without them as different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container's name, which is its component's.
    pub name: String,
    /// The image that runs, by content.
    pub image: ImageIdentity,
    /// The program inside the image.
    pub entrypoint: Vec<String>,
    /// Its arguments, in order.
    pub arguments: Vec<String>,
    /// Arguments that matter only at the first start (etcd's `--initial-…`): given at creation, no part of the digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_start_arguments: Vec<String>,
    /// `uid:gid`.
    pub user: String,
    /// Bind mounts, sorted by path.
    pub mounts: Vec<Mount>,
    /// All privileges (kube-proxy only).
    pub privileged: bool,
    /// Capabilities kept after all were dropped, sorted.
    pub capabilities: Vec<Capability>,
    /// Whether the root file system is read-only.
    pub read_only_root: bool,
    /// Memory file systems, by path, sorted.
    pub tmpfs: Vec<String>,
    /// The kernel's preference at memory shortage, -1000 (never) to 1000.
    pub oom_score_adj: i64,
    /// Parent cgroup as Docker's driver wants it (`provision.slice` or `/provision.slice`).
    pub cgroup_parent: String,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout_seconds: i64,
}

impl ContainerSpec {
    /// Digest over everything but the first-start arguments: equal digests run alike.
    pub fn digest(&self) -> Digest {
        let mut lasting = self.clone();
        lasting.first_start_arguments.clear();
        Digest::of(serde_json::to_vec(&lasting).expect("a container spec has only string keys"))
    }
}

/// A container as Docker reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedContainer {
    /// Docker's id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// The spec read back from Docker's values, not from our label. First-start arguments stay in `arguments`;
    /// whoever compares takes them off.
    pub spec: ContainerSpec,
    /// What Docker says that no spec can express (network mode, restart policy, …), one text each; empty when as wanted.
    pub irregularities: Vec<String>,
    /// Docker's word: created, running, exited, …
    pub status: String,
    /// Whether it runs now.
    pub running: bool,
    /// Exit code of the last end.
    pub exit_code: Option<i64>,
    /// RFC 3339 time of the last start.
    pub started_at: Option<String>,
    /// Value of our digest label, if there is one.
    pub label: Option<String>,
}

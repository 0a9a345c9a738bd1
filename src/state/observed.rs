//! What a look at the hosts and at the API has shown.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ImageReference, ObjectKey, ObservedContainer, ObservedEntry, Resident, Resource, ResourceKind};
use crate::base::{Digest, NodeName};

/// Everything that a run knows about the world before it plans.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Each host of `cluster.yml`, reached or not.
    pub hosts: BTreeMap<NodeName, ObservedHost>,
    /// The Kubernetes API, through the first host that answers.
    pub api: ObservedApi,
    /// etcd's members by name, as etcd itself lists them; empty where etcd does not answer.
    pub etcd_members: BTreeMap<String, ObservedEtcdMember>,
}

/// One host.
#[derive(Debug, Clone)]
pub enum ObservedHost {
    /// Could not be looked at, and why.
    Unreachable(String),
    /// What was seen.
    Reached(Box<HostSnapshot>),
}

/// A host as one look shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSnapshot {
    /// What the host is.
    pub facts: HostFacts,
    /// Every entry below the folders and at the paths that the tool owns.
    pub entries: BTreeMap<String, ObservedEntry>,
    /// Content of the files that are not ours alone (`daemon.json`, `config.toml`), by path; absent where there is none.
    pub merged_files: BTreeMap<String, String>,
    /// System containers by name, ours or not.
    pub containers: BTreeMap<String, ObservedContainer>,
    /// Docker's images: name to id.
    pub docker_images: BTreeMap<ImageReference, Digest>,
    /// containerd's images in namespace `k8s.io`: name to target digest.
    pub containerd_images: BTreeMap<ImageReference, Digest>,
    /// systemd units that the tool knows, by name.
    pub units: BTreeMap<String, ObservedUnit>,
    /// The sysctls that the tool sets, by name.
    pub sysctls: BTreeMap<String, String>,
    /// Kernel modules loaded or built in, of those that the tool wants.
    pub modules: Vec<String>,
    /// Installed packages of those that the tool wants: name to version.
    pub packages: BTreeMap<String, String>,
    /// Listening TCP and UDP sockets on ports of interest.
    pub listeners: Vec<Listener>,
    /// Replacements of components that are under way or have left something to tell, by component.
    pub swaps: BTreeMap<String, ObservedSwap>,
}

impl HostSnapshot {
    /// Whether kubelet runs, as far as systemd tells: one that ends again and again does so now and then.
    pub fn has_active_kubelet(&self) -> bool {
        self.units.get("kubelet.service").is_some_and(|unit| unit.active == "active")
    }

    /// Whether a replacement of the component was begun and has not ended: what is seen of it may be of either.
    pub fn is_replaced_now(&self, component: &str) -> bool {
        self.swaps.get(component).is_some_and(|swap| !matches!(swap, ObservedSwap::Reverted(_)))
    }
}

/// How far the replacement of a component has come that did not simply succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObservedSwap {
    /// The host is at it.
    Running,
    /// It was interrupted: either component may run, and the next swap or the next boot ends it.
    Interrupted,
    /// The old one is back, for this reason.
    Reverted(String),
    /// Neither the new one nor the old one works, for this reason.
    NeitherWorks(String),
    /// The new one works, but what belongs to it could not be put in its place, for this reason.
    Unfinished(String),
}

/// What a host is: facts that the desired state depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The host's own name.
    pub hostname: String,
    /// `/etc/os-release`.
    pub operating_system: OperatingSystem,
    /// `x86_64`, `aarch64`, …
    pub architecture: String,
    /// Kernel release.
    pub kernel: String,
    /// cgroup version, 1 or 2.
    pub cgroup_version: u8,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// CPU cores; 0 where the host does not tell.
    pub cores: u32,
    /// Whether swap is in use.
    pub swap: bool,
    /// Free and total bytes by path (`/`, `/var/lib/docker`, `/var/lib/containerd`, `/var/lib/etcd`).
    pub disks: BTreeMap<String, (u64, u64)>,
    /// Seconds by which the host's clock is ahead of ours, corrected by half the round trip.
    pub clock_offset_seconds: i64,
    /// Name servers of `/etc/resolv.conf`.
    pub resolvers: Vec<String>,
    /// Name servers of systemd-resolved's upstream file, where it runs.
    pub upstream_resolvers: Vec<String>,
    /// Whether there is a default route (IPv4).
    pub default_route: bool,
    /// The host's IPv4 addresses, each with its interface; empty where the host does not tell.
    pub addresses: BTreeMap<Ipv4Addr, String>,
    /// MTU of each interface.
    pub links: BTreeMap<String, u32>,
    /// IPv4 networks that the host has a way to besides the default route, each with its interface.
    pub routes: BTreeMap<Ipv4Net, String>,
    /// Docker, where it is installed.
    pub docker: Option<DockerFacts>,
    /// containerd's version, where it is installed.
    pub containerd_version: Option<String>,
    /// uid and gid of user `etcd`, and the name that holds the uid that we want, where there is one.
    pub etcd_user: Option<(u32, u32)>,
    /// Name of the account that holds the uid which the tool wants for etcd.
    pub etcd_uid_holder: Option<String>,
}

/// An operating system, from `/etc/os-release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatingSystem {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12`.
    pub version: String,
    /// `PRETTY_NAME`.
    pub name: String,
}

/// The Docker Engine of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerFacts {
    /// Engine version.
    pub version: String,
    /// Docker's cgroup driver, which containerd and kubelet follow.
    pub cgroup_driver: CgroupDriver,
    /// Whether the engine answers.
    pub running: bool,
}

/// How cgroups are managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// By the runtime itself.
    Cgroupfs,
    /// Through systemd.
    Systemd,
}

/// A systemd unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedUnit {
    /// Whether it starts at boot.
    pub enabled: bool,
    /// systemd's `ActiveState`.
    pub active: String,
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Port number.
    pub port: u16,
    /// Name and process id of who listens, as far as the host tells.
    pub process: String,
}

/// The Kubernetes API.
#[derive(Debug, Clone)]
pub enum ObservedApi {
    /// No apiserver answered, and why the last one did not.
    Unreachable(String),
    /// It answers: the live objects among those that were asked for (absent ones are missing), nodes included.
    Reached {
        /// Live objects by key.
        objects: BTreeMap<ObjectKey, Value>,
        /// Those kinds of the operator's add-ons that it serves.
        served: BTreeMap<ResourceKind, Resource>,
        /// What lies in the namespaces and definitions that are kept no longer.
        residents: BTreeMap<ObjectKey, Vec<Resident>>,
    },
}

impl Default for ObservedApi {
    fn default() -> Self {
        Self::Unreachable("not asked".into())
    }
}

/// A member as etcd lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEtcdMember {
    /// etcd's id, hexadecimal.
    pub id: String,
    /// Peer URLs.
    pub peer_urls: Vec<String>,
    /// False for a member that was added and has never started.
    pub started: bool,
    /// Whether it leads, as far as the member knows that was asked.
    pub leads: bool,
}

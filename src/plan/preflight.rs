//! What makes a run impossible on a host, found before anything is changed.

use std::fmt;

use crate::base::NodeName;
use crate::cluster::{Cluster, Node};
use crate::desired::DesiredHost;
use crate::state::{FileSpec, HostSnapshot, Observed, ObservedEntry, ObservedHost};

use super::{Input, preflight_network};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The run may go on.
    Warning,
    /// The run stops.
    Error,
}

/// Something wrong with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreflightFinding {
    /// Which host.
    pub host: NodeName,
    /// Stable name, for machines and the documentation.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for PreflightFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        writeln!(formatter, "{severity}[{}] {}: {}", self.code, self.host, self.message)?;
        write!(formatter, "  help: {}", self.hint)
    }
}

/// What the release says about hosts, and the operator's word on it.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Major versions of Docker that this Kubernetes minor is known to work with.
    pub docker_versions: Vec<u64>,
}

/// Bytes that must be free below each folder that the cluster fills: images, volumes, etcd.
const LEAST_FREE_BYTES: u64 = 2 << 30;
/// Certificates and leases break beyond half a minute; a second is worth a word.
const CLOCK_ERROR_SECONDS: i64 = 30;
const CLOCK_WARNING_SECONDS: i64 = 2;

/// Checks all hosts at once and returns everything that was found, hosts in the order of the file.
pub fn preflight(cluster: &Cluster, observed: &Observed, limits: &Limits) -> Vec<PreflightFinding> {
    let mut findings = Vec::new();
    for node in &cluster.nodes {
        match observed.hosts.get(&node.name) {
            None => {}
            Some(ObservedHost::Unreachable(reason)) => findings.push(unreachable(node, reason)),
            Some(ObservedHost::Reached(snapshot)) => {
                let mut check = Check { cluster, node, snapshot, limits, findings: &mut findings };
                check.all();
                findings.extend(preflight_network::of_host(cluster, node, snapshot));
            }
        }
    }
    findings.extend(preflight_network::among_hosts(cluster, observed));
    findings
}

fn unreachable(node: &Node, reason: &str) -> PreflightFinding {
    PreflightFinding {
        host: node.name.clone(),
        code: "unreachable",
        severity: Severity::Error,
        message: reason.to_owned(),
        hint: format!("try: ssh -p {} {}@{}", node.ssh.port, node.ssh.user, node.address),
    }
}

struct Check<'a> {
    cluster: &'a Cluster,
    node: &'a Node,
    snapshot: &'a HostSnapshot,
    limits: &'a Limits,
    findings: &'a mut Vec<PreflightFinding>,
}

impl Check<'_> {
    fn all(&mut self) {
        self.operating_system();
        self.docker();
        self.ports();
        self.disks();
        self.clock();
        self.resolvers();
        self.swap();
        self.etcd_account();
    }

    fn find(&mut self, code: &'static str, severity: Severity, message: String, hint: &str) {
        let host = self.node.name.clone();
        self.findings.push(PreflightFinding { host, code, severity, message, hint: hint.to_owned() });
    }

    fn operating_system(&mut self) {
        let system = &self.snapshot.facts.operating_system;
        let major: u64 = system.version.split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        if system.id != "debian" || major < 12 {
            let message = format!("{} is not supported yet", system.name);
            self.find("operating-system", Severity::Error, message, "use Debian 12 or newer");
        }
        if self.snapshot.facts.architecture != "x86_64" {
            let message = format!("architecture {} is not supported yet", self.snapshot.facts.architecture);
            self.find("architecture", Severity::Error, message, "use x86_64 hosts");
        }
    }

    fn docker(&mut self) {
        let Some(docker) = &self.snapshot.facts.docker else { return };
        if !docker.running {
            let message = format!("Docker {} is installed and does not answer", docker.version);
            self.find("docker-stopped", Severity::Error, message, "look at: journalctl -u docker -n 50");
            return;
        }
        let major = docker.version.split('.').next().and_then(|text| text.parse::<u64>().ok());
        let known = major.is_some_and(|major| self.limits.docker_versions.contains(&major));
        if known || self.limits.docker_versions.is_empty() {
            return;
        }
        let versions: Vec<String> = self.limits.docker_versions.iter().map(u64::to_string).collect();
        let message = format!(
            "Docker {} is not among the versions known to work with {}: {}",
            docker.version,
            self.cluster.version,
            versions.join(", ")
        );
        let severity = if self.cluster.ignore_docker_version { Severity::Warning } else { Severity::Error };
        self.find("docker-version", severity, message, "install one of them, or set ignore_docker_version: true");
    }

    /// A port is free, or held by the component of ours that it belongs to.
    fn ports(&mut self) {
        let roles = self.node.roles;
        let needed = PORTS.iter().filter(|port| match port.role {
            PortRole::ControlPlane => roles.control_plane,
            PortRole::Etcd => roles.etcd,
            PortRole::All => true,
        });
        for port in needed {
            let holder = self.snapshot.listeners.iter().find(|seen| seen.port == port.number && seen.protocol == "tcp");
            let Some(holder) = holder.filter(|_| !self.holds(port.component)) else { continue };
            let message = format!("port {} ({}) is in use by {}", port.number, port.component, holder.process);
            self.find(
                "port-in-use",
                Severity::Error,
                message,
                "stop that process, or take the host out of cluster.yml",
            );
        }
    }

    fn holds(&self, component: &str) -> bool {
        // Either of both may have it.
        if self.snapshot.is_replaced_now(component) {
            return true;
        }
        if component == "kubelet" {
            return self.snapshot.has_active_kubelet();
        }
        self.snapshot.containers.get(component).is_some_and(|container| container.running)
    }

    fn disks(&mut self) {
        let short: Vec<String> = self
            .snapshot
            .facts
            .disks
            .iter()
            .filter(|(_, (free, _))| *free < LEAST_FREE_BYTES)
            .map(|(path, (free, _))| format!("{path} has {} MiB free", free >> 20))
            .collect();
        if !short.is_empty() {
            let message = format!("too little disk: {}; {} MiB are needed", short.join(", "), LEAST_FREE_BYTES >> 20);
            self.find("disk", Severity::Error, message, "free some space or give the host a larger disk");
        }
    }

    fn clock(&mut self) {
        let offset = self.snapshot.facts.clock_offset_seconds;
        if offset.abs() <= CLOCK_WARNING_SECONDS {
            return;
        }
        let severity = if offset.abs() > CLOCK_ERROR_SECONDS { Severity::Error } else { Severity::Warning };
        let direction = if offset > 0 { "ahead of" } else { "behind" };
        let message = format!("the clock is {} s {direction} this machine's", offset.abs());
        self.find("clock", severity, message, "let both synchronise their time: timedatectl set-ntp true");
    }

    /// CoreDNS forwards to the node's resolvers: a loopback one would be CoreDNS itself.
    fn resolvers(&mut self) {
        let facts = &self.snapshot.facts;
        let loopback = |address: &String| address.starts_with("127.") || address == "::1";
        let own_file = self.cluster.kubelet_config.contains_key("resolvConf");
        if own_file || !facts.resolvers.iter().any(loopback) || !facts.upstream_resolvers.is_empty() {
            return;
        }
        let message = format!("/etc/resolv.conf points to this host itself ({})", facts.resolvers.join(", "));
        let hint =
            "write the upstream name servers to a file on the host and name it in services.kubelet.config.resolvConf";
        self.find("resolv-conf", Severity::Error, message, hint);
    }

    fn swap(&mut self) {
        if self.snapshot.facts.swap && self.cluster.fail_swap_on {
            let hint = "run `swapoff -a` and take it out of /etc/fstab, or set services.kubelet.fail_swap_on: false";
            self.find("swap", Severity::Error, "swap is in use, and kubelet would refuse to start".into(), hint);
        }
    }

    fn etcd_account(&mut self) {
        if !self.node.roles.etcd {
            return;
        }
        let (uid, gid) = self.cluster.etcd_user;
        let holder = self.snapshot.facts.etcd_uid_holder.as_deref().filter(|holder| *holder != "etcd");
        if let Some(holder) = holder {
            let message = format!("uid {uid}, meant for etcd, belongs to {holder}");
            self.find("etcd-account", Severity::Error, message, "choose free numbers in services.etcd.uid and .gid");
        }
        if let Some(seen) = self.snapshot.facts.etcd_user.filter(|seen| *seen != (uid, gid)) {
            let message = format!("account etcd exists as {}:{} instead of {uid}:{gid}", seen.0, seen.1);
            self.find("etcd-account", Severity::Error, message, "write its numbers to services.etcd.uid and .gid");
        }
    }
}

enum PortRole {
    All,
    ControlPlane,
    Etcd,
}

struct Port {
    number: u16,
    component: &'static str,
    role: PortRole,
}

const fn port(number: u16, component: &'static str, role: PortRole) -> Port {
    Port { number, component, role }
}

/// Kubernetes documentation, "Ports and Protocols", and the loopback ports of the components.
const PORTS: [Port; 11] = [
    port(2379, "etcd", PortRole::Etcd),
    port(2380, "etcd", PortRole::Etcd),
    port(2381, "etcd", PortRole::Etcd),
    port(6443, "kube-apiserver", PortRole::ControlPlane),
    port(10257, "kube-controller-manager", PortRole::ControlPlane),
    port(10259, "kube-scheduler", PortRole::ControlPlane),
    port(6444, "api-proxy", PortRole::All),
    port(10250, "kubelet", PortRole::All),
    port(10248, "kubelet", PortRole::All),
    port(10249, "kube-proxy", PortRole::All),
    port(10256, "kube-proxy", PortRole::All),
];

/// Hosts that carry another cluster: files below `/etc/kubernetes` that are not ours while none of our certificates is
/// there, or etcd's data beside a foreign authority. A new authority is never made over a cluster that lives.
pub fn leftovers(input: &Input<'_>) -> Vec<PreflightFinding> {
    let mut findings = Vec::new();
    for (name, wanted) in &input.desired.hosts {
        let Some(snapshot) = input.snapshot(name) else { continue };
        let own = OwnFiles { wanted, snapshot };
        // A node of a completed generation is ours by record, even where somebody has emptied it.
        if input.history.has_node(name) || own.certificate_is_there() {
            continue;
        }
        let Some(found) = own.foreign_entry() else { continue };
        findings.push(PreflightFinding {
            host: name.clone(),
            code: "other-cluster",
            severity: Severity::Error,
            message: format!(
                "the host carries another cluster: {found} is there, and no certificate of this cluster's authority"
            ),
            hint: "if that cluster is yours, use the state folder that made it; if it is dead, empty the host first"
                .into(),
        });
    }
    findings
}

/// What of a host's files is ours.
struct OwnFiles<'a> {
    wanted: &'a DesiredHost,
    snapshot: &'a HostSnapshot,
}

impl<'a> OwnFiles<'a> {
    fn is_as_wanted(&self, file: &FileSpec) -> bool {
        let wanted = file.content.digest();
        matches!(self.snapshot.entries.get(&file.path), Some(ObservedEntry::File { digest, .. }) if *digest == wanted)
    }

    fn certificate_is_there(&self) -> bool {
        self.wanted.files.iter().any(|file| file.path.ends_with(".crt") && self.is_as_wanted(file))
    }

    /// A run that was cut off while it wrote has left files just as we want them, or under their temporary names.
    fn is_ours(&self, path: &str) -> bool {
        path.contains(".provision-new")
            || self.wanted.files.iter().any(|file| file.path == path && self.is_as_wanted(file))
    }

    fn foreign_entry(&self) -> Option<&'a str> {
        let entry = self.snapshot.entries.iter().find(|(path, entry)| match entry {
            ObservedEntry::File { .. } => path.starts_with("/etc/kubernetes/") && !self.is_ours(path),
            ObservedEntry::Directory { .. } => path.as_str() == "/var/lib/etcd/member",
            _ => false,
        });
        let container = || RKE_CONTAINERS.iter().find(|name| self.snapshot.containers.contains_key(**name)).copied();
        entry.map(|(path, _)| path.as_str()).or_else(container)
    }
}

/// Containers of an RKE node that ours do not share the name of.
const RKE_CONTAINERS: [&str; 3] = ["service-sidekick", "nginx-proxy", "etcd-rolling-snapshots"];

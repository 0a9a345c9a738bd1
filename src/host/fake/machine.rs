//! What is on a fake host.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Digest, NodeName};
use crate::host::{LogSource, LookRequest};
use crate::state::{
    CgroupDriver, DockerFacts, HostFacts, HostSnapshot, ObservedEntry, ObservedUnit, OperatingSystem, Owner,
};

/// The whole state, and what a snapshot does not hold of it.
pub(super) struct Machine {
    /// Everything that there is, not only what is asked for.
    pub state: HostSnapshot,
    /// Bytes of files, by path.
    pub contents: BTreeMap<String, Vec<u8>>,
    /// Accounts by name.
    pub accounts: BTreeMap<String, Owner>,
    /// Containers made so far: gives each its own id.
    pub containers_made: u64,
    /// Images and kubelet versions that do not work here.
    pub failing: BTreeSet<String>,
}

const GIBIBYTE: u64 = 1 << 30;

impl Machine {
    /// Debian 12 with 8 GiB of memory and an account for root.
    pub fn bare(node: &NodeName) -> Self {
        let disks = ["/", "/var/lib/docker", "/var/lib/containerd", "/var/lib/etcd"];
        let facts = HostFacts {
            hostname: node.to_string(),
            operating_system: OperatingSystem {
                id: "debian".into(),
                version: "12".into(),
                name: "Debian GNU/Linux 12 (bookworm)".into(),
            },
            architecture: "x86_64".into(),
            kernel: "6.1.0-30-amd64".into(),
            cgroup_version: 2,
            memory_bytes: 8 * GIBIBYTE,
            cores: 4,
            swap: false,
            disks: disks.map(|path| (path.to_owned(), (40 * GIBIBYTE, 50 * GIBIBYTE))).into(),
            clock_offset_seconds: 0,
            resolvers: vec!["192.0.2.53".into()],
            upstream_resolvers: Vec::new(),
            default_route: true,
            addresses: BTreeMap::new(),
            links: BTreeMap::new(),
            routes: BTreeMap::new(),
            docker: None,
            containerd_version: None,
            etcd_user: None,
            etcd_uid_holder: None,
        };
        let state = HostSnapshot {
            facts,
            entries: BTreeMap::new(),
            merged_files: BTreeMap::new(),
            containers: BTreeMap::new(),
            docker_images: BTreeMap::new(),
            containerd_images: BTreeMap::new(),
            units: BTreeMap::new(),
            sysctls: [("net.ipv4.ip_forward".to_owned(), "0".to_owned())].into(),
            modules: Vec::new(),
            packages: BTreeMap::new(),
            listeners: Vec::new(),
            swaps: BTreeMap::new(),
        };
        let accounts = [("root".to_owned(), Owner::ROOT)].into();
        let mut machine =
            Self { state, contents: BTreeMap::new(), accounts, containers_made: 0, failing: BTreeSet::new() };
        for path in ["/etc", "/etc/systemd", "/etc/systemd/system", "/opt", "/usr", "/usr/local", "/var", "/var/lib"] {
            machine.add_folder(path, Owner::ROOT, 0o755);
        }
        machine
    }

    /// What of all this a look shows.
    pub fn look(&self, request: &LookRequest) -> HostSnapshot {
        let all = &self.state;
        let below = |path: &str, folder: &String| {
            path == folder || path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        let of_interest =
            |path: &String| request.folders.iter().any(|folder| below(path, folder)) || request.paths.contains(path);
        let text = |path: &String| {
            let bytes = self.contents.get(path)?;
            Some((path.clone(), String::from_utf8_lossy(bytes).into_owned()))
        };
        HostSnapshot {
            facts: self.facts(request.etcd_uid),
            entries: chosen(&all.entries, of_interest),
            merged_files: request.texts.iter().filter_map(text).collect(),
            containers: all
                .containers
                .iter()
                .filter(|(name, seen)| request.containers.contains(name) || seen.label.is_some())
                .map(|(name, seen)| (name.clone(), seen.clone()))
                .collect(),
            docker_images: all.docker_images.clone(),
            containerd_images: all.containerd_images.clone(),
            units: chosen(&all.units, |name| request.units.contains(name)),
            sysctls: chosen(&all.sysctls, |name| request.sysctls.contains(name)),
            modules: request.modules.iter().filter(|name| all.modules.contains(name)).cloned().collect(),
            packages: chosen(&all.packages, |name| request.packages.contains(name)),
            listeners: all.listeners.clone(),
            swaps: all.swaps.clone(),
        }
    }

    fn facts(&self, etcd_uid: u32) -> HostFacts {
        let holder = self.accounts.iter().find(|(_, owner)| owner.uid == etcd_uid).map(|(name, _)| name.clone());
        let etcd_user = self.accounts.get("etcd").map(|owner| (owner.uid, owner.gid));
        HostFacts { etcd_user, etcd_uid_holder: holder, ..self.state.facts.clone() }
    }

    /// The last lines of a log: what it does is all that a fake has to say.
    pub fn log(&self, source: &LogSource, lines: usize) -> Vec<String> {
        let text = match source {
            LogSource::Unit(unit) => self.state.units.get(unit).map(|seen| format!("{unit} is {}", seen.active)),
            LogSource::Container(name) => {
                self.state.containers.get(name).filter(|seen| seen.running).map(|_| format!("{name} runs"))
            }
            // Its apiserver marks nothing.
            LogSource::Audit(_) => None,
        };
        text.into_iter().take(lines).collect()
    }

    pub fn add_folder(&mut self, path: &str, owner: Owner, mode: u32) {
        self.contents.remove(path);
        self.state.entries.insert(path.to_owned(), ObservedEntry::Directory { owner, mode });
    }

    pub fn add_file(&mut self, path: &str, owner: Owner, mode: u32, bytes: &[u8]) {
        let entry = ObservedEntry::File { owner, mode, digest: Digest::of(bytes) };
        self.state.entries.insert(path.to_owned(), entry);
        self.contents.insert(path.to_owned(), bytes.to_vec());
        self.learn_unit(path);
    }

    pub fn add_link(&mut self, path: &str, target: &str) {
        self.contents.remove(path);
        self.state.entries.insert(path.to_owned(), ObservedEntry::Link { target: target.to_owned() });
    }

    /// Folders that nobody named come to be as the host's umask wants it.
    pub fn add_parents(&mut self, path: &str) {
        let slashes: Vec<usize> = path.match_indices('/').map(|(index, _)| index).filter(|index| *index > 0).collect();
        for index in slashes {
            if !self.state.entries.contains_key(&path[..index]) {
                self.add_folder(&path[..index], Owner::ROOT, 0o700);
            }
        }
    }

    pub fn remove(&mut self, path: &str) {
        self.state.entries.remove(path);
        self.contents.remove(path);
    }

    pub fn put_by_hand(&mut self, path: &str, bytes: &[u8]) {
        let (owner, mode) = match self.state.entries.get(path) {
            Some(ObservedEntry::File { owner, mode, .. }) => (*owner, *mode),
            _ => (Owner::ROOT, 0o644),
        };
        self.add_file(path, owner, mode, bytes);
    }

    fn learn_unit(&mut self, path: &str) {
        if let Some(name) = path.strip_prefix("/etc/systemd/system/").filter(|name| !name.contains('/')) {
            let stopped = ObservedUnit { enabled: false, active: "inactive".into() };
            self.state.units.entry(name.to_owned()).or_insert(stopped);
        }
    }

    /// What a package brings. Its daemons run at once, as Debian starts them.
    pub fn install(&mut self, name: &str) {
        let version = match name {
            "docker.io" => "20.10.24+dfsg1-1+deb12u1",
            "containerd" => "1.6.20~ds1-1+deb12u1",
            _ => "1.0-1",
        };
        self.state.packages.insert(name.to_owned(), version.to_owned());
        let running = || ObservedUnit { enabled: true, active: "active".into() };
        match name {
            "docker.io" => {
                self.install("containerd");
                self.state.units.insert("docker.service".into(), running());
                let cgroup_driver = self.cgroup_driver();
                let version = "20.10.24+dfsg1".into();
                self.state.facts.docker = Some(DockerFacts { version, cgroup_driver, running: true });
            }
            "containerd" => {
                self.state.units.insert("containerd.service".into(), running());
                self.state.facts.containerd_version = Some("1.6.20".into());
            }
            _ => {}
        }
    }

    /// What Docker takes when it starts: its configuration's word, or systemd where cgroups have version 2.
    pub fn cgroup_driver(&self) -> CgroupDriver {
        let text = self.contents.get("/etc/docker/daemon.json").map(|bytes| String::from_utf8_lossy(bytes));
        match text {
            Some(text) if text.contains("native.cgroupdriver=systemd") => CgroupDriver::Systemd,
            Some(text) if text.contains("native.cgroupdriver=cgroupfs") => CgroupDriver::Cgroupfs,
            _ if self.state.facts.cgroup_version == 2 => CgroupDriver::Systemd,
            _ => CgroupDriver::Cgroupfs,
        }
    }
}

fn chosen<T: Clone>(all: &BTreeMap<String, T>, wanted: impl Fn(&String) -> bool) -> BTreeMap<String, T> {
    all.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

//! What one component adds to a host, and the ways in which components write files.

use std::collections::BTreeMap;

use serde::Serialize;

use super::DesiredError;
use super::host::{MergedFile, UnitSpec, UserSpec};
use super::input::Site;
use crate::base::{Digest, Secret};
use crate::pki::Identity;
use crate::state::{
    CgroupDriver, Component, ContainerSpec, Content, DirectorySpec, FileSpec, ImageReference, LinkSpec, Mount, Owner,
};

/// Where everything of Kubernetes lies, outside and inside of containers.
pub(super) const ROOT: &str = "/etc/kubernetes";
/// Certificates and keys, a folder a component.
pub(super) const SSL: &str = "/etc/kubernetes/ssl";
/// Every node's way to all apiservers.
pub(super) const PROXY_URL: &str = "https://127.0.0.1:6444";
/// The apiserver of the same node.
pub(super) const LOCAL_URL: &str = "https://127.0.0.1:6443";
/// Cipher suites below TLS 1.3 that every CIS profile from 1.20 to 1.12 allows (checks 1.2.34 and 4.2.13).
pub(super) const CIPHER_SUITES: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
];
/// System containers die after all pods: kubelet gives a guaranteed pod -997 at best.
const OOM_SCORE_ADJ: i64 = -997;

/// The things of one component on one host.
#[derive(Debug)]
pub(super) struct Part {
    component: Component,
    pub packages: Vec<String>,
    pub merged_files: Vec<MergedFile>,
    pub users: Vec<UserSpec>,
    pub modules: Vec<String>,
    pub sysctls: BTreeMap<String, String>,
    pub directories: Vec<DirectorySpec>,
    pub files: Vec<FileSpec>,
    pub links: Vec<LinkSpec>,
    pub container: Option<ContainerSpec>,
    pub units: Vec<UnitSpec>,
}

impl Part {
    /// A component without anything yet.
    pub fn new(component: Component) -> Self {
        Self {
            component,
            packages: Vec::new(),
            merged_files: Vec::new(),
            users: Vec::new(),
            modules: Vec::new(),
            sysctls: BTreeMap::new(),
            directories: Vec::new(),
            files: Vec::new(),
            links: Vec::new(),
            container: None,
            units: Vec::new(),
        }
    }

    /// Adds a directory and returns its path.
    pub fn directory(&mut self, path: impl Into<String>, owner: Owner, mode: u32) -> String {
        let path = path.into();
        self.directories.push(DirectorySpec { path: path.clone(), component: self.component, owner, mode });
        path
    }

    /// Adds a file.
    pub fn file(&mut self, path: impl Into<String>, owner: Owner, mode: u32, content: Content) {
        self.files.push(FileSpec { path: path.into(), component: self.component, owner, mode, content });
    }

    /// Adds a copy for people and for the CIS benchmark at a fixed path; no component reads it.
    pub fn copy(&mut self, name: &str, content: Content) {
        self.file(format!("{ROOT}/{name}"), Owner::ROOT, 0o600, content);
    }

    /// Adds a link.
    pub fn link(&mut self, path: impl Into<String>, target: impl Into<String>) {
        self.links.push(LinkSpec { path: path.into(), component: self.component, target: target.into() });
    }

    /// Adds files that the component reads, in a folder that carries their digest, and returns its path: other content
    /// is another folder, so whoever still runs with the old one finds it unchanged.
    pub fn sealed(&mut self, files: Vec<(&str, String)>) -> String {
        let mut bytes = Vec::new();
        for (name, text) in &files {
            bytes.extend_from_slice(format!("{name} {}\n{text}", text.len()).as_bytes());
        }
        let parent = format!("{ROOT}/{}", self.component);
        if !self.directories.iter().any(|directory| directory.path == parent) {
            self.directory(parent.clone(), Owner::ROOT, 0o700);
        }
        let folder = self.directory(format!("{parent}/{}", Digest::of(bytes).short()), Owner::ROOT, 0o700);
        for (name, text) in files {
            self.file(format!("{folder}/{name}"), Owner::ROOT, 0o600, Content::Text(text));
        }
        folder
    }

    /// Adds the component's folder of certificates and keys and returns its path. It is mounted as a whole, so that a
    /// renewed file is seen; a mount of the file itself would keep the old inode.
    pub fn certificates(&mut self, files: Vec<(&str, Content)>) -> String {
        let folder = format!("{SSL}/{}", self.component);
        self.certificates_at(&folder, Owner::ROOT, files);
        folder
    }

    /// Adds a folder of certificates and keys that only one user may enter.
    pub fn certificates_at(&mut self, folder: &str, owner: Owner, files: Vec<(&str, Content)>) {
        self.directory(folder, owner, 0o700);
        for (name, content) in files {
            self.file(format!("{folder}/{name}"), owner, 0o600, content);
        }
    }
}

/// A certificate and its key as two files.
pub(super) fn pair<'a>(names: [&'a str; 2], identity: &Identity) -> [(&'a str, Content); 2] {
    [(names[0], certificate(&identity.certificate)), (names[1], key(&identity.key))]
}

/// A certificate as content.
pub(super) fn certificate(pem: &str) -> Content {
    Content::Text(pem.to_owned())
}

/// A key as content.
pub(super) fn key(key: &Secret) -> Content {
    Content::Secret(key.clone())
}

/// Writes a value as YAML with a first line that says whose it is.
pub(super) fn yaml(path: &str, value: &impl Serialize) -> Result<String, DesiredError> {
    let wrong = |error: serde_yaml::Error| DesiredError::Yaml { path: path.into(), reason: error.to_string() };
    let text = serde_yaml::to_string(value).map_err(wrong)?;
    Ok(format!("# Written by provision. Changes are found by the next `provision plan`.\n{text}"))
}

/// Everything that is particular to one system container.
pub(super) struct System<'a> {
    pub component: Component,
    pub image: &'a ImageReference,
    pub entrypoint: String,
    pub arguments: Vec<String>,
    pub mounts: Vec<Mount>,
    pub stop_timeout_seconds: i64,
}

impl System<'_> {
    /// The container with what all have in common: root without any capability, on a read-only root file system.
    pub fn spec(self, site: &Site<'_>) -> Result<ContainerSpec, DesiredError> {
        let mut mounts = self.mounts;
        mounts.sort();
        let changes = site.release.arguments.of(self.component);
        let arguments = changes.map_or(self.arguments.clone(), |changes| changes.apply(self.arguments));
        Ok(ContainerSpec {
            name: self.component.as_str().to_owned(),
            image: site.pins.docker(self.image)?,
            entrypoint: vec![self.entrypoint],
            arguments,
            first_start_arguments: Vec::new(),
            user: "0:0".into(),
            mounts,
            privileged: false,
            capabilities: Vec::new(),
            read_only_root: true,
            tmpfs: Vec::new(),
            oom_score_adj: OOM_SCORE_ADJ,
            cgroup_parent: cgroup_parent(site),
            stop_timeout_seconds: self.stop_timeout_seconds,
        })
    }
}

/// Docker's systemd driver wants a slice's name, its cgroupfs driver a path; both mean the same group.
fn cgroup_parent(site: &Site<'_>) -> String {
    match super::runtime::predicted_cgroup_driver(site.facts) {
        CgroupDriver::Systemd => "provision.slice".into(),
        CgroupDriver::Cgroupfs => "/provision.slice".into(),
    }
}

/// A folder that a container reads.
pub(super) fn reads(path: impl Into<String>) -> Mount {
    Mount { path: path.into(), writable: false }
}

/// A folder that a container writes to.
pub(super) fn writes(path: impl Into<String>) -> Mount {
    Mount { path: path.into(), writable: true }
}

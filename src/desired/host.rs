//! The types of the wanted state.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::{Digest, NodeName};
use crate::cluster::Taint;
use crate::state::{
    Component, ContainerSpec, DirectorySpec, FileSpec, ImageReference, ImageStore, LinkSpec, Object, Owner,
};

/// Everything that shall be.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Each node.
    pub hosts: BTreeMap<NodeName, DesiredHost>,
    /// Objects of the API in the order in which they are applied; a later one may need an earlier one.
    pub objects: Vec<Object>,
    /// Labels and taints, applied to Node objects that kubelets register themselves.
    pub nodes: Vec<NodeMetadata>,
}

/// One host.
#[derive(Debug, Clone)]
pub struct DesiredHost {
    /// Distribution packages that must be installed (any version).
    pub packages: Vec<String>,
    /// Configuration that is not ours alone.
    pub merged_files: Vec<MergedFile>,
    /// Accounts.
    pub users: Vec<UserSpec>,
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Sysctls in force, by name.
    pub sysctls: BTreeMap<String, String>,
    /// Images that must be in a store.
    pub images: Vec<DesiredImage>,
    /// Directories, parents before children.
    pub directories: Vec<DirectorySpec>,
    /// Files.
    pub files: Vec<FileSpec>,
    /// Links.
    pub links: Vec<LinkSpec>,
    /// Containers.
    pub containers: Vec<DesiredContainer>,
    /// systemd units.
    pub units: Vec<UnitSpec>,
}

/// A container and the component that it is.
pub type DesiredContainer = (Component, ContainerSpec);

/// Keys of ours in a file that others write to as well.
#[derive(Debug, Clone, PartialEq)]
pub struct MergedFile {
    /// Absolute path.
    pub path: String,
    /// How the file is written.
    pub format: MergeFormat,
    /// Permission bits for a file that does not exist yet.
    pub mode: u32,
    /// The keys that we own, nested as in the file.
    pub wanted: Value,
    /// Unit that reads the file and is restarted after a change.
    pub unit: String,
}

/// How a merged file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeFormat {
    /// Docker's `daemon.json`.
    Json,
    /// containerd's `config.toml`.
    Toml,
    /// Every byte is ours; the wanted value is the text. It may hold a password.
    Whole,
}

/// A system account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSpec {
    /// User and group name.
    pub name: String,
    /// Numbers.
    pub owner: Owner,
}

/// An image that a host needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredImage {
    /// Which store.
    pub store: ImageStore,
    /// Name and tag.
    pub reference: ImageReference,
    /// The id that the store must report; `None` while no host and no bundle has told it.
    pub id: Option<Digest>,
}

/// A unit that shall be enabled and active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSpec {
    /// `kubelet.service`, …
    pub name: String,
    /// Which component it belongs to.
    pub component: Component,
}

/// What `cluster.yml` says about a Node object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMetadata {
    /// Which node.
    pub name: NodeName,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
}

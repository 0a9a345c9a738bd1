//! What the wanted state is rendered from.

use std::collections::BTreeMap;

use super::DesiredError;
use super::images::images;
use crate::base::{Digest, NodeName};
use crate::cluster::{Cluster, NetworkPlugin, Node};
use crate::pki::{Bundle, ControlPlaneIdentities, EtcdIdentities, NodeIdentities};
use crate::release::Release;
use crate::state::{HostFacts, ImageIdentity, ImageReference, ImageStore};

/// Everything that decides what shall be.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cluster as meant.
    pub cluster: &'a Cluster,
    /// What the hosts are; one that is not here was not reached and is left out.
    pub facts: &'a BTreeMap<NodeName, HostFacts>,
    /// Keys and certificates.
    pub bundle: &'a Bundle,
    /// The catalog's row.
    pub release: &'a Release,
    /// Which bytes every node runs.
    pub pins: &'a Pins,
    /// Names this etcd cluster and no other (`--initial-cluster-token`).
    pub etcd_token: &'a str,
    /// Certificates (PEM) of private registries' authorities, by host.
    pub registry_authorities: &'a BTreeMap<String, String>,
}

/// Images and files by content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    /// What each store calls an image's id.
    pub images: BTreeMap<(ImageStore, ImageReference), Digest>,
    /// Large files: `kubelet`, `cni/<plugin>`.
    pub files: BTreeMap<String, PayloadPin>,
}

/// A large file by content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadPin {
    /// SHA-256.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
}

/// Plugins without which no pod gets an address: what the network plugin's configuration calls, besides its own.
fn plugins(plugin: &NetworkPlugin) -> &'static [&'static str] {
    match plugin {
        NetworkPlugin::Canal(_) => &["bandwidth", "host-local", "loopback", "portmap"],
        NetworkPlugin::Flannel(_) => &["bridge", "host-local", "loopback", "portmap"],
        NetworkPlugin::None => &["loopback"],
    }
}

impl Pins {
    /// Requires everything that hosts cannot do without, and names all that lacks at once. Images of pods are not among
    /// it: containerd tells their ids only once they are there.
    pub(super) fn require(&self, cluster: &Cluster, release: &Release) -> Result<(), DesiredError> {
        let docker = images(cluster, release).into_iter().filter(|(store, _)| *store == ImageStore::Docker);
        let lacking = docker.filter(|image| !self.images.contains_key(image));
        let mut items: Vec<String> = lacking.map(|(_, reference)| format!("image {reference}")).collect();
        if !self.files.contains_key("kubelet") {
            items.push(format!("file kubelet {}", release.version));
        }
        let has = |plugin: &&str| self.files.contains_key(&format!("cni/{plugin}"));
        let plugins: Vec<&str> =
            plugins(&cluster.network.plugin).iter().filter(|plugin| !has(plugin)).copied().collect();
        if !plugins.is_empty() {
            items.push(format!("file cni-plugins {} ({})", release.cni_plugins, plugins.join(", ")));
        }
        if items.is_empty() { Ok(()) } else { Err(DesiredError::Missing { items }) }
    }

    /// An image of Docker's store.
    pub(super) fn docker(&self, reference: &ImageReference) -> Result<ImageIdentity, DesiredError> {
        let id = self.images.get(&(ImageStore::Docker, reference.clone())).cloned();
        let missing = || DesiredError::Missing { items: vec![format!("image {reference}")] };
        Ok(ImageIdentity { reference: reference.clone(), id: id.ok_or_else(missing)? })
    }

    /// A large file.
    pub(super) fn file(&self, name: &str) -> Result<&PayloadPin, DesiredError> {
        self.files.get(name).ok_or_else(|| DesiredError::Missing { items: vec![format!("file {name}")] })
    }
}

/// One node, as its components see the world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    pub cluster: &'a Cluster,
    pub release: &'a Release,
    pub bundle: &'a Bundle,
    pub pins: &'a Pins,
    pub etcd_token: &'a str,
    pub node: &'a Node,
    pub facts: &'a HostFacts,
    pub identities: &'a NodeIdentities,
    pub registry_authorities: &'a BTreeMap<String, String>,
}

impl<'a> Site<'a> {
    /// The site of a node of the cluster.
    pub fn new(input: &Input<'a>, node: &'a Node, facts: &'a HostFacts) -> Result<Self, DesiredError> {
        let Input { cluster, release, bundle, pins, etcd_token, registry_authorities, .. } = *input;
        let none = || DesiredError::NoIdentity { node: node.name.clone(), what: "certificates" };
        let identities = bundle.nodes.get(&node.name).ok_or_else(none)?;
        Ok(Self { cluster, release, bundle, pins, etcd_token, node, facts, identities, registry_authorities })
    }

    /// Certificates of a control plane.
    pub fn control_plane(&self) -> Result<&'a ControlPlaneIdentities, DesiredError> {
        let none = || DesiredError::NoIdentity { node: self.node.name.clone(), what: "control plane certificates" };
        self.identities.control_plane.as_ref().ok_or_else(none)
    }

    /// Certificates of an etcd member.
    pub fn etcd(&self) -> Result<&'a EtcdIdentities, DesiredError> {
        let none = || DesiredError::NoIdentity { node: self.node.name.clone(), what: "etcd certificates" };
        self.identities.etcd.as_ref().ok_or_else(none)
    }
}

//! Stored material put into the order in which hosts need it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::issue::read_key;
use super::leaf::Authority;
use super::{
    Bundle, ControlPlaneIdentities, EncryptionKey, EtcdIdentities, Identity, Material, MaterialEntry, MaterialName,
    NodeIdentities, PkiError, ServiceAccountKey,
};
use crate::base::{NodeName, Secret};
use crate::cluster::{Cluster, Node};

/// Puts complete material into a bundle.
pub(super) fn assemble(cluster: &Cluster, material: &Material) -> Result<Bundle, PkiError> {
    let shelf = Shelf { material };
    let nodes = cluster.nodes.iter().map(|node| Ok((node.name.clone(), shelf.node(node)?)));
    Ok(Bundle {
        cluster_authority: shelf.certificate(&MaterialName::authority(Authority::Cluster))?,
        etcd_authority: shelf.certificate(&MaterialName::authority(Authority::Etcd))?,
        front_proxy_authority: shelf.certificate(&MaterialName::authority(Authority::FrontProxy))?,
        service_account: shelf.service_account()?,
        encryption: shelf.encryption()?,
        nodes: nodes.collect::<Result<_, PkiError>>()?,
    })
}

struct Shelf<'a> {
    material: &'a Material,
}

impl Shelf<'_> {
    fn entry(&self, name: &MaterialName) -> Result<&MaterialEntry, PkiError> {
        self.material.get(name).ok_or_else(|| PkiError::Lost { name: name.clone() })
    }

    fn certificate(&self, name: &MaterialName) -> Result<String, PkiError> {
        let missing = || PkiError::Unusable { name: name.clone(), reason: "it has no certificate".into() };
        self.entry(name)?.certificate.clone().ok_or_else(missing)
    }

    fn identity(&self, node: &NodeName, kind: &str) -> Result<Identity, PkiError> {
        let name = MaterialName::leaf(node, kind);
        Ok(Identity { certificate: self.certificate(&name)?, key: self.entry(&name)?.key.clone() })
    }

    fn node(&self, node: &Node) -> Result<NodeIdentities, PkiError> {
        let name = &node.name;
        Ok(NodeIdentities {
            kubelet_client: self.identity(name, "kubelet-client")?,
            kubelet_server: self.identity(name, "kubelet-server")?,
            kube_proxy: self.identity(name, "kube-proxy")?,
            api_proxy: self.identity(name, "api-proxy")?,
            etcd: node.roles.etcd.then(|| self.etcd(name)).transpose()?,
            control_plane: node.roles.control_plane.then(|| self.control_plane(name)).transpose()?,
        })
    }

    fn etcd(&self, node: &NodeName) -> Result<EtcdIdentities, PkiError> {
        Ok(EtcdIdentities { server: self.identity(node, "etcd-server")?, peer: self.identity(node, "etcd-peer")? })
    }

    fn control_plane(&self, node: &NodeName) -> Result<ControlPlaneIdentities, PkiError> {
        Ok(ControlPlaneIdentities {
            apiserver: self.identity(node, "apiserver")?,
            apiserver_kubelet_client: self.identity(node, "apiserver-kubelet-client")?,
            apiserver_etcd_client: self.identity(node, "apiserver-etcd-client")?,
            front_proxy_client: self.identity(node, "front-proxy-client")?,
            controller_manager: self.identity(node, "controller-manager")?,
            scheduler: self.identity(node, "scheduler")?,
            local_admin: self.identity(node, "local-admin")?,
        })
    }

    fn service_account(&self) -> Result<ServiceAccountKey, PkiError> {
        let name = MaterialName::service_account();
        let private = self.entry(&name)?.key.clone();
        let key = read_key(&private).map_err(|reason| PkiError::Unusable { name, reason })?;
        Ok(ServiceAccountKey { private, public: key.public_key_pem() })
    }

    /// The key of the latest date is the one that writes.
    fn encryption(&self) -> Result<EncryptionKey, PkiError> {
        let mut keys = self.material.iter().filter_map(|(name, entry)| Some((name, name.as_encryption()?, entry)));
        let (stored, name, entry) =
            keys.next_back().ok_or_else(|| PkiError::Lost { name: MaterialName::encryption("*") })?;
        let unusable = |reason: &str| PkiError::Unusable { name: stored.clone(), reason: reason.into() };
        let bytes = STANDARD.decode(entry.key.expose()).map_err(|_| unusable("it is not base64"))?;
        let key = Secret::new(bytes);
        if key.expose().len() != 32 {
            return Err(unusable("it does not have 32 bytes"));
        }
        Ok(EncryptionKey { name: name.to_owned(), key })
    }
}

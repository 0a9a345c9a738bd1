//! Stored material put into the order in which hosts need it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::issue::read_key;
use super::leaf::{Authority, METRICS_SERVER};
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
        metrics_server: cluster
            .metrics
            .as_ref()
            .map(|_| shelf.identity(&MaterialName::service(METRICS_SERVER)))
            .transpose()?,
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

    fn identity(&self, name: &MaterialName) -> Result<Identity, PkiError> {
        Ok(Identity { certificate: self.certificate(name)?, key: self.entry(name)?.key.clone() })
    }

    fn node(&self, node: &Node) -> Result<NodeIdentities, PkiError> {
        let name = &node.name;
        let held = |kind| self.identity(&MaterialName::leaf(name, kind));
        Ok(NodeIdentities {
            kubelet_client: held("kubelet-client")?,
            kubelet_server: held("kubelet-server")?,
            kube_proxy: held("kube-proxy")?,
            api_proxy: held("api-proxy")?,
            etcd: node.roles.etcd.then(|| self.etcd(name)).transpose()?,
            control_plane: node.roles.control_plane.then(|| self.control_plane(name)).transpose()?,
        })
    }

    fn etcd(&self, node: &NodeName) -> Result<EtcdIdentities, PkiError> {
        let held = |kind| self.identity(&MaterialName::leaf(node, kind));
        Ok(EtcdIdentities { server: held("etcd-server")?, peer: held("etcd-peer")? })
    }

    fn control_plane(&self, node: &NodeName) -> Result<ControlPlaneIdentities, PkiError> {
        let held = |kind| self.identity(&MaterialName::leaf(node, kind));
        Ok(ControlPlaneIdentities {
            apiserver: held("apiserver")?,
            apiserver_kubelet_client: held("apiserver-kubelet-client")?,
            apiserver_etcd_client: held("apiserver-etcd-client")?,
            front_proxy_client: held("front-proxy-client")?,
            controller_manager: held("controller-manager")?,
            scheduler: held("scheduler")?,
            local_admin: held("local-admin")?,
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

//! The finished set of keys and certificates that a cluster's files are rendered from.

use std::collections::BTreeMap;

use crate::base::{NodeName, Secret};

/// A certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM.
    pub certificate: String,
    /// PKCS#8 PEM.
    pub key: Secret,
}

/// Everything that hosts get. The authorities' private keys are not here: no host ever gets one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Certificate of the cluster's authority, PEM.
    pub cluster_authority: String,
    /// Certificate of etcd's authority, PEM.
    pub etcd_authority: String,
    /// Certificate of the front proxy's authority, PEM.
    pub front_proxy_authority: String,
    /// The key that signs service account tokens.
    pub service_account: ServiceAccountKey,
    /// The key that encrypts Secrets at rest.
    pub encryption: EncryptionKey,
    /// metrics-server's port, where the cluster has it: the apiserver believes no other.
    pub metrics_server: Option<Identity>,
    /// What each node is, by name.
    pub nodes: BTreeMap<NodeName, NodeIdentities>,
}

/// The key pair that signs service account tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountKey {
    /// PKCS#8 PEM.
    pub private: Secret,
    /// `SubjectPublicKeyInfo` PEM.
    pub public: String,
}

/// A key for Secrets at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    /// The name that every value encrypted with it carries, such as `k20261123`.
    pub name: String,
    /// 32 random bytes.
    pub key: Secret,
}

/// A node's identities, each of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentities {
    /// CN `system:node:<node>`, O `system:nodes`: kubelet towards the API.
    pub kubelet_client: Identity,
    /// kubelet's own port.
    pub kubelet_server: Identity,
    /// CN `system:kube-proxy`.
    pub kube_proxy: Identity,
    /// CN `provision:api-proxy:<node>`: health checks of the API proxy, no rights beyond those of any authenticated user.
    pub api_proxy: Identity,
    /// On etcd nodes.
    pub etcd: Option<EtcdIdentities>,
    /// On control-plane nodes.
    pub control_plane: Option<ControlPlaneIdentities>,
}

/// An etcd member's identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdIdentities {
    /// Client port.
    pub server: Identity,
    /// Peer port, server and client.
    pub peer: Identity,
}

/// A control plane's identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneIdentities {
    /// The apiserver's port.
    pub apiserver: Identity,
    /// CN `kube-apiserver-kubelet-client`.
    pub apiserver_kubelet_client: Identity,
    /// CN `kube-apiserver-etcd-client`, signed by etcd's authority.
    pub apiserver_etcd_client: Identity,
    /// CN `front-proxy-client`, signed by the front proxy's authority.
    pub front_proxy_client: Identity,
    /// CN `system:kube-controller-manager`.
    pub controller_manager: Identity,
    /// CN `system:kube-scheduler`.
    pub scheduler: Identity,
    /// CN `provision:local-admin:<node>`, O `provision:admins`: `/etc/kubernetes/admin.conf`.
    pub local_admin: Identity,
}

//! Which certificates a cluster has, as a table.

use std::collections::BTreeSet;

use super::profile::{AlternativeName, Profile, Subject, Usage};
use crate::cluster::{Cluster, Node};

/// Lifetime of an authority, seconds: ten years.
pub(super) const AUTHORITY_LIFETIME: i64 = 3650 * 86_400;
/// Lifetime of a leaf, seconds: one year.
pub(super) const LEAF_LIFETIME: i64 = 365 * 86_400;

/// The Service of the one add-on that the apiserver calls.
pub(super) const METRICS_SERVER: &str = "metrics-server";

/// Who signs. Three and never one: with a shared authority any kubelet's certificate would open etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Authority {
    /// Signs for the Kubernetes API.
    Cluster,
    /// Signs for etcd's ports.
    Etcd,
    /// Signs the client certificate with which the apiserver speaks to aggregated APIs.
    FrontProxy,
}

impl Authority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::Etcd, Self::FrontProxy];

    /// The word in a stored name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Etcd => "etcd",
            Self::FrontProxy => "front-proxy",
        }
    }

    /// Its certificate's common name.
    pub(super) fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "kubernetes-ca",
            Self::Etcd => "etcd-ca",
            Self::FrontProxy => "front-proxy-ca",
        }
    }
}

/// Which nodes hold a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    EveryNode,
    EtcdMember,
    ControlPlane,
}

/// Which names a certificate serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// A client's: none.
    None,
    /// The node's addresses and name.
    Node,
    /// The same and loopback.
    NodeAndLoopback,
    /// Every way to reach any apiserver.
    Apiserver,
}

/// One row: a kind of certificate.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Last part of the stored name.
    pub kind: &'static str,
    /// Who signs it.
    pub authority: Authority,
    /// CN; `{node}` stands for the node's name.
    common_name: &'static str,
    /// O.
    organization: Option<&'static str>,
    usage: Usage,
    names: Names,
    holder: Holder,
}

const fn client(
    kind: &'static str,
    authority: Authority,
    common_name: &'static str,
    organization: Option<&'static str>,
    holder: Holder,
) -> Leaf {
    Leaf { kind, authority, common_name, organization, usage: Usage::Client, names: Names::None, holder }
}

const fn server(
    kind: &'static str,
    common_name: &'static str,
    organization: Option<&'static str>,
    names: Names,
    holder: Holder,
) -> Leaf {
    Leaf { kind, authority: Authority::Cluster, common_name, organization, usage: Usage::Server, names, holder }
}

const fn etcd_port(kind: &'static str, names: Names) -> Leaf {
    let usage = Usage::ServerAndClient;
    let holder = Holder::EtcdMember;
    Leaf { kind, authority: Authority::Etcd, common_name: "{node}", organization: None, usage, names, holder }
}

/// Every certificate that a node may hold. No row has group `system:masters`: it passes by every rule of the cluster
/// and cannot be revoked.
pub(super) const LEAVES: [Leaf; 13] = {
    use Authority::{Cluster, Etcd, FrontProxy};
    use Holder::{ControlPlane, EveryNode};
    const NODES: Option<&str> = Some("system:nodes");
    const ADMINS: Option<&str> = Some(super::ADMINS);
    [
        client("kubelet-client", Cluster, "system:node:{node}", NODES, EveryNode),
        server("kubelet-server", "system:node:{node}", NODES, Names::Node, EveryNode),
        client("kube-proxy", Cluster, "system:kube-proxy", None, EveryNode),
        client("api-proxy", Cluster, "provision:api-proxy:{node}", None, EveryNode),
        etcd_port("etcd-server", Names::NodeAndLoopback),
        etcd_port("etcd-peer", Names::Node),
        server("apiserver", "kube-apiserver", None, Names::Apiserver, ControlPlane),
        client("apiserver-kubelet-client", Cluster, "kube-apiserver-kubelet-client", None, ControlPlane),
        client("apiserver-etcd-client", Etcd, "kube-apiserver-etcd-client", None, ControlPlane),
        client("front-proxy-client", FrontProxy, "front-proxy-client", None, ControlPlane),
        client("controller-manager", Cluster, "system:kube-controller-manager", None, ControlPlane),
        client("scheduler", Cluster, "system:kube-scheduler", None, ControlPlane),
        client("local-admin", Cluster, "provision:local-admin:{node}", ADMINS, ControlPlane),
    ]
};

impl Leaf {
    /// Whether a node holds this certificate.
    pub fn is_held_by(&self, node: &Node) -> bool {
        match self.holder {
            Holder::EveryNode => true,
            Holder::EtcdMember => node.roles.etcd,
            Holder::ControlPlane => node.roles.control_plane,
        }
    }

    /// What the certificate of a node must say.
    pub fn profile(&self, cluster: &Cluster, node: &Node) -> Profile {
        let subject = Subject {
            common_name: self.common_name.replace("{node}", node.name.as_str()),
            organization: self.organization.map(str::to_owned),
        };
        let names = match self.names {
            Names::None => BTreeSet::new(),
            Names::Node => node_names(node).collect(),
            Names::NodeAndLoopback => node_names(node).chain(loopback()).collect(),
            Names::Apiserver => apiserver_names(cluster),
        };
        Profile { subject, usage: self.usage, names }
    }
}

/// What the certificate of an add-on's server says, which the apiserver calls by the name of its Service.
pub(super) fn service_profile(cluster: &Cluster, service: &str) -> Profile {
    let name = format!("{service}.kube-system.svc");
    let full_name = format!("{name}.{}", cluster.network.domain);
    let names = [name.clone(), full_name].map(AlternativeName::Name).into();
    Profile { subject: Subject { common_name: name, organization: None }, usage: Usage::Server, names }
}

fn node_names(node: &Node) -> impl Iterator<Item = AlternativeName> {
    let internal = AlternativeName::Address(node.internal_address.into());
    [AlternativeName::of(&node.address), AlternativeName::of(node.name.as_str()), internal].into_iter()
}

fn loopback() -> impl Iterator<Item = AlternativeName> {
    ["127.0.0.1", "localhost"].into_iter().map(AlternativeName::of)
}

/// One set for all control planes: a client may reach any of them through any name.
fn apiserver_names(cluster: &Cluster) -> BTreeSet<AlternativeName> {
    let domain = &cluster.network.domain;
    let in_cluster = ["", ".default", ".default.svc", &format!(".default.svc.{domain}")]
        .map(|suffix| AlternativeName::Name(format!("kubernetes{suffix}")));
    cluster
        .control_planes()
        .flat_map(node_names)
        .chain(cluster.sans.iter().map(|name| AlternativeName::of(name)))
        .chain(in_cluster)
        .chain([AlternativeName::Address(cluster.network.api_service_ip())])
        .chain(loopback())
        .collect()
}

//! An etcd member: a container of its own user, its peers reached over TLS at their internal addresses.

use super::DesiredError;
use super::host::UserSpec;
use super::input::Site;
use super::part::{CIPHER_SUITES, Part, System, certificate, pair, reads, writes};
use crate::cluster::Node;
use crate::state::{Component, Owner};

/// Keys of the member. Not below `/etc/kubernetes/ssl`: there everything must be root's (CIS 1.1.19).
const CERTIFICATES: &str = "/etc/kubernetes/etcd";
/// The same path inside and outside, or CIS 1.1.11 and 1.1.12 look at the wrong folder.
const DATA: &str = "/var/lib/etcd";
/// Seconds in which a member hands its leadership over and closes its database.
const STOP_TIMEOUT: i64 = 30;

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::Etcd);
    let owner = Owner { uid: site.cluster.etcd_user.0, gid: site.cluster.etcd_user.1 };
    let identities = site.etcd()?;
    part.users.push(UserSpec { name: "etcd".into(), owner });
    let mut files = vec![("ca.crt", certificate(&site.bundle.etcd_authority))];
    files.extend(pair(["server.crt", "server.key"], &identities.server));
    files.extend(pair(["peer.crt", "peer.key"], &identities.peer));
    part.certificates_at(CERTIFICATES, owner, files);
    part.directory(DATA, owner, 0o700);
    let system = System {
        component: Component::Etcd,
        image: &site.release.images.etcd,
        entrypoint: "/usr/local/bin/etcd".into(),
        arguments: arguments(site),
        mounts: vec![reads(CERTIFICATES), writes(DATA)],
        stop_timeout_seconds: STOP_TIMEOUT,
    };
    let mut spec = system.spec(site)?;
    spec.user = format!("{}:{}", owner.uid, owner.gid);
    spec.first_start_arguments = first_start_arguments(site);
    part.container = Some(spec);
    Ok(part)
}

/// Flags and never a configuration file: with one, etcd ignores all flags, and what a benchmark reads would not be in
/// force. Election and heartbeat keep etcd's defaults, which are made for members beside each other.
fn arguments(site: &Site<'_>) -> Vec<String> {
    let address = site.node.internal_address;
    vec![
        format!("--name={}", site.node.name),
        format!("--data-dir={DATA}"),
        format!("--listen-client-urls=https://{address}:2379,https://127.0.0.1:2379"),
        format!("--advertise-client-urls={}", client_url(site.node)),
        format!("--listen-peer-urls={}", peer_url(site.node)),
        "--listen-metrics-urls=http://127.0.0.1:2381".into(),
        format!("--cert-file={CERTIFICATES}/server.crt"),
        format!("--key-file={CERTIFICATES}/server.key"),
        format!("--trusted-ca-file={CERTIFICATES}/ca.crt"),
        "--client-cert-auth=true".into(),
        format!("--peer-cert-file={CERTIFICATES}/peer.crt"),
        format!("--peer-key-file={CERTIFICATES}/peer.key"),
        format!("--peer-trusted-ca-file={CERTIFICATES}/ca.crt"),
        "--peer-client-cert-auth=true".into(),
        format!("--cipher-suites={}", CIPHER_SUITES.join(",")),
        "--tls-min-version=TLS1.2".into(),
        "--auto-compaction-mode=periodic".into(),
        "--auto-compaction-retention=1".into(),
        "--snapshot-count=10000".into(),
    ]
}

/// What counts only while there is no data; so a member that comes later changes no running one. All begin with
/// `--initial-`: that is how a reader of the container tells them from the lasting ones.
fn first_start_arguments(site: &Site<'_>) -> Vec<String> {
    let members = site.cluster.etcd_members().map(|node| format!("{}={}", node.name, peer_url(node)));
    vec![
        format!("--initial-advertise-peer-urls={}", peer_url(site.node)),
        format!("--initial-cluster={}", members.collect::<Vec<_>>().join(",")),
        "--initial-cluster-state=new".into(),
        format!("--initial-cluster-token={}", site.etcd_token),
    ]
}

/// Where other members reach a member.
pub fn peer_url(node: &Node) -> String {
    format!("https://{}:2380", node.internal_address)
}

/// Where apiservers reach a member.
pub(super) fn client_url(node: &Node) -> String {
    format!("https://{}:2379", node.internal_address)
}

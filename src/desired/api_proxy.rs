//! The API proxy: HAProxy on loopback, from every node to every apiserver that is ready.

use serde_json::json;

use super::DesiredError;
use super::input::Site;
use super::part::{Part, System, certificate, reads};
use super::template::Template;
use crate::base::Secret;
use crate::pki::Identity;
use crate::state::{Component, Content};

const CONFIGURATION: Template =
    Template { name: "api-proxy/haproxy.cfg", text: include_str!("../../templates/api-proxy/haproxy.cfg") };
/// Seconds until a proxy that was told to stop cuts what is still open; Docker waits a little longer. The connections of
/// kubelet, kube-proxy and controllers never end by themselves, so that each replacement lasts as long as this. What they carry
/// then is watches, which are begun anew where they stopped; requests that are answered at once are over long before.
const HARD_STOP: i64 = 5;

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::ApiProxy);
    let certificates = part.certificates(vec![
        ("ca.crt", certificate(&site.bundle.cluster_authority)),
        ("client.pem", Content::Secret(joined(&site.identities.api_proxy))),
    ]);
    let servers: Vec<_> = site
        .cluster
        .control_planes()
        .map(|node| json!({ "name": node.name.as_str(), "address": node.internal_address.to_string() }))
        .collect();
    let values = json!({ "servers": servers, "certificates": certificates, "hard_stop": HARD_STOP });
    let folder = part.sealed(vec![("haproxy.cfg", CONFIGURATION.render(&values)?)]);
    let system = System {
        component: Component::ApiProxy,
        image: &site.release.images.api_proxy,
        // Found by PATH: the official image and a distribution's keep it in different folders.
        entrypoint: "haproxy".into(),
        // A master with workers: its certificates can be read anew without losing a connection.
        arguments: vec!["-W".into(), "-db".into(), "-f".into(), format!("{folder}/haproxy.cfg")],
        mounts: vec![reads(certificates), reads(folder)],
        stop_timeout_seconds: HARD_STOP + 5,
    };
    part.container = Some(system.spec(site)?);
    Ok(part)
}

/// HAProxy wants a certificate and its key in one file.
fn joined(identity: &Identity) -> Secret {
    let mut bytes = identity.certificate.clone().into_bytes();
    if bytes.last().is_some_and(|byte| *byte != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(identity.key.expose());
    Secret::new(bytes)
}

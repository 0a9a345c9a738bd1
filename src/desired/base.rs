//! What all components lie in: folders, the slice, and root's own access on control planes.

use super::DesiredError;
use super::input::Site;
use super::kubeconfig::Kubeconfig;
use super::part::{LOCAL_URL, Part, ROOT, SSL, certificate, pair};
use crate::state::{Component, Content, Owner};

pub(super) const SLICE_PATH: &str = "/etc/systemd/system/provision.slice";
const SLICE: &str = include_str!("../../templates/base/provision.slice");
/// The identity of root on a control plane.
const ADMIN: &str = "/etc/kubernetes/ssl/admin";

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::Base);
    part.directory(ROOT, Owner::ROOT, 0o755);
    part.directory(SSL, Owner::ROOT, 0o700);
    part.directory(format!("{ROOT}/manifests"), Owner::ROOT, 0o700);
    part.directory("/opt/provision", Owner::ROOT, 0o755);
    // CIS looks for the authority and for keys below `pki` (1.1.19 to 1.1.21, 4.1.7).
    part.link(format!("{ROOT}/pki"), "ssl");
    part.file(format!("{SSL}/ca.crt"), Owner::ROOT, 0o600, certificate(&site.bundle.cluster_authority));
    part.file(SLICE_PATH, Owner::ROOT, 0o644, Content::Text(SLICE.into()));
    if site.node.roles.control_plane {
        admin(site, &mut part)?;
    }
    Ok(part)
}

/// For the day on which nobody reaches the API from outside. Its user is bound like any administrator and can be
/// unbound; CIS 1.1.13 wants the file.
fn admin(site: &Site<'_>, part: &mut Part) -> Result<(), DesiredError> {
    let mut files = vec![("ca.crt", certificate(&site.bundle.cluster_authority))];
    files.extend(pair(["client.crt", "client.key"], &site.control_plane()?.local_admin));
    part.certificates_at(ADMIN, Owner::ROOT, files);
    let user = format!("provision:local-admin:{}", site.node.name);
    let path = "/etc/kubernetes/admin.conf";
    let kubeconfig = Kubeconfig { path, user: &user, server: LOCAL_URL, certificates: ADMIN };
    part.copy("admin.conf", Content::Text(kubeconfig.text()?));
    Ok(())
}

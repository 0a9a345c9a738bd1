//! How a host's engines reach registries: certificates, stand-ins, passwords, proxies.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::DesiredError;
use super::input::Site;
use super::part::Part;
use crate::cluster::{PrivateRegistry, Supply};
use crate::release::Release;
use crate::state::{Component, Content, ImageReference, ImageStore, Owner};

/// Folders that Docker reads certificates of registries from, one a registry, at each pull.
const DOCKER_CERTIFICATES: &str = "/etc/docker/certs.d";
/// Folders that containerd reads host files from, one a registry, at each pull.
pub(super) const CONTAINERD_HOSTS: &str = "/etc/containerd/certs.d";
const KUBELET: &str = "/var/lib/kubelet";
/// The file from which kubelet takes passwords for the pulls of pods.
const KUBELET_LOGINS: &str = "/var/lib/kubelet/config.json";
const HUB: &str = "docker.io";
/// The hub's name in files with passwords.
const HUB_LOGIN: &str = "https://index.docker.io/v1/";

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::Runtime);
    let supply = &site.cluster.supply;
    for registry in &supply.registries {
        if let Some(authority) = site.registry_authorities.get(&registry.host) {
            let folder = format!("{DOCKER_CERTIFICATES}/{}", registry.host);
            let text = Content::Text(authority.clone());
            folders(&mut part, &["/etc/docker", DOCKER_CERTIFICATES, &folder]);
            part.file(format!("{folder}/ca.crt"), Owner::ROOT, 0o644, text);
        }
    }
    for (domain, registry) in stand_ins(supply, site.release) {
        host_files(site, &mut part, &domain, registry);
    }
    let logins = logins(supply, site.release);
    if !logins.is_empty() {
        part.directory(KUBELET, Owner::ROOT, 0o750);
        let text = format!("{:#}\n", json!({ "auths": logins }));
        part.file(KUBELET_LOGINS, Owner::ROOT, 0o600, Content::Secret(text.into_bytes().into()));
    }
    Ok(part)
}

/// Every path that this component may own on a host of this cluster.
pub(super) fn paths(supply: &Supply, release: &Release) -> Vec<String> {
    let mut paths = BTreeSet::from([KUBELET_LOGINS.to_owned(), KUBELET.to_owned()]);
    paths.extend(["/etc/docker", DOCKER_CERTIFICATES, "/etc/containerd", CONTAINERD_HOSTS].map(str::to_owned));
    let docker = supply.registries.iter().map(|registry| format!("{DOCKER_CERTIFICATES}/{}", registry.host));
    let containerd = stand_ins(supply, release).into_keys().map(|domain| format!("{CONTAINERD_HOSTS}/{domain}"));
    for folder in docker.chain(containerd) {
        paths.extend([format!("{folder}/ca.crt"), format!("{folder}/hosts.toml")]);
        paths.insert(folder);
    }
    paths.into_iter().collect()
}

fn folders(part: &mut Part, paths: &[&str]) {
    for path in paths {
        if !part.directories.iter().any(|directory| directory.path == **path) {
            part.directory(*path, Owner::ROOT, 0o755);
        }
    }
}

/// For which registries containerd goes where. A registry stands for itself where it needs more than its name.
fn stand_ins<'a>(supply: &'a Supply, release: &Release) -> BTreeMap<String, &'a PrivateRegistry> {
    let own = supply.registries.iter().map(|registry| (registry.host.clone(), registry));
    let mirrored =
        supply.registries.iter().flat_map(|registry| registry.mirrors.iter().map(move |name| (name, registry)));
    let mut all: BTreeMap<String, &PrivateRegistry> =
        pod_images(release).filter_map(|image| Some((image.domain().to_owned(), supply.stand_in(&image)?))).collect();
    all.extend(mirrored.map(|(name, registry)| (name.clone(), registry)));
    all.extend(own);
    all
}

fn pod_images(release: &Release) -> impl Iterator<Item = ImageReference> + use<> {
    let mut images = release.images.clone();
    let rows = images.rows().map(|(_, store, image)| (store, image.clone()));
    rows.into_iter().filter(|(store, _)| *store == ImageStore::Containerd).map(|(_, image)| image)
}

fn host_files(site: &Site<'_>, part: &mut Part, domain: &str, registry: &PrivateRegistry) {
    let folder = format!("{CONTAINERD_HOSTS}/{domain}");
    folders(part, &["/etc/containerd", CONTAINERD_HOSTS, &folder]);
    let authority = site.registry_authorities.get(&registry.host);
    if let Some(authority) = authority {
        part.file(format!("{folder}/ca.crt"), Owner::ROOT, 0o644, Content::Text(authority.clone()));
    }
    let certificates = authority.map(|_| format!("{folder}/ca.crt"));
    let text = host_file(domain, registry, certificates.as_deref());
    part.file(format!("{folder}/hosts.toml"), Owner::ROOT, 0o644, Content::Text(text));
}

/// containerd's `hosts.toml`. The server is the stand-in itself: a pull that fails there must not go to the original, which
/// would be shown the stand-in's password.
fn host_file(domain: &str, registry: &PrivateRegistry, certificates: Option<&str>) -> String {
    let scheme = if registry.plain_http { "http" } else { "https" };
    let host = if registry.host == HUB { "registry-1.docker.io" } else { &registry.host };
    // An image's name already holds the path where the registry stands for itself.
    let below = !registry.path.is_empty() && domain != registry.host;
    let path = if below { format!("/v2/{}", registry.path) } else { String::new() };
    let server = format!("{scheme}://{host}{path}");
    let mut table = toml_edit::Table::new();
    table["capabilities"] = toml_edit::value(["pull", "resolve"].into_iter().collect::<toml_edit::Array>());
    if let Some(certificates) = certificates {
        table["ca"] = toml_edit::value(certificates);
    }
    if below {
        table["override_path"] = toml_edit::value(true);
    }
    let mut hosts = toml_edit::Table::new();
    hosts.set_implicit(true);
    hosts[&server] = toml_edit::Item::Table(table);
    let mut document = toml_edit::DocumentMut::new();
    document["server"] = toml_edit::value(&server);
    document["host"] = toml_edit::Item::Table(hosts);
    format!("# Written by provision. Changes are found by the next `provision plan`.\n{document}")
}

/// Passwords by the registry that an image names, as Docker's client writes them.
fn logins(supply: &Supply, release: &Release) -> Map<String, Value> {
    let login = |(domain, registry): (String, &PrivateRegistry)| {
        let (user, password) = registry.credentials.as_ref()?;
        let mut text = format!("{user}:").into_bytes();
        text.extend_from_slice(password.expose());
        let name = if domain == HUB { HUB_LOGIN.to_owned() } else { domain };
        Some((name, json!({ "auth": STANDARD.encode(text) })))
    };
    stand_ins(supply, release).into_iter().filter_map(login).collect()
}

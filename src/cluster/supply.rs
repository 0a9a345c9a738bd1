//! Where images and files come from: registries, image names, download sites, proxies.

use std::path::PathBuf;

use crate::base::Secret;
use crate::config::{At, Config, Field, RegistryEntry, shown};
use crate::release::Images;
use crate::state::{ImageReference, ImageStore};

use super::checks::Checks;
use super::{Context, grammar};

/// Seconds without a byte after which a site or a registry counts as silent.
const TIMEOUT_SECONDS: u64 = 30;
const HUB: &str = "docker.io";

/// Where images and files come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Supply {
    /// `private_registries`, in the order of the file; at most one is the default.
    pub registries: Vec<PrivateRegistry>,
    /// `system_images` by key: names that are used as they are.
    pub images: Vec<(String, ImageReference)>,
    /// `downloads`.
    pub downloads: Downloads,
    /// `engine_proxy`.
    pub engine_proxy: EngineProxy,
}

/// An entry of `private_registries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateRegistry {
    /// Host, with its port if it has one: `registry.example:5000`.
    pub host: String,
    /// Path below which its images lie, without slashes at its ends; empty for none.
    pub path: String,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
    /// Whether system images come from it.
    pub is_default: bool,
    /// Registries in whose place it stands for pods.
    pub mirrors: Vec<String>,
    /// File with its authorities.
    pub ca_file: Option<PathBuf>,
    /// Whether it is talked to without TLS.
    pub plain_http: bool,
}

/// `downloads`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloads {
    /// Site of Kubernetes' programs; none for the official one.
    pub kubernetes: Option<String>,
    /// Site of the CNI plugins; none for the official one.
    pub cni: Option<String>,
    /// File with the authorities of the sites or of a proxy.
    pub ca_file: Option<PathBuf>,
    /// Seconds of silence after which a site or a registry is given up, from 1 to 3600.
    pub timeout_seconds: u64,
}

impl Default for Downloads {
    fn default() -> Self {
        Self { kubernetes: None, cni: None, ca_file: None, timeout_seconds: TIMEOUT_SECONDS }
    }
}

/// `engine_proxy`: for the engines on the hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineProxy {
    /// `http_proxy`; may hold a password.
    pub http: Option<Secret>,
    /// `https_proxy`; may hold a password.
    pub https: Option<Secret>,
    /// `no_proxy`.
    pub exceptions: Vec<String>,
}

impl EngineProxy {
    /// Whether anything goes through a proxy.
    pub fn is_set(&self) -> bool {
        self.http.is_some() || self.https.is_some()
    }
}

impl PrivateRegistry {
    /// Host and path, as names of images begin.
    pub fn prefix(&self) -> String {
        if self.path.is_empty() { self.host.clone() } else { format!("{}/{}", self.host, self.path) }
    }

    /// An image under its own path in this registry.
    pub fn name_of(&self, image: &ImageReference) -> ImageReference {
        ImageReference(format!("{}/{}", self.prefix(), image.path()))
    }
}

impl Supply {
    /// The registry that system images come from.
    pub fn default_registry(&self) -> Option<&PrivateRegistry> {
        self.registries.iter().find(|registry| registry.is_default)
    }

    /// The images of a version as this cluster names them: those of `system_images` as they are written, others that
    /// Docker runs under the default registry (Docker can mirror its own hub only), others of pods as the catalog has
    /// them (containerd is told where to go instead).
    pub fn names(&self, images: &Images) -> Images {
        let mut images = images.clone();
        for (key, store, image) in images.rows() {
            let written = self.images.iter().find(|(name, _)| name == key);
            match (written, self.default_registry()) {
                (Some((_, written)), _) => *image = written.clone(),
                (None, Some(registry)) if store == ImageStore::Docker => *image = registry.name_of(image),
                _ => {}
            }
        }
        images
    }

    /// Where an image is really pulled from: pods' images of a mirrored registry come from the mirror.
    pub fn source(&self, store: ImageStore, image: &ImageReference) -> ImageReference {
        match self.stand_in(image).filter(|_| store == ImageStore::Containerd) {
            Some(registry) => registry.name_of(image),
            None => image.clone(),
        }
    }

    /// The registry that stands in for the one that an image names: a mirror of it, else the default one for system
    /// images that are not written in `system_images` and not its own already.
    pub fn stand_in(&self, image: &ImageReference) -> Option<&PrivateRegistry> {
        let domain = image.domain();
        let mirror = self.registries.iter().find(|registry| registry.mirrors.iter().any(|name| name == domain));
        let written = self.images.iter().any(|(_, written)| written == image);
        let default = || self.default_registry().filter(|registry| !written && registry.host != domain);
        mirror.or_else(default)
    }

    /// What is written about a registry, by host.
    pub fn registry(&self, host: &str) -> Option<&PrivateRegistry> {
        self.registries.iter().find(|registry| registry.host == host)
    }
}

/// Reads all keys of this subject and checks their rules.
pub(super) fn supply(config: &Config, context: &Context, checks: &mut Checks) -> Supply {
    let entries = config.private_registries.value().map(Vec::as_slice).unwrap_or_default();
    let registries: Vec<PrivateRegistry> =
        entries.iter().filter_map(|entry| registry(entry, context, checks)).collect();
    check_registries(entries, checks);
    Supply {
        registries,
        images: images(config, checks),
        downloads: downloads(config, context, checks),
        engine_proxy: engine_proxy(config, checks),
    }
}

fn registry(entry: &RegistryEntry, context: &Context, checks: &mut Checks) -> Option<PrivateRegistry> {
    let url = match entry.url.written() {
        Some(url) => url.value.trim_end_matches('/').to_owned(),
        None => HUB.to_owned(),
    };
    let at = entry.url.written().map_or(entry.at, |url| url.at);
    if let Err(rule) = grammar::registry(&url) {
        let url = At { value: url, at };
        checks.fail(at, format!("{} is no registry", shown(&url)), rule);
        return None;
    }
    let (host, path) = url.split_once('/').unwrap_or((&url, ""));
    let plain_http = entry.plain_http.value().copied().unwrap_or(false);
    if let (true, Some(file)) = (plain_http, entry.ca_file.written()) {
        checks.fail(file.at, "`ca_file` and `plain_http` are both written", "without TLS there is no certificate");
    }
    Some(PrivateRegistry {
        host: host.to_owned(),
        path: path.to_owned(),
        credentials: credentials(entry, checks),
        is_default: entry.is_default.value().copied().unwrap_or(false),
        mirrors: mirrors(entry, checks),
        ca_file: path_of(&entry.ca_file, context, checks),
        plain_http,
    })
}

fn credentials(entry: &RegistryEntry, checks: &mut Checks) -> Option<(String, Secret)> {
    match (entry.user.written(), entry.password.written()) {
        (Some(user), Some(password)) => {
            // HTTP's Basic scheme ends the name at the first colon (RFC 7617).
            if user.value.contains(':') || user.value.chars().any(char::is_control) {
                checks.fail(user.at, format!("{} is no user of a registry", shown(user)), "a user has no colon");
            }
            Some((user.value.clone(), password.value.clone()))
        }
        (Some(user), None) if entry.password.is_missing() => {
            checks.fail(user.at, "this registry has a user and no password", "write both, or none");
            None
        }
        (None, Some(password)) if entry.user.is_missing() => {
            checks.fail(password.at, "this registry has a password and no user", "write both, or none");
            None
        }
        _ => None,
    }
}

fn mirrors(entry: &RegistryEntry, checks: &mut Checks) -> Vec<String> {
    let written = entry.mirrors.value().map(Vec::as_slice).unwrap_or_default();
    for name in written {
        if grammar::registry(&name.value).is_err() || name.value.contains('/') {
            checks.fail(
                name.at,
                format!("{} is no host of a registry", shown(name)),
                "write it as names of images begin, such as `docker.io` or `registry.k8s.io`",
            );
        }
    }
    written.iter().map(|name| name.value.clone()).collect()
}

/// Rules between entries.
fn check_registries(entries: &[RegistryEntry], checks: &mut Checks) {
    let mut hosts: Vec<&str> = Vec::new();
    let mut mirrored: Vec<&str> = Vec::new();
    let mut default = false;
    for entry in entries {
        let (url, at) = match entry.url.written() {
            Some(url) => (url.value.as_str(), url.at),
            None => (HUB, entry.at),
        };
        let host = url.split('/').next().unwrap_or(url);
        if hosts.contains(&host) {
            checks.fail(at, format!("the registry {host} is written twice"), "write one entry for each host");
        }
        hosts.push(host);
        if let Some(written) = entry.is_default.written().filter(|written| written.value) {
            if default {
                checks.fail(written.at, "two registries are the default", "write `is_default: true` in one of them");
            }
            default = true;
        }
        for name in entry.mirrors.value().map(Vec::as_slice).unwrap_or_default() {
            if mirrored.contains(&name.value.as_str()) {
                checks.fail(name.at, format!("{} has two mirrors", shown(name)), "name it in one entry");
            }
            mirrored.push(&name.value);
        }
    }
}

fn images(config: &Config, checks: &mut Checks) -> Vec<(String, ImageReference)> {
    let written = config.system_images.value().map(Vec::as_slice).unwrap_or_default();
    let mut images = Vec::new();
    for (key, name) in
        written.iter().filter(|(key, name)| Images::KEYS.contains(&key.value.as_str()) && !name.value.is_empty())
    {
        match grammar::image(&name.value) {
            Ok(()) => images.push((key.value.clone(), ImageReference::full(&name.value))),
            Err(rule) => checks.fail(name.at, format!("{} is no name of an image", shown(name)), rule),
        }
    }
    images
}

fn downloads(config: &Config, context: &Context, checks: &mut Checks) -> Downloads {
    let downloads = &config.downloads;
    let timeout = downloads.timeout.written();
    let seconds =
        timeout.and_then(|written| u64::try_from(written.value).ok()).filter(|seconds| (1..=3600).contains(seconds));
    if let (Some(written), None) = (timeout, seconds) {
        checks.fail(written.at, format!("{} is no time-out", written.value), "write seconds, from 1 to 3600");
    }
    Downloads {
        kubernetes: site(&downloads.kubernetes, checks),
        cni: site(&downloads.cni, checks),
        ca_file: path_of(&downloads.ca_file, context, checks),
        timeout_seconds: seconds.unwrap_or(TIMEOUT_SECONDS),
    }
}

fn site(field: &Field<String>, checks: &mut Checks) -> Option<String> {
    let written = field.written()?;
    if let Err(rule) = grammar::site(&written.value) {
        // What is no address may still hold a password.
        checks.fail(written.at, "this is no address of a download site", rule);
    }
    Some(written.value.trim_end_matches('/').to_owned())
}

fn engine_proxy(config: &Config, checks: &mut Checks) -> EngineProxy {
    let proxy = &config.engine_proxy;
    let mut address = |field: &Field<String>| {
        let written = field.written()?;
        if let Err(rule) = grammar::site(&written.value) {
            checks.fail(written.at, "this is no address of a proxy", rule);
        }
        Some(Secret::new(written.value.as_str()))
    };
    let (http, https) = (address(&proxy.http_proxy), address(&proxy.https_proxy));
    let exceptions = proxy.no_proxy.value().map(Vec::as_slice).unwrap_or_default();
    for name in exceptions {
        if let Err(rule) = grammar::proxy_exception(&name.value) {
            checks.fail(name.at, format!("{} is no exception from a proxy", shown(name)), rule);
        }
    }
    EngineProxy { http, https, exceptions: exceptions.iter().map(|name| name.value.clone()).collect() }
}

fn path_of(field: &Field<String>, context: &Context, checks: &mut Checks) -> Option<PathBuf> {
    checks.grammar(field, "path of a file", grammar::path).and_then(|path| context.resolve(path))
}

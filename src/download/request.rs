//! What is fetched, and from where.

use std::fmt;

use crate::base::{Digest, KubernetesVersion};
use crate::web::{BaseUrl, WebUrl};

/// Where Kubernetes publishes its binaries.
pub const KUBERNETES_SITE: &str = "https://dl.k8s.io/release";
/// Where the CNI project publishes its plugins.
pub const CNI_SITE: &str = "https://github.com/containernetworking/plugins/releases/download";

/// Both publish `<file>.sha256` beside each file: Kubernetes with the digits alone, CNI as `sha256sum` prints them.
const CHECKSUM: &str = ".sha256";

/// A file at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadRequest {
    /// Short name, such as `kubelet`.
    pub name: String,
    /// Version, such as `v1.34.1`.
    pub version: String,
    /// Where it is.
    pub url: WebUrl,
    /// What its bytes must be.
    pub checksum: Checksum,
}

/// Who says what a file's bytes must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// Locked before: nobody is asked.
    Known(Digest),
    /// A file at the site that holds the digest.
    Beside(WebUrl),
}

impl DownloadRequest {
    /// The same file with a digest that was locked before.
    #[must_use]
    pub fn locked(self, digest: Digest) -> Self {
        Self { checksum: Checksum::Known(digest), ..self }
    }
}

impl fmt::Display for DownloadRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// A binary of Kubernetes for Linux, such as `kubelet`. `architecture` is in Go's words (`amd64`).
pub fn kubernetes_file(base: &BaseUrl, version: &KubernetesVersion, architecture: &str, name: &str) -> DownloadRequest {
    let version = version.to_string();
    let url = base.join(&[&version, "bin", "linux", architecture, name]);
    beside(name, version, url)
}

/// The archive with the CNI plugins for Linux. `version` is like `v1.6.2`, `architecture` in Go's words (`amd64`).
pub fn cni_plugins(base: &BaseUrl, version: &str, architecture: &str) -> DownloadRequest {
    let url = base.join(&[version, &format!("cni-plugins-linux-{architecture}-{version}.tgz")]);
    beside("cni-plugins", version.to_owned(), url)
}

/// A text with objects of the API at an address of the operator's.
pub fn addon(url: WebUrl) -> DownloadRequest {
    beside("add-on", url.to_string(), url)
}

fn beside(name: &str, version: String, url: WebUrl) -> DownloadRequest {
    let checksum = Checksum::Beside(url.beside(CHECKSUM));
    DownloadRequest { name: name.to_owned(), version, url, checksum }
}

//! Container images.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::Digest;

/// An image's full name with its tag, such as `registry.k8s.io/pause:3.10.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageReference(pub String);

impl ImageReference {
    /// The tag, or an empty text where none is written.
    pub fn tag(&self) -> &str {
        match self.0.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => tag,
            _ => "",
        }
    }

    /// The name without its tag.
    pub fn repository(&self) -> &str {
        self.0.strip_suffix(self.tag()).and_then(|name| name.strip_suffix(':')).unwrap_or(&self.0)
    }
}

impl ImageReference {
    /// A name as people write it, with everything that they may leave out: Docker's hub and its `library`.
    pub fn full(text: &str) -> Self {
        match text.split_once('/') {
            Some((domain, _)) if is_domain(domain) => Self(text.to_owned()),
            Some(_) => Self(format!("docker.io/{text}")),
            None => Self(format!("docker.io/library/{text}")),
        }
    }

    /// The registry that it names.
    pub fn domain(&self) -> &str {
        match self.0.split_once('/') {
            Some((domain, _)) if is_domain(domain) => domain,
            _ => "docker.io",
        }
    }

    /// Everything after the registry: path and tag.
    pub fn path(&self) -> &str {
        match self.0.split_once('/') {
            Some((domain, path)) if is_domain(domain) => path,
            _ => &self.0,
        }
    }
}

/// What tells a registry from the first part of a path, as all engines do.
fn is_domain(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

impl fmt::Display for ImageReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An image by name and by content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageIdentity {
    /// The name under which it is pulled or loaded.
    pub reference: ImageReference,
    /// What the store calls its id: the config digest in Docker's classic store.
    pub id: Digest,
}

/// The two stores of a host, which share no images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageStore {
    /// Docker's own: system containers.
    Docker,
    /// containerd's namespace `k8s.io`: pods.
    Containerd,
}

impl fmt::Display for ImageStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Docker => "Docker",
            Self::Containerd => "containerd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_engines_complete_them() {
        for (written, full, domain, path) in [
            ("haproxy:2.8", "docker.io/library/haproxy:2.8", "docker.io", "library/haproxy:2.8"),
            ("rancher/pause:3", "docker.io/rancher/pause:3", "docker.io", "rancher/pause:3"),
            ("r.example:5000/a/b:1", "r.example:5000/a/b:1", "r.example:5000", "a/b:1"),
            ("localhost/b:1", "localhost/b:1", "localhost", "b:1"),
        ] {
            let image = ImageReference::full(written);
            assert_eq!((image.0.as_str(), image.domain(), image.path()), (full, domain, path));
        }
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(ImageReference("registry.example:5000/pause".into()).tag(), "");
        assert_eq!(ImageReference("registry.example:5000/pause:3.10".into()).tag(), "3.10");
        for name in ["registry.example:5000/pause", "registry.example:5000/pause:3.10"] {
            assert_eq!(ImageReference(name.into()).repository(), "registry.example:5000/pause");
        }
    }
}

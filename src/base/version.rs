//! Kubernetes versions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a Kubernetes version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a Kubernetes version; write it like v1.34.1")]
pub struct InvalidVersion(pub String);

/// A Kubernetes minor, such as 1.34: a row of the release catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Minor(pub u64);

impl fmt::Display for Minor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}", self.0)
    }
}

impl TryFrom<String> for Minor {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        let number = text.strip_prefix("1.").and_then(|number| number.parse().ok());
        number.map(Self).ok_or(InvalidVersion(text))
    }
}

impl From<Minor> for String {
    fn from(minor: Minor) -> Self {
        minor.to_string()
    }
}

/// A full Kubernetes version. RKE's suffix (`-rancher2-2`) is accepted on reading and dropped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesVersion(semver::Version);

impl KubernetesVersion {
    /// Reads `v1.34.1`, `1.34.1` or RKE's `v1.20.15-rancher2-2`.
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = || InvalidVersion(text.to_owned());
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.split_once("-rancher").map_or(plain, |(version, _)| version);
        let version = semver::Version::parse(plain).map_err(|_| invalid())?;
        if version.major != 1 || !version.pre.is_empty() || !version.build.is_empty() {
            return Err(invalid());
        }
        Ok(Self(version))
    }

    /// The minor that this is a patch of.
    pub fn minor(&self) -> Minor {
        Minor(self.0.minor)
    }

    /// The patch number.
    pub fn patch(&self) -> u64 {
        self.0.patch
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}", self.0)
    }
}

impl TryFrom<String> for KubernetesVersion {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        Self::parse(&text)
    }
}

impl From<KubernetesVersion> for String {
    fn from(version: KubernetesVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_upstream_and_rke_spelling() {
        for text in ["v1.20.15", "1.20.15", "v1.20.15-rancher2-2"] {
            let version = KubernetesVersion::parse(text).unwrap();
            assert_eq!(version.to_string(), "v1.20.15");
            assert_eq!(version.minor(), Minor(20));
        }
    }

    #[test]
    fn refuses_what_is_no_release() {
        for text in ["", "v1.34", "latest", "v2.0.0", "v1.34.0-alpha.1", "1.34.1; reboot"] {
            assert!(KubernetesVersion::parse(text).is_err(), "{text}");
        }
    }
}

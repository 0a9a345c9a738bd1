//! Keys and certificates as they are stored.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::leaf::Authority;
use crate::base::{NodeName, Secret};

/// Everything that is stored, by name. Authorities come first in this order, so that a store which writes entry by
/// entry never holds a leaf without the authority that signed it.
pub type Material = BTreeMap<MaterialName, MaterialEntry>;

/// One stored key, with its certificate where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaterialEntry {
    /// PEM; none for the service account key and the encryption key.
    pub certificate: Option<String>,
    /// Always text: PKCS#8 PEM, or base64 for the encryption key.
    pub key: Secret,
}

/// Why a text names no material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name a key or certificate; names look like `node/h1/kubelet-client`")]
pub struct InvalidMaterialName(pub String);

/// The path-like name of a stored key: `authority/cluster`, `encryption/k20261123`, `service/metrics-server`,
/// `node/h1/kubelet-client`, `service-account`. It is safe to use as a relative path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaterialName(String);

impl MaterialName {
    /// Reads a name; parts between slashes are lower-case letters, digits, `-` and inner dots.
    pub fn parse(text: &str) -> Result<Self, InvalidMaterialName> {
        let well_formed = text.split('/').all(Self::is_part);
        if well_formed { Ok(Self(text.to_owned())) } else { Err(InvalidMaterialName(text.to_owned())) }
    }

    fn is_part(part: &str) -> bool {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
    }

    /// An authority's name.
    pub fn authority(authority: Authority) -> Self {
        Self(format!("authority/{}", authority.word()))
    }

    /// Whether it names an authority.
    pub fn is_authority(&self) -> bool {
        self.0.starts_with("authority/")
    }

    /// The name of the key that signs service account tokens.
    pub fn service_account() -> Self {
        Self("service-account".into())
    }

    /// The name of a node's certificate.
    pub(super) fn leaf(node: &NodeName, kind: &str) -> Self {
        Self(format!("node/{node}/{kind}"))
    }

    /// The name of the certificate with which a Service of the cluster answers the apiserver.
    pub(super) fn service(service: &str) -> Self {
        Self(format!("service/{service}"))
    }

    /// The name of an encryption key.
    pub(super) fn encryption(key_name: &str) -> Self {
        Self(format!("encryption/{key_name}"))
    }

    /// The encryption key's own name, where this names one.
    pub(super) fn as_encryption(&self) -> Option<&str> {
        self.0.strip_prefix("encryption/")
    }

    /// The kind of a node's certificate, where this names one.
    pub(super) fn as_leaf_kind(&self) -> Option<&str> {
        let (_, kind) = self.0.strip_prefix("node/")?.split_once('/')?;
        Some(kind)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MaterialName {
    type Error = InvalidMaterialName;

    fn try_from(text: String) -> Result<Self, InvalidMaterialName> {
        Self::parse(&text)
    }
}

impl From<MaterialName> for String {
    fn from(name: MaterialName) -> Self {
        name.0
    }
}

impl fmt::Display for MaterialName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for MaterialName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["authority/cluster", "node/172.30.0.11/apiserver", "service-account"] {
            assert!(MaterialName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/etc", "a//b", "../a", "node/../a", "a/", "A", "a b"] {
            assert!(MaterialName::parse(bad).is_err(), "{bad}");
        }
    }
}

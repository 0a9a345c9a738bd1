//! Names and counters as types of their own, so that one cannot stand in for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid node name: {reason}")]
pub struct InvalidName {
    /// The text that was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A Kubernetes node's name: a DNS-1123 subdomain, in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// Checks the rules of a DNS-1123 subdomain (RFC 1123; at most 253 characters, labels of at most 63).
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        match Self::problem(&text) {
            None => Ok(Self(text)),
            Some(reason) => Err(InvalidName { text, reason }),
        }
    }

    fn problem(text: &str) -> Option<&'static str> {
        if text.is_empty() || text.len() > 253 {
            return Some("it must have 1 to 253 characters");
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Some("each part between dots must have 1 to 63 characters");
            }
            if !label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
                return Some("only lower-case letters, digits, `-` and `.` are allowed");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return Some("no part may begin or end with `-`");
            }
        }
        None
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The fencing number that every change of a host carries.
///
/// Constant until leases exist; a host refuses a change whose epoch is not the one that it was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of every run as long as no lease raises it.
    pub const FIRST: Self = Self(1);
}

/// One run of the tool, named by its start (UTC) and random digits, so that names sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A step's stable name: host or `cluster`, kind, object. Equal input gives equal ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId(pub String);

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_follow_rfc_1123() {
        for good in ["h1", "node-1.example.org", "172.30.0.11"] {
            assert!(NodeName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "H1", "-a", "a-", "a..b", "a;b", "a b", "$(reboot)"] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
    }
}

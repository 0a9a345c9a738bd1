//! Content digests.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written `sha256:<64 hexadecimal digits>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Digests bytes.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(format!("sha256:{}", hex::encode(Sha256::digest(bytes))))
    }

    /// Takes the result of a hash that was fed piece by piece.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self(format!("sha256:{}", hex::encode(hash)))
    }

    /// Reads `sha256:<hex>` or bare hexadecimal digits, as `sha256sum` prints them.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = text.strip_prefix("sha256:").unwrap_or(text);
        let well_formed = hexadecimal.len() == 64
            && hexadecimal.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        well_formed.then(|| Self(format!("sha256:{hexadecimal}")))
    }

    /// The digits without the algorithm.
    pub fn hexadecimal(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The first twelve digits: enough for a path or a label that people read.
    pub fn short(&self) -> &str {
        &self.hexadecimal()[..12]
    }

    /// The whole text, with the algorithm.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a SHA-256 digest"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_nothing_is_the_published_one() {
        assert_eq!(Digest::of("").as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn other_text_is_no_digest() {
        assert!(Digest::parse("sha256:abc").is_none());
        assert!(Digest::parse(&"Z".repeat(64)).is_none());
        assert!(Digest::parse(&"a".repeat(64)).is_some());
    }
}

//! Bytes that must never be shown.

use std::fmt;

use zeroize::Zeroizing;

use super::Digest;

/// Secret bytes: no `Display`, a `Debug` without content, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes bytes over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Shows the bytes to code that must write or send them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Digest of the bytes. It may be shown only for keys and certificates, whose entropy makes it useless to a guesser.
    pub fn digest(&self) -> Digest {
        Digest::of(self.expose())
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({} bytes)", self.0.len())
    }
}

//! What can go wrong with keys and certificates.

use super::{KeyMakerError, MaterialName};

/// A failure over stored or new material. Each variant names the material; none shows a key.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// An authority's key is gone while certificates signed by it exist.
    #[error(
        "`{name}` is missing from the state, but `{leaf}` was signed by it; a second authority is never made over a \
         living cluster: put the state folder back from a backup"
    )]
    AuthorityLost {
        /// The authority.
        name: MaterialName,
        /// A certificate that exists.
        leaf: MaterialName,
    },
    /// A key that a living cluster depends on is gone.
    #[error(
        "`{name}` is missing from the state of a cluster that has run with it: put the state folder back from a backup"
    )]
    Lost {
        /// The key.
        name: MaterialName,
    },
    /// A stored key or certificate cannot be used.
    #[error("`{name}` in the state cannot be used: {reason}; put it back from a backup of the state folder")]
    Unusable {
        /// The key or certificate.
        name: MaterialName,
        /// What is wrong with it.
        reason: String,
    },
    /// An authority's certificate has run out.
    #[error("`{name}` ran out on {date}: nothing can be signed by it any more; the authority must be replaced")]
    AuthorityExpired {
        /// The authority.
        name: MaterialName,
        /// Its last day, UTC.
        date: String,
    },
    /// No key could be made.
    #[error("no key for `{name}` could be made")]
    NoKey {
        /// What the key is for.
        name: String,
        /// The maker's words.
        source: KeyMakerError,
    },
    /// A certificate could not be signed.
    #[error("the certificate `{name}` could not be signed")]
    Signing {
        /// What the certificate is for.
        name: String,
        /// rcgen's words.
        source: rcgen::Error,
    },
}

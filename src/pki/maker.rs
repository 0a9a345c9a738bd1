//! Where randomness enters.

use crate::base::Secret;

/// Why no key could be made.
#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed: {0}")]
pub struct KeyMakerError(pub String);

/// Makes what only randomness can make, so that everything else stays pure.
pub trait KeyMaker {
    /// A new ECDSA P-256 private key, PKCS#8 PEM.
    fn p256(&mut self) -> Result<Secret, KeyMakerError>;

    /// Fills a buffer with random bytes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), KeyMakerError>;
}

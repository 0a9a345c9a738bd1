//! The one place where randomness comes from.

use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::base::Secret;
use crate::pki::{KeyMaker, KeyMakerError};

/// Makes keys from the system's random number generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomKeyMaker;

impl KeyMaker for RandomKeyMaker {
    fn p256(&mut self) -> Result<Secret, KeyMakerError> {
        let key = rcgen::KeyPair::generate().map_err(|error| KeyMakerError(error.to_string()))?;
        Ok(Secret::new(key.serialize_pem()))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), KeyMakerError> {
        OsRng.try_fill_bytes(buffer).map_err(|error| KeyMakerError(error.to_string()))
    }
}

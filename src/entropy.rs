//! The one place where randomness comes from.

use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::base::{RunId, Secret};
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

/// A run's name: the time of its start (UTC, to the second) and 24 random bits, `20261125T213000Z-1a2b3c`.
///
/// # Errors
///
/// The system has no randomness to give.
pub fn run_id(start: jiff::Timestamp) -> Result<RunId, KeyMakerError> {
    let mut random = [0; 3];
    RandomKeyMaker.fill(&mut random)?;
    Ok(RunId(format!("{}-{}", start.strftime("%Y%m%dT%H%M%SZ"), hex::encode(random))))
}

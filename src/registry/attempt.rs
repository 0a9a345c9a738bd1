//! Trying again what failed for a reason that may pass.

use std::time::Duration;

use super::{RegistryError, RegistrySettings};

/// Why one try did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again would end the same way.
    Final(RegistryError),
    /// It may pass.
    Passing {
        /// What is told if it does not.
        error: RegistryError,
        /// How long the registry asks to wait.
        pause: Option<Duration>,
    },
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::Final(error)
    }
}

/// How often, and with which pauses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    retries: u32,
    first_pause: Duration,
    longest_pause: Duration,
}

impl Patience {
    pub fn of(settings: &RegistrySettings) -> Self {
        let RegistrySettings { retries, first_pause, longest_pause, .. } = settings;
        Self { retries: *retries, first_pause: *first_pause, longest_pause: *longest_pause }
    }

    /// Begins to count tries.
    pub fn tries(self) -> Tries {
        Tries { patience: self, tries: 0 }
    }

    /// How long to wait after so many tries; nothing if there is no sense in waiting.
    fn pause(&self, tries: u32, asked: Option<Duration>) -> Option<Duration> {
        if tries > self.retries || asked.is_some_and(|asked| asked > self.longest_pause) {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1_u32.checked_shl(tries - 1).unwrap_or(u32::MAX));
        Some(asked.unwrap_or(doubled).min(self.longest_pause))
    }
}

/// Tries so far. Who tries loops itself: a closure that borrows what it fills could not be sent between threads.
#[derive(Debug)]
pub(super) struct Tries {
    patience: Patience,
    tries: u32,
}

impl Tries {
    /// One more has failed: waits until the next, or gives the error that ends it.
    pub async fn failed(&mut self, failure: Failure) -> Result<(), RegistryError> {
        self.tries += 1;
        let (error, asked) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { error, pause } => (error, pause),
        };
        match self.patience.pause(self.tries, asked) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(counted(error, self.tries, asked)),
        }
        Ok(())
    }
}

/// The last failure, with how often there was one.
fn counted(mut error: RegistryError, all: u32, asked: Option<Duration>) -> RegistryError {
    match &mut error {
        RegistryError::Broken { tries, .. } => *tries = all,
        RegistryError::Busy { tries, reason, .. } => {
            *tries = all;
            if let Some(asked) = asked {
                reason.push_str(&format!(", asking to wait {} s,", asked.as_secs()));
            }
        }
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { retries: 3, first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(3) };

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<_> = (1..=4).map(|tries| PATIENCE.pause(tries, None).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn a_registry_that_names_a_time_is_obeyed_unless_it_is_too_long() {
        assert_eq!(PATIENCE.pause(3, Some(Duration::ZERO)), Some(Duration::ZERO));
        assert_eq!(PATIENCE.pause(1, Some(Duration::from_secs(3))), Some(Duration::from_secs(3)));
        assert_eq!(PATIENCE.pause(1, Some(Duration::from_secs(4))), None);
    }
}

//! How often, and after how long, a site is asked again.

use std::time::Duration;

use super::WebSettings;

/// A longer pause than this helps no site, and a person watches.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a site may ask for; sites whose window is longer are given up.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Counts the repetitions of one request. Sleeping is left to who asks.
#[derive(Debug, Clone)]
pub struct Patience {
    retries: u32,
    used: u32,
    first_pause: Duration,
}

impl Patience {
    /// Begins with as many repetitions as the settings give.
    pub fn new(settings: &WebSettings) -> Self {
        Self { retries: settings.retries, used: 0, first_pause: settings.first_pause }
    }

    /// Something was gained: counting begins anew.
    pub fn renew(&mut self) {
        self.used = 0;
    }

    /// How often it was asked in a row for nothing.
    pub fn tries(&self) -> u32 {
        self.used + 1
    }

    /// The pause before the next repetition: what the site asked for, at most a minute, or a growing one. None when it is
    /// time to give up.
    pub fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.used >= self.retries {
            return None;
        }
        let own = self.first_pause.saturating_mul(2_u32.saturating_pow(self.used)).min(LONGEST_PAUSE);
        self.used += 1;
        // A site that asks for no pause at all gets ours, so that it is never hammered.
        Some(asked.map_or(own, |asked| asked.min(LONGEST_ASKED).max(own)))
    }
}

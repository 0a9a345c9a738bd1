//! Certificates that are made anew.

use std::fmt;

use zeroize::Zeroizing;

use super::{MaterialEntry, MaterialName};
use crate::base::Digest;

/// What becomes of a certificate that exists but no longer fits or runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The cluster has never run: it is made anew, as nothing uses it.
    Make,
    /// The cluster has run: it is made anew and reported, because what uses it must be replaced.
    Renew,
    /// Only what is missing is made: the keys are needed for something else than a run of `up`.
    Keep,
}

/// A certificate of a cluster that has run, and that was made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalDue {
    /// Which.
    pub name: MaterialName,
    /// Why.
    pub reason: RenewalReason,
    /// What files hold that were written of the old one: the certificate, the key, and both.
    was: [Digest; 3],
}

impl RenewalDue {
    pub(super) fn new(name: MaterialName, reason: RenewalReason, old: &MaterialEntry) -> Self {
        let certificate = old.certificate.as_deref().unwrap_or_default().as_bytes();
        let key = old.key.expose();
        let both = Zeroizing::new([certificate, key].concat());
        let was = [Digest::of(certificate), Digest::of(key), Digest::of(both)];
        Self { name, reason, was }
    }

    /// Whether a file with this content was written of the old certificate.
    pub fn explains(&self, content: &Digest) -> bool {
        self.was.contains(content)
    }
}

impl fmt::Display for RenewalDue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "certificate {} {}", self.name, self.reason)
    }
}

/// Why a certificate is renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenewalReason {
    /// It says something else than the cluster needs; the text tells the difference.
    Outdated(String),
    /// Less than a third of its life is left: so many days, negative when it has run out.
    RunsOut {
        /// Days left.
        days: i64,
    },
}

impl fmt::Display for RenewalReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outdated(difference) => formatter.write_str(difference),
            Self::RunsOut { days } if *days < 0 => formatter.write_str("has expired"),
            Self::RunsOut { days: 1 } => formatter.write_str("expires in 1 day, under a third of its life"),
            Self::RunsOut { days } => write!(formatter, "expires in {days} days, under a third of its life"),
        }
    }
}

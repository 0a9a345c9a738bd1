//! What a certificate says: the part that is compared.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Seconds by which certificates begin in the past, so that a host whose clock is a little behind accepts them.
const BACKDATE_SECONDS: i64 = 5 * 60;

/// Whom a certificate names. Kubernetes reads the common name as the user and the organization as its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// CN.
    pub common_name: String,
    /// O.
    pub organization: Option<String>,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// TLS client.
    Client,
    /// TLS server.
    Server,
    /// Both: etcd's ports, whose gateway is a client of its own server.
    ServerAndClient,
}

/// A name under which a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlternativeName {
    /// IP address.
    Address(IpAddr),
    /// DNS name.
    Name(String),
}

impl AlternativeName {
    /// An address where the text is one, else a name.
    pub fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address)
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// Everything that a leaf certificate says besides its validity and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whom it names.
    pub subject: Subject,
    /// What it is for.
    pub usage: Usage,
    /// Under which names it serves; empty for clients.
    pub names: BTreeSet<AlternativeName>,
}

impl Profile {
    /// What must change in this profile to become `wanted`; `None` where they are equal.
    pub fn difference(&self, wanted: &Self) -> Option<String> {
        let mut parts = Vec::new();
        if self.subject != wanted.subject {
            parts.push(format!("names {} instead of {}", self.subject, wanted.subject));
        }
        if self.usage != wanted.usage {
            parts.push(format!("is for {:?} instead of {:?}", self.usage, wanted.usage));
        }
        for missing in wanted.names.difference(&self.names) {
            parts.push(format!("lacks {missing}"));
        }
        for foreign in self.names.difference(&wanted.names) {
            parts.push(format!("still names {foreign}"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CN={}", self.common_name)?;
        match &self.organization {
            Some(organization) => write!(formatter, ", O={organization}"),
            None => Ok(()),
        }
    }
}

/// From when until when a certificate is valid, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: i64,
    /// Last second.
    pub not_after: i64,
}

impl Validity {
    /// Valid from a few minutes ago until `lifetime` seconds from `now`.
    pub fn starting(now: i64, lifetime: i64) -> Self {
        Self { not_before: now - BACKDATE_SECONDS, not_after: now + lifetime }
    }

    /// The same, but not longer than `other`.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self { not_after: self.not_after.min(other.not_after), ..self }
    }

    /// Seconds that are left, negative when over.
    pub fn left(self, now: i64) -> i64 {
        self.not_after - now
    }

    /// Whether less than a third of the whole time is left.
    pub fn is_in_last_third(self, now: i64) -> bool {
        self.left(now) < (self.not_after - self.not_before) / 3
    }
}

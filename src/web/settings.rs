//! How this machine asks sites.

use std::fmt;
use std::time::Duration;

use super::ProxySettings;

/// The key of `cluster.yml` that sets [`WebSettings::connect_timeout`] and [`WebSettings::idle_timeout`], for messages.
pub const TIMEOUT_KEY: &str = "downloads.timeout";
/// The key of `cluster.yml` that adds to [`WebSettings::extra_authorities`], for messages.
pub const AUTHORITIES_KEY: &str = "downloads.ca_file";

/// Everything that a client needs to know besides the address. Holds no client's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// Who is asked in a site's stead.
    pub proxy: ProxySettings,
    /// Certificate authorities that are trusted besides those of Mozilla's list and of this machine.
    pub extra_authorities: Vec<Authority>,
    /// Longest time for name look-up, connection, proxy and TLS handshake together.
    pub connect_timeout: Duration,
    /// Longest time without a byte, both before an answer begins and inside it.
    pub idle_timeout: Duration,
    /// How often in a row a request is repeated that gained nothing; 0 for never.
    pub retries: u32,
    /// Pause before the first repetition; each further one is twice as long, up to half a minute.
    pub first_pause: Duration,
}

impl Default for WebSettings {
    /// No proxy and no extra authority, 15 s for connecting, 60 s without a byte, 4 repetitions after 1, 2, 4 and 8 s.
    fn default() -> Self {
        Self {
            proxy: ProxySettings::default(),
            extra_authorities: Vec::new(),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            retries: 4,
            first_pause: Duration::from_secs(1),
        }
    }
}

/// A certificate authority, or several in one text.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// Where the text is from, such as a file's path.
    pub origin: String,
    /// Certificates in PEM.
    pub pem: String,
}

impl fmt::Debug for Authority {
    /// Shows the origin only: such files hold a private key at times.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Authority({})", self.origin)
    }
}

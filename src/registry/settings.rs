//! How registries are reached: plain values from the configuration and the environment.

use std::time::Duration;

use crate::base::Secret;
use crate::web::ProxySettings;

/// A registry that needs more than its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAccess {
    /// Name with port as image names have it, such as `registry.lab:5000` or `docker.io`.
    pub host: String,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
    /// Certificates (PEM) of authorities that are trusted for this registry, beside those of the system.
    pub authority: Option<String>,
    /// Speak HTTP without TLS. Whoever is on the way reads the password and can replace tags, though not what a digest names.
    pub plain_http: bool,
}

/// Everything that a run knows about registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Those that need more than their name; all others are asked without a password and trusted as the system trusts them.
    pub accesses: Vec<RegistryAccess>,
    /// Proxies of this machine.
    pub proxy: ProxySettings,
    /// Time for the name, TCP and TLS together.
    pub connect_timeout: Duration,
    /// A registry that is silent for this long, before or within an answer, is given up.
    pub answer_timeout: Duration,
    /// How often a request is repeated that failed for a reason that may pass.
    pub retries: u32,
    /// The pause before the first repetition, doubled for each further one; a registry that names a time is obeyed instead.
    pub first_pause: Duration,
    /// The longest pause; a registry that wants a longer one is given up at once.
    pub longest_pause: Duration,
}

impl Default for RegistrySettings {
    /// Public registries, no proxy; five tries within 15 s.
    fn default() -> Self {
        Self {
            accesses: Vec::new(),
            proxy: ProxySettings::default(),
            connect_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(30),
            retries: 4,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::ProxyUrl;

    #[test]
    fn nothing_secret_shows_in_debugging_output() {
        let credentials = Some(("robot".to_owned(), Secret::new("hunter2")));
        let access = RegistryAccess { host: "r".into(), credentials, authority: None, plain_http: false };
        let https = ProxyUrl::parse("HTTPS_PROXY", "http://user:hunter2@proxy:3128").unwrap();
        let proxy = ProxySettings { https: Some(https), ..ProxySettings::default() };
        let settings = RegistrySettings { accesses: vec![access], proxy, ..RegistrySettings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}

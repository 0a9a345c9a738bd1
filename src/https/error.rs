//! What can go wrong with a request, apart from what the server says.

use std::error::Error;
use std::time::Duration;

/// A failure below the level of HTTP. Whoever asked knows host and operation and adds them.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// Certificates or keys of ours cannot be used.
    #[error("the certificates for the connection cannot be used: {0}")]
    Settings(String),
    /// The two sides do not trust each other.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The connection could not be made or broke.
    #[error("{0}")]
    Transport(String),
    /// The server took too long.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl HttpsError {
    /// Finds TLS's own words below those of whoever used TLS: a server refuses a client's certificate only after the
    /// handshake, so that it shows as a broken connection.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        let mut deepest = error.to_string();
        while let Some(current) = next {
            if let Some(tls) = tls_error(current) {
                return Self::Tls(tls.clone());
            }
            deepest = current.to_string();
            next = current.source();
        }
        Self::Transport(deepest)
    }
}

/// `io::Error` does not show the error that it wraps as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(wrapper) = error.downcast_ref::<std::io::Error>() {
        return wrapper.get_ref().and_then(|inner| tls_error(inner));
    }
    error.downcast_ref()
}

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
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        let mut deepest = error.to_string();
        while let Some(current) = next {
            if let Some(tls) = tls_error(current) {
                return Self::Tls(tls.clone());
            }
            deepest = words(current);
            next = current.source();
        }
        Self::Transport(deepest)
    }
}

/// rustls explains a connection that ends without farewell with an address of its manual.
fn words(error: &(dyn Error + 'static)) -> String {
    let ended = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
    if error.downcast_ref().is_some_and(ended) { "the connection was closed".to_owned() } else { error.to_string() }
}

/// `io::Error` does not show the error that it wraps as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(wrapper) = error.downcast_ref::<std::io::Error>() {
        return wrapper.get_ref().and_then(|inner| tls_error(inner));
    }
    error.downcast_ref()
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    #[test]
    fn a_connection_that_just_ends_is_no_riddle() {
        let error = io::Error::new(ErrorKind::UnexpectedEof, "peer closed connection, see https://example.org");
        assert_eq!(HttpsError::of(&error).to_string(), "the connection was closed");
        let other = io::Error::new(ErrorKind::ConnectionReset, "connection reset by peer");
        assert_eq!(HttpsError::of(&other).to_string(), "connection reset by peer");
    }
}

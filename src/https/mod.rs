//! Requests over one TLS connection on any byte stream.
//!
//! HTTP/2 only: many requests run at once on one connection, so that a look costs one handshake. The stream is a
//! channel through a host; nothing here knows that.

mod connection;
mod error;
mod meter;
mod tls;

pub use connection::{Answer, Connection};
pub use error::HttpsError;
pub use meter::Meter;
pub use tls::ClientTls;

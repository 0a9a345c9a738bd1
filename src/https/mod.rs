//! Requests over one TLS connection on any byte stream.
//!
//! HTTP/2 only: many requests run at once on one connection, so that a look costs one handshake. The stream is a
//! channel through a host; nothing here knows that. [`plain_get`] is for servers that have no certificate: test pods.

mod connection;
mod error;
mod meter;
mod plain;
mod tls;

pub use connection::{Answer, Connection};
pub use error::HttpsError;
pub use meter::Meter;
pub use plain::plain_get;
pub use tls::ClientTls;

//! Requests of this machine to sites: one HTTP(S) client with the operator's proxies, authorities and patience.
//!
//! What it is told stands in [`WebSettings`], plain values that any other client can be made from. No address is ever shown
//! with its user and password.

mod answer;
mod base_url;
mod client;
mod error;
mod patience;
mod proxy;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod web_url;

pub use answer::Answer;
pub use base_url::BaseUrl;
pub use client::{Rest, Web};
pub use error::WebError;
pub use patience::Patience;
pub use proxy::{ProxySettings, ProxyUrl};
pub use settings::{AUTHORITIES_KEY, Authority, TIMEOUT_KEY, WebSettings};
pub use web_url::{InvalidUrl, WebUrl};

pub(crate) use tls::{system_authorities, trusting};

//! Addresses under which a site has its files.

use std::fmt;

use super::{InvalidUrl, WebUrl};

/// The beginning of the addresses of a site's files: `http` or `https`, no query. It is shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(WebUrl);

impl BaseUrl {
    /// Reads an address. A `/` at the end makes no difference.
    ///
    /// # Errors
    /// What [`WebUrl::parse`] refuses, and a query.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let url = WebUrl::parse(text)?;
        if url.url().query().is_some() {
            let reason = "names of files are added to it, so it can hold no `?`".to_owned();
            return Err(InvalidUrl { text: url.to_string(), reason });
        }
        let mut plain = url.url().clone();
        plain.set_path(url.url().path().trim_end_matches('/'));
        Ok(Self(WebUrl::of(plain)))
    }

    /// The address of what lies below, one part of the path after the other; whatever is special in a part is escaped.
    pub fn join(&self, parts: &[&str]) -> WebUrl {
        let mut url = self.0.url().clone();
        // Fails only for addresses without a host, and `parse` lets none of them in.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        WebUrl::of(url)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

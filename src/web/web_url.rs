//! Addresses that can be asked for.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address for downloads: {reason}; write it like https://example.org/path")]
pub struct InvalidUrl {
    /// What was given, without user and password.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// An `http` or `https` address. It may hold user and password and a signed query, so it is shown without them.
#[derive(Clone, PartialEq, Eq)]
pub struct WebUrl(Arc<Url>);

impl WebUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// Other schemes, spaces, a fragment, and whatever is no address at all.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = |reason: &str| InvalidUrl { text: without_login(text), reason: reason.to_owned() };
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            return Err(invalid("it must begin with http:// or https://"));
        }
        if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
            return Err(invalid("it holds a space"));
        }
        let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        if url.fragment().is_some() {
            return Err(invalid("it holds a `#`"));
        }
        Ok(Self::of(url))
    }

    pub(super) fn of(url: Url) -> Self {
        Self(Arc::new(url))
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The address of a file whose name is this one's with an ending, such as `.sha256`.
    #[must_use]
    pub fn beside(&self, ending: &str) -> Self {
        let mut url = Url::clone(&self.0);
        url.set_path(&format!("{}{ending}", self.0.path()));
        Self::of(url)
    }

    /// Whether what is sent can be read or changed on the way.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The whole address without user and password, equal for all who may log in; it may still hold a secret query.
    pub fn without_login(&self) -> String {
        let mut url = Url::clone(&self.0);
        // Both refuse only addresses that have no host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.into()
    }
}

impl fmt::Display for WebUrl {
    /// Shows `***` for user and password and for the query, which may be a signature.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An address as it may be shown.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(url.query().map(|_| "***"));
    if !url.username().is_empty() || url.password().is_some() {
        // Both refuse only addresses that have no host.
        let _ = shown.set_username("***");
        let _ = shown.set_password(None);
    }
    shown.into()
}

/// Puts `***` in the place of user and password in a text that is no address. Where it is unclear what belongs to
/// them, too much is taken out.
pub(super) fn without_login(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let separator = if scheme.is_empty() { "" } else { "://" };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{separator}***@{host}"),
        None => text.to_owned(),
    }
}

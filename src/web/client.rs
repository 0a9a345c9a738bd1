//! The client.

use std::fmt;
use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, HeaderValue, IF_RANGE, RANGE};
use reqwest::Client;
use reqwest::redirect::{Action, Attempt, Policy};

use super::{Answer, WebError, WebSettings, WebUrl, tls};

const USER_AGENT: &str = concat!("provision/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTIONS: usize = 10;

/// Asks sites. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub struct Web {
    client: Client,
    settings: Arc<WebSettings>,
}

/// The part of a file that is still wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// Number of bytes that are there already.
    pub from: u64,
    /// [`Answer::validator`] of the answer that they are from: if the file has changed, the site gives the whole new one.
    pub validator: Option<String>,
}

impl Web {
    /// Reads this machine's certificates and makes a client; asks nobody yet. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`WebError::Authority`] for an authority that is no certificate.
    pub fn new(settings: &WebSettings) -> Result<Self, WebError> {
        let unusable = |error: reqwest::Error| WebError::Client(error.without_url().to_string());
        // Without this the client reads the environment by itself.
        let mut builder = Client::builder().no_proxy();
        for proxy in settings.proxy.for_client().map_err(unusable)? {
            builder = builder.proxy(proxy);
        }
        let client = builder
            .tls_backend_preconfigured(tls::client_config(&settings.extra_authorities)?)
            .user_agent(USER_AGENT)
            .referer(false)
            .redirect(Policy::custom(redirect))
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.idle_timeout)
            .build()
            .map_err(unusable)?;
        Ok(Self { client, settings: Arc::new(settings.clone()) })
    }

    /// What it was made with.
    pub fn settings(&self) -> &WebSettings {
        &self.settings
    }

    /// Asks once for an address, or for the rest of a file, and follows redirections; returns once the answer begins,
    /// whatever its status.
    ///
    /// # Errors
    /// Every kind of [`WebError`] that names an address.
    pub async fn get(&self, url: &WebUrl, rest: Option<&Rest>) -> Result<Answer, WebError> {
        // Digests are of the bytes as published.
        let identity = HeaderValue::from_static("identity");
        let mut request = self.client.get(url.url().clone()).header(ACCEPT_ENCODING, identity);
        if let Some(rest) = rest {
            request = request.header(RANGE, format!("bytes={}-", rest.from));
            if let Some(validator) = &rest.validator {
                request = request.header(IF_RANGE, validator);
            }
        }
        let response = request.send().await.map_err(|error| WebError::of(&error, url, &self.settings))?;
        Ok(Answer { response, asked: url.clone(), settings: Arc::clone(&self.settings) })
    }
}

/// Why a redirection was not followed.
#[derive(Debug)]
pub(super) enum NotFollowed {
    Plain(WebUrl),
    TooMany,
}

impl fmt::Display for NotFollowed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(to) => write!(formatter, "redirection from https to {to}"),
            Self::TooMany => write!(formatter, "more than {MOST_REDIRECTIONS} redirections"),
        }
    }
}

impl std::error::Error for NotFollowed {}

fn redirect(attempt: Attempt<'_>) -> Action {
    let was_safe = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if was_safe && attempt.url().scheme() != "https" {
        let to = WebUrl::of(attempt.url().clone());
        return attempt.error(NotFollowed::Plain(to));
    }
    if attempt.previous().len() > MOST_REDIRECTIONS { attempt.error(NotFollowed::TooMany) } else { attempt.follow() }
}

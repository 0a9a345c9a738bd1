//! What a site answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER};
use jiff::Timestamp;

use super::{WebError, WebSettings, WebUrl};

/// An answer whose body is yet to be read.
#[derive(Debug)]
pub struct Answer {
    pub(super) response: reqwest::Response,
    pub(super) asked: WebUrl,
    pub(super) settings: Arc<WebSettings>,
}

impl Answer {
    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Where the answer is from, after all redirections.
    pub fn url(&self) -> WebUrl {
        WebUrl::of(self.response.url().clone())
    }

    /// Number of bytes in the body, if the site said it.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// First byte and, if known, length of the whole file of a partial answer (RFC 9110, 14.4): `bytes 5-9/10` gives 5 and
    /// 10. With status 416 (`bytes */10`) the first byte is none.
    pub fn range(&self) -> Option<(Option<u64>, Option<u64>)> {
        let (range, total) = self.header(&CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
        let first = match range {
            "*" => None,
            range => Some(range.split_once('-')?.0.parse().ok()?),
        };
        Some((first, total.parse().ok()))
    }

    /// What names these bytes for [`super::Rest`]: the strong entity tag, or else the date of the last change.
    pub fn validator(&self) -> Option<String> {
        let strong = self.header(&ETAG).filter(|tag| !tag.starts_with("W/"));
        strong.or_else(|| self.header(&LAST_MODIFIED)).map(str::to_owned)
    }

    /// How long the site wants not to be asked: seconds or a date (RFC 9110, 10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.header(&RETRY_AFTER)?;
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
    }

    /// Whether the site calls it a page for people.
    pub fn is_html(&self) -> bool {
        self.header(&CONTENT_TYPE).is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
    }

    /// The next bytes of the body; none at its end.
    ///
    /// # Errors
    /// [`WebError::Silent`] when none came for so long, [`WebError::Broken`] when the body ended early.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, WebError> {
        let next = self.response.chunk().await;
        next.map_err(|error| WebError::of(&error, &self.asked, &self.settings))
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }
}

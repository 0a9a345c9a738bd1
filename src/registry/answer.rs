//! What an answer that is no success means.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::RegistryError;
use super::attempt::Failure;
use super::question::Question;

const LONGEST_WORDS: usize = 300;

/// An answer that has been read.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// What it means for whoever asked. `user` is who asked, where somebody did by name.
    pub fn failure(&self, question: &Question<'_>, user: Option<&str>, plain_http: bool) -> Failure {
        let (image, registry) = (question.image(), question.registry());
        if may_pass(self.status) {
            let error = RegistryError::Busy { image, registry, tries: 1, reason: self.words() };
            return Failure::Passing { error, pause: wait(&self.headers, jiff::Timestamp::now()) };
        }
        if plain_http && self.status == StatusCode::BAD_REQUEST && self.speaks_tls() {
            return RegistryError::NotPlainHttp { image, registry }.into();
        }
        if self.is_web_page() {
            return question.web_page(self.words()).into();
        }
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.forbidden(question, user).into(),
            StatusCode::NOT_FOUND => {
                let repository = || format!("repository {}", question.name.repository);
                let unknown = self.codes().iter().any(|code| code == "NAME_UNKNOWN");
                let what = if unknown { repository() } else { question.what.clone() };
                RegistryError::Missing { image, registry, what }.into()
            }
            _ => question.unexpected(self.words()).into(),
        }
    }

    fn forbidden(&self, question: &Question<'_>, user: Option<&str>) -> RegistryError {
        let (image, registry, reason) = (question.image(), question.registry(), self.words());
        match user {
            Some(user) => RegistryError::PasswordRefused { image, registry, user: user.to_owned(), reason },
            None => RegistryError::PasswordNeeded { image, registry, reason },
        }
    }

    /// Status and the registry's words, short and without anything that would move a terminal's cursor.
    pub fn words(&self) -> String {
        let status = format!("{} {}", self.status.as_str(), self.status.canonical_reason().unwrap_or_default());
        let status = status.trim().to_owned();
        let said = if self.is_web_page() { self.title() } else { self.messages().join("; ") };
        let said: String = said.chars().filter(|letter| !letter.is_control()).take(LONGEST_WORDS).collect();
        if said.trim().is_empty() { status } else { format!("{status} ({})", said.trim()) }
    }

    /// Whether a browser was meant.
    pub fn is_web_page(&self) -> bool {
        is_web_page(&self.headers) || self.body.trim_ascii_start().starts_with(b"<")
    }

    fn title(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let lower = text.to_ascii_lowercase();
        let title = lower.find("<title").and_then(|at| Some((at + lower[at..].find('>')? + 1, lower.find("</title")?)));
        title.and_then(|(from, to)| text.get(from..to)).unwrap_or_default().trim().to_owned()
    }

    /// A list in the distribution API; those who give tokens answer one object.
    fn errors(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["errors"].as_array().cloned().unwrap_or_else(|| vec![body])
    }

    fn codes(&self) -> Vec<String> {
        self.errors().iter().filter_map(|error| error["code"].as_str().map(str::to_owned)).collect()
    }

    fn messages(&self) -> Vec<String> {
        let message = |error: &Value| {
            let mut texts = ["message", "details", "error", "code"].iter().filter_map(|key| error[*key].as_str());
            texts.find(|text| !text.is_empty()).map(str::to_owned)
        };
        self.errors().iter().filter_map(message).collect()
    }

    /// Go's server and nginx say so in clear text.
    fn speaks_tls(&self) -> bool {
        String::from_utf8_lossy(&self.body).to_ascii_lowercase().contains("https")
    }
}

/// Whether a browser was meant, by the headers alone.
pub(super) fn is_web_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html")
}

fn may_pass(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// How long `Retry-After` asks to wait: seconds, or a date.
fn wait(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(moment.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn waiting_is_told_in_seconds_or_as_a_date() {
        let now: jiff::Timestamp = "2015-10-21T07:27:30Z".parse().unwrap();
        let told = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            wait(&headers, now).map(|pause| pause.as_secs())
        };
        assert_eq!(told("7"), Some(7));
        assert_eq!(told("Wed, 21 Oct 2015 07:28:00 GMT"), Some(30));
        assert_eq!(told("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(told("soon"), None);
        assert_eq!(wait(&HeaderMap::new(), now), None);
    }

    #[test]
    fn words_are_found_where_registries_and_their_token_servers_put_them() {
        assert_eq!(answer(401, r#"{"details":"incorrect username"}"#).words(), "401 Unauthorized (incorrect username)");
        assert_eq!(answer(400, r#"{"errors":[{"code":"A"},{"message":"b"}]}"#).words(), "400 Bad Request (A; b)");
    }

    #[test]
    fn words_are_short_and_harmless() {
        let loud = answer(400, &format!(r#"{{"errors":[{{"message":"\u001b[2J{}"}}]}}"#, "x".repeat(9000)));
        assert!(loud.words().len() < 400 && !loud.words().contains('\u{1b}'), "{}", loud.words());
        assert_eq!(answer(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#).words(), "404 Not Found (NAME_UNKNOWN)");
        assert_eq!(answer(502, "<html><TITLE>Bad\nproxy</TITLE>").words(), "502 Bad Gateway (Badproxy)");
        assert_eq!(answer(500, "oops").words(), "500 Internal Server Error");
    }
}

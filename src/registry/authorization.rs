//! How a registry wants to be told who asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use http_auth::ChallengeParser;
use reqwest::{Response, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::base::Secret;

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from another address.
    Bearer {
        /// Where tokens are given.
        realm: Url,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads the answer's headers; of several ways, tokens come first.
    pub fn of(response: &Response) -> Option<Self> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges: Vec<Self> = headers.filter_map(|header| header.to_str().ok()).flat_map(read).collect();
        let bearer = challenges.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(challenges.first()).cloned()
    }
}

fn read(text: &str) -> Vec<Challenge> {
    let known = |challenge: http_auth::ChallengeRef<'_>| {
        let parameter = |name: &str| {
            let mut all = challenge.params.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        let realm = Url::parse(&parameter("realm")?).ok()?;
        let bearer = challenge.scheme.eq_ignore_ascii_case("bearer") && matches!(realm.scheme(), "http" | "https");
        bearer.then(|| Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") })
    };
    ChallengeParser::new(text).filter_map(Result::ok).filter_map(known).collect()
}

/// Where to ask for a token to pull from a repository.
pub(super) fn token_address(realm: &Url, service: Option<&str>, scope: &str) -> Url {
    let mut address = realm.clone();
    if let Some(service) = service {
        address.query_pairs_mut().append_pair("service", service);
    }
    address.query_pairs_mut().append_pair("scope", scope);
    address
}

/// The header for user and password.
pub(super) fn basic(user: &str, password: &Secret) -> Option<HeaderValue> {
    let mut plain = Zeroizing::new(format!("{user}:").into_bytes());
    plain.extend_from_slice(password.expose());
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*plain)));
    secret(&text)
}

/// The header for a token, from the answer that holds it.
pub(super) fn bearer(body: &[u8]) -> Option<HeaderValue> {
    /// Two names for one thing, of two generations of the protocol.
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let Answer { token, access_token } = serde_json::from_slice(body).ok()?;
    let token = token.or(access_token).filter(|token| !token.is_empty())?;
    secret(&format!("Bearer {token}"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/busybox:pull\"";
        let [Challenge::Bearer { realm, service, scope }] = &read(hub)[..] else { panic!("{:?}", read(hub)) };
        assert_eq!(realm.as_str(), "https://auth.docker.io/token");
        assert_eq!(service.as_deref(), Some("registry.docker.io"));
        let address = token_address(realm, service.as_deref(), scope.as_deref().unwrap());
        let query = "service=registry.docker.io&scope=repository%3Alibrary%2Fbusybox%3Apull";
        assert_eq!(address.query(), Some(query));
        assert_eq!(read("Basic realm=\"Registry Realm\""), [Challenge::Basic]);
        assert_eq!(read("basic realm=x, Bearer realm=\"https://a/t\"").len(), 2);
    }

    #[test]
    fn other_challenges_are_none() {
        for text in ["Negotiate", "Bearer realm=\"file:///etc/passwd\"", "Bearer service=\"x\"", "", "\u{7f}"] {
            assert!(read(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn headers_hide_what_they_hold() {
        let basic = basic("robot", &Secret::new("hunter2")).unwrap();
        assert_eq!(basic, "Basic cm9ib3Q6aHVudGVyMg==");
        let bearer = bearer(br#"{"access_token":"secret","expires_in":300}"#).unwrap();
        assert_eq!(bearer, "Bearer secret");
        assert_eq!(format!("{basic:?} {bearer:?}"), "Sensitive Sensitive");
        for body in [&br#"{"token":""}"#[..], b"{}", b"<html>", b"{\"token\":\"a\\nb\"}"] {
            assert!(super::bearer(body).is_none());
        }
    }
}

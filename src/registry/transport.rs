//! Requests to one registry and to wherever it sends its clients.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Response, Url};
use rustls::{CertificateError, RootCertStore};

use super::attempt::Failure;
use super::image_name::api_host;
use super::question::Question;
use super::tls::http_client;
use super::{RegistryAccess, RegistryError, RegistrySettings};
use crate::https::HttpsError;
use crate::state::ImageReference;

/// More than the chain of any public registry.
const MOST_REDIRECTIONS: usize = 8;
/// How the HTTP client begins its words about a proxy.
const TUNNEL: &str = "tunnel error: ";

/// An HTTP client with a registry's trust.
pub(super) struct Transport {
    http: reqwest::Client,
    connect_timeout: Duration,
    answer_timeout: Duration,
}

impl Transport {
    pub fn new(
        access: Option<&RegistryAccess>,
        settings: &RegistrySettings,
        system: &RootCertStore,
    ) -> Result<Self, RegistryError> {
        let registry = access.map_or("of any name", |access| &access.host);
        let authority = access.and_then(|access| access.authority.as_deref());
        let RegistrySettings { connect_timeout, answer_timeout, .. } = *settings;
        Ok(Self { http: http_client(registry, settings, system, authority)?, connect_timeout, answer_timeout })
    }

    /// Asks, and follows where the registry sends: blobs often lie elsewhere. Never from TLS to none, and who asks is told to
    /// the first address only.
    pub async fn get(
        &self,
        question: &Question<'_>,
        first: Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let mut address = first.clone();
        for _ in 0..=MOST_REDIRECTIONS {
            let mut request = self.http.get(address.clone()).header(ACCEPT, question.accept);
            if let Some(authorization) = authorization.filter(|_| address.origin() == first.origin()) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(|error| self.broken(question, &address, error))?;
            let Some(next) = redirection(&response) else { return Ok(response) };
            if address.scheme() == "https" && next.scheme() != "https" {
                return Err(question.unexpected("it sends from TLS to an address without").into());
            }
            address = next;
        }
        Err(question.unexpected("it sends from one address to the next without end").into())
    }

    /// The next piece of an answer; none at its end.
    pub async fn piece(&self, question: &Question<'_>, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        let piece = response.chunk().await;
        piece.map_err(|error| self.broken(question, response.url(), error))
    }

    /// What it means that no answer came, or not all of it.
    fn broken(&self, question: &Question<'_>, address: &Url, error: reqwest::Error) -> Failure {
        let (image, registry) = (question.image(), place(question, address));
        let error = error.without_url();
        if error.is_timeout() {
            let limit = if error.is_connect() { self.connect_timeout } else { self.answer_timeout };
            return RegistryError::TimedOut { image, registry, seconds: limit.as_secs() }.into();
        }
        let reason = match HttpsError::of(&error) {
            HttpsError::Tls(error) => return distrust(image, registry, &error).into(),
            other => other.to_string(),
        };
        if let Some(reason) = reason.strip_prefix(TUNNEL).map(str::to_owned) {
            return RegistryError::Proxy { image, registry, reason }.into();
        }
        match error.is_connect() {
            true => RegistryError::Unreachable { image, registry, reason }.into(),
            false => {
                Failure::Passing { error: RegistryError::Broken { image, registry, tries: 1, reason }, pause: None }
            }
        }
    }
}

/// Where an answer sends, if it does.
fn redirection(response: &Response) -> Option<Url> {
    let sends = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| sends)?;
    let next = response.url().join(location.to_str().ok()?).ok()?;
    matches!(next.scheme(), "http" | "https").then_some(next)
}

/// Who did not answer: the registry, or the host that it sent to. The rest of that address may hold a signature.
fn place(question: &Question<'_>, address: &Url) -> String {
    let (registry, own) = (question.registry(), api_host(&question.name.registry));
    let is_own = |host: &&str| own.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'));
    match address.host_str().filter(|host| !is_own(host)) {
        Some(host) => format!("{registry} (at {host})"),
        None => registry,
    }
}

/// What TLS has against the registry.
fn distrust(image: ImageReference, registry: String, error: &rustls::Error) -> RegistryError {
    use CertificateError::{BadSignature, Expired, ExpiredContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidMessage(_) => RegistryError::PlainHttp { image, registry },
        // The signature is bad where the authority was made anew under its old name.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            RegistryError::UnknownAuthority { image, registry }
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            RegistryError::CertificateExpired { image, registry }
        }
        rustls::Error::InvalidCertificate(reason) => {
            RegistryError::Certificate { image, registry, reason: reason.to_string() }
        }
        other => RegistryError::Unreachable { image, registry, reason: format!("TLS: {other}") },
    }
}

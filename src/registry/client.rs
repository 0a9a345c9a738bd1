//! The connection to one registry: who asks, how patiently, and what answers mean.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};
use reqwest::{Response, Url};
use rustls::RootCertStore;

use super::answer::{Answer, is_web_page};
use super::attempt::{Failure, Patience};
use super::authorization::{Challenge, basic, bearer, token_address};
use super::image_name::api_host;
use super::question::Question;
use super::transport::Transport;
use super::{RegistryAccess, RegistryError, RegistrySettings};
use crate::base::Secret;

/// Registries give up at 4 MiB for manifests themselves; configurations are as small, and complaints smaller.
const LARGEST_ANSWER: usize = 4 << 20;
/// Tokens are some kilobytes.
const LARGEST_TOKEN: usize = 1 << 20;
const LARGEST_COMPLAINT: usize = 64 << 10;

/// One registry, or all that have no settings of their own.
pub(super) struct Client {
    transport: Transport,
    access: Option<RegistryAccess>,
    patience: Patience,
    /// What was accepted last, by registry and repository.
    authorizations: Mutex<BTreeMap<String, HeaderValue>>,
}

/// A small thing, whole.
pub(super) struct Fetched {
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Client {
    pub fn new(
        access: Option<RegistryAccess>,
        settings: &RegistrySettings,
        system: &RootCertStore,
    ) -> Result<Self, RegistryError> {
        let transport = Transport::new(access.as_ref(), settings, system)?;
        Ok(Self { transport, access, patience: Patience::of(settings), authorizations: Mutex::default() })
    }

    /// Asks for a small thing as often as makes sense.
    pub async fn fetch(&self, question: &Question<'_>) -> Result<Fetched, RegistryError> {
        let mut tries = self.patience.tries();
        loop {
            match self.fetch_once(question).await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => tries.failed(failure).await?,
            }
        }
    }

    /// The next piece of an answer; none at its end.
    pub async fn piece(&self, question: &Question<'_>, response: &mut Response) -> Result<Option<Bytes>, Failure> {
        self.transport.piece(question, response).await
    }

    /// How patiently larger things are asked for.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    async fn fetch_once(&self, question: &Question<'_>) -> Result<Fetched, Failure> {
        let response = self.open(question).await?;
        let headers = response.headers().clone();
        let (bytes, whole) = self.read(question, response, LARGEST_ANSWER).await?;
        if !whole {
            return Err(question.unexpected(format!("{} has more than {LARGEST_ANSWER} bytes", question.what)).into());
        }
        if bytes.trim_ascii_start().starts_with(b"<") {
            let answer = Answer { status: StatusCode::OK, headers, body: bytes };
            return Err(question.web_page(answer.words()).into());
        }
        Ok(Fetched { headers, bytes })
    }

    /// Asks once, says who asks where that is wanted, and gives an answer that is a success.
    pub async fn open(&self, question: &Question<'_>) -> Result<Response, Failure> {
        let known = self.known_authorization(question);
        let response = self.send(question, known.as_ref()).await?;
        // Whoever the registry sends to must not be told who asks, so that he cannot ask for it either.
        let is_own = response.url().origin() == self.address(question)?.origin();
        if response.status() != StatusCode::UNAUTHORIZED || !is_own {
            return self.judge(question, response).await;
        }
        // The same password again would only count as one more attack.
        let challenge = Challenge::of(&response).filter(|challenge| known.is_none() || *challenge != Challenge::Basic);
        let Some(authorization) = self.authorize(question, challenge).await? else {
            return self.judge(question, response).await;
        };
        // Read to its end, so that the connection can be used again.
        self.read(question, response, LARGEST_COMPLAINT).await?;
        let response = self.send(question, Some(&authorization)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.authorizations().insert(key(question), authorization);
        }
        self.judge(question, response).await
    }

    async fn send(&self, question: &Question<'_>, authorization: Option<&HeaderValue>) -> Result<Response, Failure> {
        self.transport.get(question, self.address(question)?, authorization).await
    }

    fn address(&self, question: &Question<'_>) -> Result<Url, RegistryError> {
        let scheme = if self.plain_http() { "http" } else { "https" };
        let (host, repository) = (api_host(&question.name.registry), &question.name.repository);
        let text = format!("{scheme}://{host}/v2/{repository}/{}", question.path);
        Url::parse(&text).map_err(|error| question.unreachable(error))
    }

    /// What to say about who asks; nothing if there is nothing to say.
    async fn authorize(
        &self,
        question: &Question<'_>,
        challenge: Option<Challenge>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let own = self.credentials().and_then(|(user, password)| basic(user, password));
        let (realm, service, scope) = match challenge {
            Some(Challenge::Bearer { realm, service, scope }) => (realm, service, scope),
            Some(Challenge::Basic) => return Ok(own),
            None => return Ok(None),
        };
        if realm.scheme() != "https" && !self.plain_http() {
            let host = realm.host_str().unwrap_or_default();
            return Err(question.unexpected(format!("it sends users without TLS to {host}")).into());
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", question.name.repository));
        let address = token_address(&realm, service.as_deref(), &scope);
        let response = self.transport.get(question, address, own.as_ref()).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(question.unexpected("nothing is where it sends users for a token").into());
        }
        let response = self.judge(question, response).await?;
        let (body, _) = self.read(question, response, LARGEST_TOKEN).await?;
        bearer(&body).map(Some).ok_or_else(|| question.unexpected("it gives no token").into())
    }

    async fn judge(&self, question: &Question<'_>, response: Response) -> Result<Response, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        if status == StatusCode::OK && !is_web_page(&headers) {
            return Ok(response);
        }
        let (body, _) = self.read(question, response, LARGEST_COMPLAINT).await?;
        let answer = Answer { status, headers, body: self.without_password(body) };
        let user = self.credentials().map(|(user, _)| user.as_str());
        Err(answer.failure(question, user, self.plain_http()))
    }

    /// A registry may say in its complaint what it was given.
    fn without_password(&self, body: Vec<u8>) -> Vec<u8> {
        let password = self.credentials().and_then(|(_, password)| std::str::from_utf8(password.expose()).ok());
        match password.filter(|password| !password.is_empty()) {
            Some(password) => String::from_utf8_lossy(&body).replace(password, "...").into_bytes(),
            None => body,
        }
    }

    fn credentials(&self) -> Option<&(String, Secret)> {
        self.access.as_ref()?.credentials.as_ref()
    }

    /// Reads a body up to a size, and tells whether that was all of it.
    async fn read(
        &self,
        question: &Question<'_>,
        mut response: Response,
        largest: usize,
    ) -> Result<(Vec<u8>, bool), Failure> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.transport.piece(question, &mut response).await? {
            if bytes.len() + piece.len() > largest {
                return Ok((bytes, false));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((bytes, true))
    }

    fn plain_http(&self) -> bool {
        self.access.as_ref().is_some_and(|access| access.plain_http)
    }

    fn known_authorization(&self, question: &Question<'_>) -> Option<HeaderValue> {
        self.authorizations().get(&key(question)).cloned()
    }

    fn authorizations(&self) -> MutexGuard<'_, BTreeMap<String, HeaderValue>> {
        self.authorizations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokens are for one repository.
fn key(question: &Question<'_>) -> String {
    format!("{}/{}", question.name.registry, question.name.repository)
}

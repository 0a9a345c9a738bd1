//! What can go wrong when a site is asked, apart from what it says.

use std::error::Error;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::client::NotFollowed;
use super::{AUTHORITIES_KEY, TIMEOUT_KEY, WebSettings, WebUrl};

/// A request that got no answer, or only a part of one. No text holds a user or a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// A proxy's address cannot be used.
    #[error("{setting}: `{text}` is not a proxy's address: {reason}; write it like http://proxy.example.org:3128")]
    Proxy {
        /// Variable or key that it is from.
        setting: String,
        /// What was given, without user and password.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate authority cannot be used.
    #[error("{origin} cannot be used as a certificate authority: {reason}")]
    Authority {
        /// Where it is from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client cannot be made.
    #[error("the client for downloads cannot be made: {0}")]
    Client(String),
    /// No connection could be made.
    #[error(
        "{url} cannot be reached{way}: {reason}; look at the address, at the network and at HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
    )]
    Unreachable {
        /// Address.
        url: WebUrl,
        /// ` through the proxy ...`, or empty.
        way: String,
        /// The system's words.
        reason: String,
    },
    /// No connection was made in time.
    #[error("{url}: no connection{way} within {}; look at the network, at HTTPS_PROXY and NO_PROXY, or raise `{TIMEOUT_KEY}`", seconds(.limit))]
    ConnectTimedOut {
        /// Address.
        url: WebUrl,
        /// ` through the proxy ...`, or empty.
        way: String,
        /// The longest time for connecting.
        limit: Duration,
    },
    /// Nothing came for too long.
    #[error("{url}: not a byte{way} for {}; run the command again later, or raise `{TIMEOUT_KEY}`", seconds(.limit))]
    Silent {
        /// Address.
        url: WebUrl,
        /// ` through the proxy ...`, or empty.
        way: String,
        /// The longest time without a byte.
        limit: Duration,
    },
    /// The site's certificate is not to be trusted, or TLS failed otherwise.
    #[error("{url}: {reason}")]
    Tls {
        /// Address.
        url: WebUrl,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A safe site sends us to an unsafe one.
    #[error(
        "{url} redirects to {to}, where anybody on the way can change what is sent; give the address of a site that stays with https"
    )]
    Plain {
        /// Address.
        url: WebUrl,
        /// Where it leads.
        to: WebUrl,
    },
    /// Redirections without end.
    #[error("{url} redirects in a circle or too often; look at the address in a browser")]
    TooManyRedirections {
        /// Address.
        url: WebUrl,
    },
    /// The connection ended before the answer.
    #[error("{url}: the connection{way} broke: {reason}; run the command again")]
    Broken {
        /// Address.
        url: WebUrl,
        /// ` through the proxy ...`, or empty.
        way: String,
        /// The system's words.
        reason: String,
    },
}

impl WebError {
    /// Whether the same request may get further in a moment, at a site that has answered before.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::ConnectTimedOut { .. } | Self::Silent { .. } | Self::Broken { .. }
        )
    }

    pub(super) fn of(error: &reqwest::Error, url: &WebUrl, settings: &WebSettings) -> Self {
        let url = url.clone();
        match find::<NotFollowed>(error) {
            Some(NotFollowed::Plain(to)) => return Self::Plain { url, to: to.clone() },
            Some(NotFollowed::TooMany) => return Self::TooManyRedirections { url },
            None => {}
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::Tls { url, reason: explain(tls) };
        }
        let way = settings.proxy.proxy_for(&url).map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => Self::ConnectTimedOut { url, way, limit: settings.connect_timeout },
            (false, true) => Self::Silent { url, way, limit: settings.idle_timeout },
            (true, false) => Self::Unreachable { url, way, reason: deepest(error) },
            (false, false) => Self::Broken { url, way, reason: deepest(error) },
        }
    }
}

/// Looks for an error of a type below another one. `io::Error` does not show the error that it wraps as its source.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    let wrapped = error.downcast_ref::<io::Error>().and_then(|wrapper| wrapper.get_ref());
    let wrapped = wrapped.and_then(|inner| find(inner as &(dyn Error + 'static)));
    wrapped.or_else(|| error.source().and_then(find))
}

/// The innermost words, which say what happened; those around them say only to whom.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    // rustls explains a connection that ends without farewell with an address of its manual.
    let ended = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    if current.downcast_ref().is_some_and(ended) {
        return "the connection was closed".to_owned();
    }
    match current.to_string().strip_prefix("tunnel error: ") {
        Some("proxy authorization required") => "the proxy wants a user and a password (407)".to_owned(),
        Some("unsuccessful") => "the proxy refuses to connect to the site".to_owned(),
        Some(other) => format!("the proxy's answer: {other}"),
        None => current.to_string(),
    }
}

fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(certificate) => explain_certificate(certificate),
        rustls::Error::InvalidMessage(_) => {
            "what answers there does not speak TLS; look at the address and its port".into()
        }
        other => format!("TLS: {other}"),
    }
}

fn explain_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => format!(
            "its certificate is signed by no authority that this machine knows; if the site, or a proxy that opens TLS, has one \
             of its own, name its certificate in `{AUTHORITIES_KEY}`"
        ),
        CertificateError::BadSignature => format!(
            "its certificate is not signed with the key that this machine knows for the authority of that name; if the authority was \
             made anew, name its present certificate in `{AUTHORITIES_KEY}`"
        ),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!(
                "its certificate expired at {}; renew it at the site, or correct this machine's clock",
                moment(not_after)
            )
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is valid only from {}; correct this machine's clock", moment(not_before))
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("its certificate is for other names ({}); look at the address", presented.join(", "))
        }
        other => format!("its certificate cannot be trusted: {other}"),
    }
}

fn moment(time: &UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let moment = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| format!("{} s after 1970", time.as_secs()), |moment| moment.to_string())
}

fn seconds(limit: &Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

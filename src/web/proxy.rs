//! Who is asked in a site's stead.

use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{NoProxy, Proxy, Url};

use super::web_url::{shown, without_login};
use super::{WebError, WebUrl};

/// The proxies of this machine, as the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxySettings {
    /// Who is asked for `http` addresses.
    pub http: Option<ProxyUrl>,
    /// Who is asked for `https` addresses.
    pub https: Option<ProxyUrl>,
    /// What is asked directly: names (with all below them), addresses and networks, separated by commas; `*` for all.
    pub no_proxy: Option<String>,
}

impl ProxySettings {
    /// Reads variables as Go's programs do, Docker among them: upper case before lower case, empty for not set.
    ///
    /// # Errors
    /// [`WebError::Proxy`] with the variable's name for what is no proxy's address.
    pub fn from_variables<I, N, V>(variables: I) -> Result<Self, WebError>
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut found: [Option<String>; 6] = Default::default();
        for (name, value) in variables {
            let place = VARIABLES.iter().position(|known| *known == name.as_ref());
            if let Some(place) = place.filter(|_| !value.as_ref().trim().is_empty()) {
                found[place] = Some(value.as_ref().trim().to_owned());
            }
        }
        let mut both = |upper: usize| {
            let place = if found[upper].is_some() { upper } else { upper + 1 };
            found[place].take().map(|value| (VARIABLES[place], value))
        };
        let proxy = |(variable, value): (&'static str, String)| ProxyUrl::parse(variable, &value);
        Ok(Self {
            http: both(0).map(proxy).transpose()?,
            https: both(2).map(proxy).transpose()?,
            no_proxy: both(4).map(|(_, value)| plain_exceptions(&value)),
        })
    }

    /// What the HTTP client takes.
    pub(crate) fn for_client(&self) -> reqwest::Result<Vec<Proxy>> {
        let exceptions = self.no_proxy.as_deref().and_then(NoProxy::from_string);
        let http = self.http.as_ref().map(|proxy| Proxy::http(proxy.expose()));
        let https = self.https.as_ref().map(|proxy| Proxy::https(proxy.expose()));
        let both = http.into_iter().chain(https);
        both.map(|proxy| Ok(proxy?.no_proxy(exceptions.clone()))).collect()
    }

    /// The proxy that is asked for an address, none where the site is asked itself.
    pub fn proxy_for(&self, url: &WebUrl) -> Option<&ProxyUrl> {
        let proxy = if url.is_plain() { self.http.as_ref() } else { self.https.as_ref() }?;
        // The client decides with the same code.
        let matcher = Matcher::builder().all(proxy.expose()).no(self.no_proxy.as_deref().unwrap_or("")).build();
        let asked = url.url().as_str().parse().is_ok_and(|uri| matcher.intercept(&uri).is_some());
        asked.then_some(proxy)
    }
}

const VARIABLES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];

/// Brings what Go's programs accept into the form that the client knows: `*` is all names and all addresses,
/// `*.example.org` is `.example.org`, and a port is left out, so that all ports of the host are asked directly.
fn plain_exceptions(list: &str) -> String {
    let plain = |entry: &str| {
        let entry = entry.trim();
        if entry == "*" {
            return "*,0.0.0.0/0,::/0".to_owned();
        }
        let entry = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
        let port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match entry.rsplit_once(':') {
            Some((host, number)) if port(number) && (host.ends_with(']') || !host.contains(':')) => {
                bare(host).to_owned()
            }
            _ => bare(entry).to_owned(),
        }
    };
    list.split(',').map(plain).filter(|entry| !entry.is_empty()).collect::<Vec<_>>().join(",")
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// A proxy's address, spoken to by HTTP or HTTPS. It may hold user and password, and is shown without them.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

impl ProxyUrl {
    /// Reads an address; without a scheme it is `http`. `setting` is where it is from, for the message.
    ///
    /// # Errors
    /// [`WebError::Proxy`] for other schemes (SOCKS among them) and for what is no address.
    pub fn parse(setting: &str, text: &str) -> Result<Self, WebError> {
        let invalid = |reason: &str| WebError::Proxy {
            setting: setting.to_owned(),
            text: without_login(text),
            reason: reason.to_owned(),
        };
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&whole).map_err(|error| invalid(&error.to_string()))?;
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(Self(url)),
            "http" | "https" => Err(invalid("it names no host")),
            other => Err(invalid(&format!("provision does not speak {other} to a proxy"))),
        }
    }

    /// The whole address with user and password, for the client only: it must not be shown.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

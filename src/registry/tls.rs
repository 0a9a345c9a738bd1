//! HTTP clients with the trust that each registry needs.

use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{RegistryError, RegistrySettings};

/// Mozilla's list, which comes with the program, and the authorities that this machine's owner installed. Those that cannot
/// be understood are left out, as every program does: a registry that needs one of them is then refused by name.
pub(super) fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// A client for one registry, or for all that have no settings of their own.
pub(super) fn http_client(
    registry: &str,
    settings: &RegistrySettings,
    system: &RootCertStore,
    authority: Option<&str>,
) -> Result<reqwest::Client, RegistryError> {
    let wrong = |reason: String| RegistryError::Settings { registry: registry.to_owned(), reason };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("provision/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls(system, authority).map_err(wrong)?)
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.answer_timeout)
        .redirect(Policy::none())
        .no_proxy();
    for proxy in proxies(settings) {
        builder = builder.proxy(proxy.map_err(wrong)?);
    }
    builder.build().map_err(|error| wrong(error.without_url().to_string()))
}

fn tls(system: &RootCertStore, authority: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = system.clone();
    if let Some(pem) = authority {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates = certificates.map_err(|error| format!("its authority is not PEM: {error}"))?;
        if certificates.is_empty() {
            return Err("its authority holds no certificate".into());
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| format!("its authority cannot be used: {error}"))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The text of a proxy's address may hold a password: what is wrong with it is told without it.
fn proxies(settings: &RegistrySettings) -> Vec<Result<Proxy, String>> {
    let none_for = settings.proxy.none_for.as_deref().and_then(NoProxy::from_string);
    let proxy = |variable: &str, made: reqwest::Result<Proxy>| {
        let made = made.map_err(|_| format!("the proxy of {variable} is not an address such as http://proxy:3128"));
        made.map(|proxy| proxy.no_proxy(none_for.clone()))
    };
    let http = settings.proxy.http.as_deref().map(|url| proxy("HTTP_PROXY", Proxy::http(url)));
    let https = settings.proxy.https.as_deref().map(|url| proxy("HTTPS_PROXY", Proxy::https(url)));
    http.into_iter().chain(https).collect()
}

//! HTTP clients with the trust that each registry needs.

use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{RegistryError, RegistrySettings};
use crate::web::trusting;

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
    for proxy in settings.proxy.for_client().map_err(|error| wrong(error.without_url().to_string()))? {
        builder = builder.proxy(proxy);
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
    let mut config = trusting(roots).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

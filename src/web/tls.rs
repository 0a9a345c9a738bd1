//! Whom this machine trusts when it asks sites.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{Authority, WebError};

/// Mozilla's list, which comes with the program, and the certificates that this machine's owner installed. What is missing or
/// unreadable only makes the machine trust less, and that shows as an unknown authority.
pub(crate) fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// A client that trusts these and no others, by the one crypto provider of this program.
pub(crate) fn trusting(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Trusts what the system trusts, and `extra`.
pub(super) fn client_config(extra: &[Authority]) -> Result<ClientConfig, WebError> {
    let mut roots = system_authorities();
    for authority in extra {
        add(&mut roots, authority)?;
    }
    trusting(roots).map_err(|error| WebError::Client(error.to_string()))
}

fn add(roots: &mut RootCertStore, authority: &Authority) -> Result<(), WebError> {
    let invalid = |reason: String| WebError::Authority { origin: authority.origin.clone(), reason };
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(authority.pem.as_bytes()) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
        count += 1;
    }
    if count == 0 { Err(invalid("it holds no certificate in PEM form".into())) } else { Ok(()) }
}

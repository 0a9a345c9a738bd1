//! Whom a connection trusts and who we are on it.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::HttpsError;
use crate::base::Secret;

/// One side of mutual TLS.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
}

impl ClientTls {
    /// Trusts only `authority` (PEM), expects a server that is named `server_name`, and shows `certificate` (PEM).
    pub fn new(
        authority: &str,
        server_name: &'static str,
        certificate: &str,
        key: &Secret,
    ) -> Result<Self, HttpsError> {
        let settings = |error: &dyn std::fmt::Display| HttpsError::Settings(error.to_string());
        let mut roots = RootCertStore::empty();
        for root in chain(authority)? {
            roots.add(root).map_err(|error| settings(&error))?;
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|error| settings(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| settings(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain(certificate)?, key)
            .map_err(|error| settings(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let server_name = ServerName::try_from(server_name).map_err(|error| settings(&error))?;
        Ok(Self { config: Arc::new(config), server_name })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// The name for the request's target.
    pub(super) fn server_text(&self) -> String {
        self.server_name.to_str().into_owned()
    }
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, HttpsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| HttpsError::Settings(error.to_string()))
}

//! Digests by which a cluster's authorities and keys are told from others.

use crate::base::Digest;
use crate::state::Fingerprints;

use super::Bundle;

impl Bundle {
    /// Digests of everything without which what etcd holds cannot be used.
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints {
            cluster_authority: certificate(&self.cluster_authority),
            etcd_authority: certificate(&self.etcd_authority),
            front_proxy_authority: certificate(&self.front_proxy_authority),
            service_account_key: Digest::of(&self.service_account.public),
            encryption_key: self.encryption.key.digest(),
        }
    }
}

/// As `openssl x509 -fingerprint -sha256` has it: over the bytes inside the PEM, whatever its line breaks.
fn certificate(pem: &str) -> Digest {
    match x509_parser::pem::parse_x509_pem(pem.as_bytes()) {
        Ok((_, block)) => Digest::of(block.contents),
        Err(_) => Digest::of(pem),
    }
}

//! Reading certificates.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{KeyPair, PublicKeyData as _};
use x509_parser::prelude::{FromDer as _, GeneralName, Pem, X509Certificate};

use super::profile::{AlternativeName, Profile, Subject, Usage, Validity};

/// What a certificate says, read from its PEM.
pub(super) struct Certificate {
    /// Whom it names and what for; authorities count as clients without names.
    pub profile: Profile,
    pub validity: Validity,
    pub is_authority: bool,
    public_key: Vec<u8>,
    der: Vec<u8>,
}

impl Certificate {
    /// Reads the first certificate of a PEM text; the error says what is wrong.
    pub fn read(pem: &str) -> Result<Self, String> {
        let (_, block) =
            x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| "its certificate is not PEM".to_owned())?;
        let parsed = parse(&block)?;
        let profile = Profile { subject: subject(&parsed)?, usage: usage(&parsed)?, names: names(&parsed)? };
        let validity = Validity {
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        };
        let public_key = parsed.public_key().subject_public_key.data.to_vec();
        let is_authority = parsed.is_ca();
        Ok(Self { profile, validity, is_authority, public_key, der: block.contents })
    }

    /// Requires that the private key is this certificate's.
    pub fn require_key(&self, key: &KeyPair) -> Result<(), String> {
        let same = key.der_bytes() == self.public_key;
        same.then_some(()).ok_or_else(|| "its key and its certificate do not belong together".to_owned())
    }

    /// Requires that an authority's key has signed this certificate.
    pub fn require_issuer(&self, authority: &Self) -> Result<(), String> {
        let foreign = || "it was signed by another authority than the stored one".to_owned();
        let issuer = x509(&authority.der)?;
        x509(&self.der)?.verify_signature(Some(issuer.public_key())).map_err(|_| foreign())
    }
}

fn parse(block: &Pem) -> Result<X509Certificate<'_>, String> {
    block.parse_x509().map_err(|error| format!("its certificate does not parse: {error}"))
}

fn x509(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|error| format!("its certificate does not parse: {error}"))
}

fn subject(certificate: &X509Certificate<'_>) -> Result<Subject, String> {
    let common_name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let organization = certificate.subject().iter_organization().next().and_then(|name| name.as_str().ok());
    Ok(Subject {
        common_name: common_name.ok_or("its certificate has no common name")?.to_owned(),
        organization: organization.map(str::to_owned),
    })
}

fn usage(certificate: &X509Certificate<'_>) -> Result<Usage, String> {
    let extension = certificate.extended_key_usage().map_err(|error| format!("its key usage: {error}"))?;
    Ok(match extension.map(|extension| (extension.value.server_auth, extension.value.client_auth)) {
        Some((true, true)) => Usage::ServerAndClient,
        Some((true, false)) => Usage::Server,
        _ => Usage::Client,
    })
}

fn names(certificate: &X509Certificate<'_>) -> Result<BTreeSet<AlternativeName>, String> {
    let extension = certificate.subject_alternative_name().map_err(|error| format!("its names: {error}"))?;
    let general_names = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    Ok(general_names.iter().filter_map(alternative_name).collect())
}

fn alternative_name(name: &GeneralName<'_>) -> Option<AlternativeName> {
    match name {
        GeneralName::DNSName(name) => Some(AlternativeName::Name((*name).to_owned())),
        GeneralName::IPAddress(bytes) => address(bytes).map(AlternativeName::Address),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    four.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

//! Making certificates.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::certificate::Certificate;
use super::leaf::{AUTHORITY_LIFETIME, Authority};
use super::profile::{AlternativeName, Profile, Subject, Usage, Validity};
use super::{KeyMaker, MaterialEntry, MaterialName, PkiError};
use crate::base::Secret;

/// An authority that can sign.
pub(super) struct Signer {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub certificate: Certificate,
}

impl Signer {
    /// Reads a stored authority; both halves must parse and belong together.
    pub fn read(name: &MaterialName, entry: &MaterialEntry) -> Result<Self, PkiError> {
        let unusable = |reason: String| PkiError::Unusable { name: name.clone(), reason };
        let pem = entry.certificate.as_deref().ok_or_else(|| unusable("it has no certificate".into()))?;
        let certificate = Certificate::read(pem).map_err(unusable)?;
        let key = read_key(&entry.key).map_err(unusable)?;
        certificate.require_key(&key).map_err(unusable)?;
        if !certificate.is_authority {
            return Err(unusable("its certificate is not an authority's".into()));
        }
        let issuer = Issuer::from_ca_cert_pem(pem, key).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { issuer, certificate })
    }

    /// Makes a key and signs its certificate, which never outlives the authority.
    pub fn issue(
        &self,
        name: &str,
        profile: &Profile,
        validity: Validity,
        maker: &mut dyn KeyMaker,
    ) -> Result<MaterialEntry, PkiError> {
        let (key, text) = make_key(name, maker)?;
        let mut parameters = parameters(name, &profile.subject, validity.within(self.certificate.validity), maker)?;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = extended_key_usages(profile.usage);
        let signing = |source| PkiError::Signing { name: name.to_owned(), source };
        parameters.subject_alt_names =
            profile.names.iter().map(alternative_name).collect::<Result<_, _>>().map_err(signing)?;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(signing)?;
        Ok(MaterialEntry { certificate: Some(certificate.pem()), key: text })
    }
}

/// Makes an authority that may sign leaves and nothing else.
pub(super) fn make_authority(
    authority: Authority,
    now: i64,
    maker: &mut dyn KeyMaker,
) -> Result<MaterialEntry, PkiError> {
    let name = authority.common_name();
    let (key, text) = make_key(name, maker)?;
    let subject = Subject { common_name: name.into(), organization: None };
    let mut parameters = parameters(name, &subject, Validity::starting(now, AUTHORITY_LIFETIME), maker)?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let certificate =
        parameters.self_signed(&key).map_err(|source| PkiError::Signing { name: name.to_owned(), source })?;
    Ok(MaterialEntry { certificate: Some(certificate.pem()), key: text })
}

/// Makes a key; both as a signer and as text.
pub(super) fn make_key(name: &str, maker: &mut dyn KeyMaker) -> Result<(KeyPair, Secret), PkiError> {
    let no_key = |source| PkiError::NoKey { name: name.to_owned(), source };
    let text = maker.p256().map_err(no_key)?;
    let key = read_key(&text).map_err(|reason| no_key(super::KeyMakerError(reason)))?;
    Ok((key, text))
}

/// Reads a PKCS#8 PEM key.
pub(super) fn read_key(text: &Secret) -> Result<KeyPair, String> {
    let pem = std::str::from_utf8(text.expose()).map_err(|_| "its key is not text".to_owned())?;
    KeyPair::from_pem(pem).map_err(|error| format!("its key is not a PKCS#8 PEM key: {error}"))
}

fn parameters(
    name: &str,
    subject: &Subject,
    validity: Validity,
    maker: &mut dyn KeyMaker,
) -> Result<CertificateParams, PkiError> {
    let mut parameters = CertificateParams::default();
    let mut distinguished_name = DistinguishedName::new();
    if let Some(organization) = &subject.organization {
        distinguished_name.push(DnType::OrganizationName, organization.as_str());
    }
    distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
    parameters.distinguished_name = distinguished_name;
    parameters.not_before = date(validity.not_before);
    parameters.not_after = date(validity.not_after);
    parameters.serial_number = Some(serial_number(name, maker)?);
    Ok(parameters)
}

/// 127 random bits: positive (RFC 5280, 4.1.2.2) and far above the 64 that the CA/Browser Forum asks for.
fn serial_number(name: &str, maker: &mut dyn KeyMaker) -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; 16];
    maker.fill(&mut bytes).map_err(|source| PkiError::NoKey { name: name.to_owned(), source })?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn extended_key_usages(usage: Usage) -> Vec<ExtendedKeyUsagePurpose> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    match usage {
        Usage::Client => vec![ClientAuth],
        Usage::Server => vec![ServerAuth],
        Usage::ServerAndClient => vec![ServerAuth, ClientAuth],
    }
}

fn alternative_name(name: &AlternativeName) -> Result<SanType, rcgen::Error> {
    Ok(match name {
        AlternativeName::Address(address) => SanType::IpAddress(*address),
        AlternativeName::Name(name) => SanType::DnsName(name.as_str().try_into()?),
    })
}

/// A time that no calendar has becomes 1970: such a certificate is over and cannot pass unseen.
fn date(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

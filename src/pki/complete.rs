//! Completes what is stored to what a cluster needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::assemble::assemble;
use super::certificate::Certificate;
use super::issue::{Signer, make_authority, make_key, read_key};
use super::leaf::{Authority, LEAF_LIFETIME, LEAVES, METRICS_SERVER, service_profile};
use super::profile::{Profile, Validity};
use super::renewal::{Renewal, RenewalDue, RenewalReason};
use super::{Bundle, KeyMaker, Material, MaterialEntry, MaterialName, PkiError};
use crate::base::Secret;
use crate::cluster::Cluster;

/// Days of life from which on a certificate is warned of.
const WARNING_DAYS: i64 = 60;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct PkiRequest<'a> {
    /// Names, addresses and roles.
    pub cluster: &'a Cluster,
    /// What becomes of a certificate that exists but no longer fits or runs out.
    pub renewal: Renewal,
}

/// Complete material and what was found on the way.
#[derive(Debug)]
pub struct Completion {
    /// What was stored and what was made; to be stored before anything uses it.
    pub material: Material,
    /// What was made, in order; empty where everything was there.
    pub made: Vec<MaterialName>,
    /// What hosts get.
    pub bundle: Bundle,
    /// Certificates of a cluster that has run and that were made anew; whoever uses the old ones must be given these.
    pub renewals: Vec<RenewalDue>,
    /// Every certificate, the authorities' too, and how long it still holds; of those that were renewed, the old ones.
    pub lifetimes: Vec<Lifetime>,
}

impl Completion {
    /// Certificates that run out within 60 days.
    pub fn expiring(&self) -> impl Iterator<Item = &Lifetime> {
        self.lifetimes.iter().filter(|lifetime| lifetime.days < WARNING_DAYS)
    }
}

/// A certificate and how long it still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifetime {
    /// Which.
    pub name: MaterialName,
    /// Days left, negative when it has run out.
    pub days: i64,
}

/// Completes stored material: keeps what is there byte for byte, makes what is missing, and renews what no longer fits or runs
/// out where that is asked for.
///
/// # Errors
///
/// A lost authority is never replaced while a certificate signed by it exists, nor any key of a cluster that has run;
/// stored material that does not parse or does not belong together is an error.
pub fn complete(
    request: &PkiRequest<'_>,
    stored: &Material,
    now: i64,
    maker: &mut dyn KeyMaker,
) -> Result<Completion, PkiError> {
    let (material, made) = (stored.clone(), Vec::new());
    let mut work = Work { request, now, maker, material, made, renewals: Vec::new(), lifetimes: Vec::new() };
    let signers =
        [work.authority(Authority::Cluster)?, work.authority(Authority::Etcd)?, work.authority(Authority::FrontProxy)?];
    work.service_account()?;
    work.encryption()?;
    for node in &request.cluster.nodes {
        for leaf in LEAVES.iter().filter(|leaf| leaf.is_held_by(node)) {
            let (name, wanted) = (MaterialName::leaf(&node.name, leaf.kind), leaf.profile(request.cluster, node));
            work.leaf(name, &wanted, &signers[leaf.authority as usize])?;
        }
    }
    if request.cluster.metrics.is_some() {
        let wanted = service_profile(request.cluster, METRICS_SERVER);
        work.leaf(MaterialName::service(METRICS_SERVER), &wanted, &signers[Authority::Cluster as usize])?;
    }
    let bundle = assemble(request.cluster, &work.material)?;
    let Work { material, made, renewals, lifetimes, .. } = work;
    Ok(Completion { material, made, bundle, renewals, lifetimes })
}

struct Work<'a> {
    request: &'a PkiRequest<'a>,
    now: i64,
    maker: &'a mut dyn KeyMaker,
    material: Material,
    made: Vec<MaterialName>,
    renewals: Vec<RenewalDue>,
    lifetimes: Vec<Lifetime>,
}

impl Work<'_> {
    fn authority(&mut self, authority: Authority) -> Result<Signer, PkiError> {
        let name = MaterialName::authority(authority);
        if !self.material.contains_key(&name) {
            self.refuse_second_authority(authority, &name)?;
            let entry = make_authority(authority, self.now, self.maker)?;
            self.keep(name.clone(), entry);
        }
        let signer = Signer::read(&name, &self.material[&name])?;
        self.note(&name, signer.certificate.validity);
        if signer.certificate.validity.left(self.now) <= 0 {
            let date = day(signer.certificate.validity.not_after);
            return Err(PkiError::AuthorityExpired { name, date });
        }
        Ok(signer)
    }

    fn refuse_second_authority(&self, authority: Authority, name: &MaterialName) -> Result<(), PkiError> {
        let signed = |kind: &str| LEAVES.iter().any(|leaf| leaf.kind == kind && leaf.authority == authority);
        let mut names = self.material.keys();
        match names.find(|name| name.as_leaf_kind().is_some_and(signed)) {
            Some(leaf) => Err(PkiError::AuthorityLost { name: name.clone(), leaf: leaf.clone() }),
            None => self.refuse_if_lost(name),
        }
    }

    fn refuse_if_lost(&self, name: &MaterialName) -> Result<(), PkiError> {
        match self.request.renewal {
            Renewal::Make => Ok(()),
            Renewal::Renew | Renewal::Keep => Err(PkiError::Lost { name: name.clone() }),
        }
    }

    fn service_account(&mut self) -> Result<(), PkiError> {
        let name = MaterialName::service_account();
        if !self.material.contains_key(&name) {
            self.refuse_if_lost(&name)?;
            let (_, key) = make_key(name.as_str(), self.maker)?;
            self.keep(name, MaterialEntry { certificate: None, key });
        }
        Ok(())
    }

    /// The key's name carries its date, so that what it has encrypted can be told from what a later one has.
    fn encryption(&mut self) -> Result<(), PkiError> {
        if self.material.keys().any(|name| name.as_encryption().is_some()) {
            return Ok(());
        }
        let name = MaterialName::encryption(&format!("k{}", day(self.now).replace('-', "")));
        self.refuse_if_lost(&name)?;
        let mut bytes = Zeroizing::new([0; 32]);
        let no_key = |source| PkiError::NoKey { name: name.to_string(), source };
        self.maker.fill(bytes.as_mut()).map_err(no_key)?;
        let key = Secret::new(STANDARD.encode(bytes.as_ref()));
        self.keep(name, MaterialEntry { certificate: None, key });
        Ok(())
    }

    fn leaf(&mut self, name: MaterialName, wanted: &Profile, signer: &Signer) -> Result<(), PkiError> {
        if let Some(entry) = self.material.get(&name) {
            let certificate = read_leaf(&name, entry, signer)?;
            match (self.renewal_reason(&certificate, wanted, signer), self.request.renewal) {
                (Some(_), Renewal::Make) => {}
                (Some(reason), Renewal::Renew) => {
                    self.renewals.push(RenewalDue::new(name.clone(), reason, entry));
                    self.note(&name, certificate.validity);
                    return self.issue(name, wanted, signer);
                }
                (None, _) | (_, Renewal::Keep) => {
                    self.note(&name, certificate.validity);
                    return Ok(());
                }
            }
        }
        self.note(&name, Validity::starting(self.now, LEAF_LIFETIME));
        self.issue(name, wanted, signer)
    }

    fn issue(&mut self, name: MaterialName, wanted: &Profile, signer: &Signer) -> Result<(), PkiError> {
        let validity = Validity::starting(self.now, LEAF_LIFETIME);
        let entry = signer.issue(name.as_str(), wanted, validity, self.maker)?;
        self.keep(name, entry);
        Ok(())
    }

    /// One that ends with its authority is not renewed for its age: another one would end no later.
    fn renewal_reason(&self, certificate: &Certificate, wanted: &Profile, signer: &Signer) -> Option<RenewalReason> {
        if let Some(difference) = certificate.profile.difference(wanted) {
            return Some(RenewalReason::Outdated(difference));
        }
        let validity = certificate.validity;
        let can_live_longer = validity.not_after < signer.certificate.validity.not_after;
        let is_due = validity.is_in_last_third(self.now) && can_live_longer;
        is_due.then(|| RenewalReason::RunsOut { days: days(validity.left(self.now)) })
    }

    fn note(&mut self, name: &MaterialName, validity: Validity) {
        self.lifetimes.push(Lifetime { name: name.clone(), days: days(validity.left(self.now)) });
    }

    fn keep(&mut self, name: MaterialName, entry: MaterialEntry) {
        self.material.insert(name.clone(), entry);
        self.made.push(name);
    }
}

fn read_leaf(name: &MaterialName, entry: &MaterialEntry, signer: &Signer) -> Result<Certificate, PkiError> {
    let unusable = |reason: String| PkiError::Unusable { name: name.clone(), reason };
    let pem = entry.certificate.as_deref().ok_or_else(|| unusable("it has no certificate".into()))?;
    let certificate = Certificate::read(pem).map_err(unusable)?;
    let key = read_key(&entry.key).map_err(unusable)?;
    certificate.require_key(&key).map_err(unusable)?;
    certificate.require_issuer(&signer.certificate).map_err(unusable)?;
    Ok(certificate)
}

fn days(seconds: i64) -> i64 {
    seconds.div_euclid(86_400)
}

/// `2026-11-23`, UTC.
fn day(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| time.date().to_string())
}

//! Identities that are made for one use and are not stored.

use std::collections::BTreeSet;

use super::issue::Signer;
use super::profile::{Profile, Subject, Usage, Validity};
use super::{Authority, Identity, KeyMaker, Material, MaterialName, PkiError};

/// The group that is bound to what the tool and its operators may do. Unlike `system:masters` it obeys the cluster's
/// rules and can be cut off by removing its binding.
pub const ADMINS: &str = "provision:admins";
/// The user as which a run asks etcd for health, members and status. Signed by etcd's authority.
pub const ETCD_CLIENT: &str = "etcd-client";
/// Lifetime of a run's own identity, seconds: one hour.
pub const RUN_LIFETIME_SECONDS: i64 = 3600;
/// Lifetime of the identity in a written kubeconfig, seconds: 90 days, because nothing can revoke it.
pub const ADMIN_LIFETIME_SECONDS: i64 = 90 * 86_400;

impl Subject {
    /// A user of group [`ADMINS`].
    pub fn admin(user: &str) -> Self {
        Self { common_name: user.to_owned(), organization: Some(ADMINS.to_owned()) }
    }

    /// The user that makes the first bindings of a new cluster, when nothing is bound to [`ADMINS`] yet. It passes by
    /// every rule: in memory only, never written.
    pub fn first_bindings() -> Self {
        Self { common_name: "provision:first-bindings".to_owned(), organization: Some("system:masters".to_owned()) }
    }

    /// The run's own user at etcd, which knows no groups.
    pub fn etcd_client() -> Self {
        Self { common_name: ETCD_CLIENT.to_owned(), organization: None }
    }
}

/// Signs a client identity with a stored authority. It is not stored.
pub fn run_identity(
    material: &Material,
    authority: Authority,
    subject: Subject,
    validity: Validity,
    maker: &mut dyn KeyMaker,
) -> Result<Identity, PkiError> {
    let name = MaterialName::authority(authority);
    let entry = material.get(&name).ok_or_else(|| PkiError::Lost { name: name.clone() })?;
    let signer = Signer::read(&name, entry)?;
    let label = subject.to_string();
    let profile = Profile { subject, usage: Usage::Client, names: BTreeSet::new() };
    let entry = signer.issue(&label, &profile, validity, maker)?;
    Ok(Identity { certificate: entry.certificate.unwrap_or_default(), key: entry.key })
}

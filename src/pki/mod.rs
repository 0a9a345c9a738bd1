//! Keys and certificates: what a cluster needs, what is there, what is missing or running out.
//!
//! Pure: material that exists, the clock and the maker of keys are passed in. Whoever calls stores the result before
//! anything uses it.

mod assemble;
mod bundle;
mod certificate;
mod complete;
mod error;
mod fingerprints;
mod issue;
mod leaf;
mod maker;
mod material;
mod profile;
mod renewal;
mod run_identity;
#[cfg(test)]
mod tests;

pub use bundle::{
    Bundle, ControlPlaneIdentities, EncryptionKey, EtcdIdentities, Identity, NodeIdentities, ServiceAccountKey,
};
pub use complete::{Completion, Lifetime, PkiRequest, complete};
pub use error::PkiError;
pub use leaf::Authority;
pub use maker::{KeyMaker, KeyMakerError};
pub use material::{InvalidMaterialName, Material, MaterialEntry, MaterialName};
pub use profile::{AlternativeName, Profile, Subject, Usage, Validity};
pub use renewal::{Renewal, RenewalDue, RenewalReason};
pub use run_identity::{ADMIN_LIFETIME_SECONDS, ADMINS, ETCD_CLIENT, RUN_LIFETIME_SECONDS, run_identity};

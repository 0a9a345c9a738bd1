//! The release catalog: what each Kubernetes minor is made of, as data.

mod catalog;
mod error;
mod release;

pub use catalog::Catalog;
pub use error::CatalogError;
pub use release::{
    ArgumentChanges, Arguments, Configuration, ContainerdRange, Images, PodSecurityMechanism, Proof, Release,
};

//! The release catalog: what each Kubernetes minor is made of, as data.

mod canal_line;
mod catalog;
mod error;
mod one_way;
mod row;

pub use canal_line::{AccessRule, CalicoKind, CanalLine};
pub use catalog::Catalog;
pub use error::CatalogError;
pub use one_way::OneWay;
pub use row::{
    ArgumentChanges, Arguments, Configuration, ContainerdRange, Images, PodSecurityMechanism, Proof, Release,
};

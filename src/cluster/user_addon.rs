//! Add-ons of the operator's own.

use crate::state::Object;

/// What one source of `cluster.yml` asks for besides the tool's own add-ons: parsed and checked, applied as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct UserAddon {
    /// Where it comes from, as the operator wrote it; unique among a cluster's add-ons, and what plans and errors say.
    pub name: String,
    /// Its objects in the order of the source. An object of a kind that has namespaces names one.
    pub objects: Vec<Object>,
}

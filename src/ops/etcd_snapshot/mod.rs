//! `etcd snapshot`: save, list, verify, restore.

mod abort;
mod error;
mod listing;
mod restore;
mod save;
mod site;
mod usable;
mod verify;
mod way_back;

use crate::journal::State;

pub use abort::abort_restore;
pub(super) use abort::discard_unless_begun;
pub use error::SnapshotError;
pub use listing::{Listed, Listing};
pub use restore::{LossConsent, Restored, restore_snapshot};
pub use save::save_snapshot;
pub use site::{SnapshotInput, snapshot_spec};
pub use verify::verify_snapshots;
pub(super) use way_back::{offer, restoration};

use super::OperationError;
use crate::plan::Restoration;

/// Lists what lies on the etcd hosts. Digests of large files are those that the host remembers, as long as it has not seen
/// the file change; `verify` reads every byte.
pub async fn list_snapshots(input: &SnapshotInput<'_>) -> Result<Listing, OperationError> {
    let site = site::Site::open(input).await;
    let mut listing = site.listing();
    let etcd = |name: &&crate::base::NodeName| input.loaded.cluster.etcd_members().any(|node| node.name == **name);
    let failures = site.failures.iter().filter(|(name, _)| etcd(name));
    listing.unreachable = failures.map(|(name, reason)| (name.clone(), reason.clone())).collect();
    if listing.unreachable.len() == input.loaded.cluster.etcd_members().count() {
        return Err(SnapshotError::Unreachable(listing.unreachable.into_values().collect()).into());
    }
    Ok(listing)
}

/// A cluster in the middle of a restore must not be changed by anything else than its continuation.
pub(super) fn refuse_unfinished_restore(state: &State, own: Option<&Restoration>) -> Result<(), SnapshotError> {
    let others = state.restore().filter(|intent| own.is_none_or(|own| own.stamp != intent.stamp));
    others.map_or(Ok(()), |intent| Err(SnapshotError::Unfinished(intent.clone())))
}

//! The snapshot that was taken before an upgrade, for taking the upgrade back with it.

use super::SnapshotError;
use super::listing::{Listed, Listing};
use super::restore::{prepare, stamp};
use super::site::{Site, SnapshotInput, identity};
use crate::base::KubernetesVersion;
use crate::journal::{Generation, GenerationNumber};
use crate::ops::OperationError;
use crate::plan::{Restoration, is_way_back};
use crate::state::SnapshotRecord;

/// The snapshot with which `target` is gone back to, checked and ready; `input.loaded` is its configuration. One whose
/// restore was begun for this is taken again.
pub(in crate::ops) async fn restoration(
    input: &SnapshotInput<'_>,
    target: &Generation,
) -> Result<Restoration, OperationError> {
    let cluster = identity(input)?;
    let site = Site::open(input).await;
    let begun = input.state.restore().filter(|intent| intent.back_to == Some(target.number));
    let name = match begun {
        Some(intent) => intent.snapshot.clone(),
        None => {
            let listing = site.listing();
            let found = chosen(&listing, target.number, &input.loaded.cluster.version);
            found.ok_or(SnapshotError::NoneOf(target.number))?.name.clone()
        }
    };
    prepare(input, &site, &cluster, &name, stamp(input, &name)).await
}

/// What a rollback to `target` could be offered, as far as records tell.
pub(in crate::ops) async fn offer(input: &SnapshotInput<'_>, target: &Generation) -> Option<SnapshotRecord> {
    let site = Site::open(input).await;
    let listing = site.listing();
    chosen(&listing, target.number, &input.loaded.cluster.version)?.record.clone()
}

/// The newest one that was taken before an upgrade of this generation while nothing newer ran.
fn chosen<'a>(listing: &'a Listing, generation: GenerationNumber, version: &KubernetesVersion) -> Option<&'a Listed> {
    let fits = |listed: &&Listed| {
        let record = listed.record.as_ref().filter(|_| !listed.whole_on.is_empty());
        record.is_some_and(|record| is_way_back(record, generation.0, version))
    };
    // They are sorted by time.
    listing.snapshots.iter().rev().find(fits)
}

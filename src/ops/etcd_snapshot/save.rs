//! `etcd snapshot save`.

use super::site::{Site, SnapshotInput, identity, run};
use super::{Listed, SnapshotError, refuse_unfinished_restore};
use crate::journal::StateFolder;
use crate::ops::OperationError;
use crate::plan::{Plan, SnapshotSpec, snapshot_step};
use crate::state::SnapshotName;

/// Takes a snapshot, brings it to every etcd host and verifies it there.
pub async fn save_snapshot(
    folder: &mut StateFolder,
    input: &SnapshotInput<'_>,
    name: SnapshotName,
) -> Result<Listed, OperationError> {
    refuse_unfinished_restore(folder.state(), None)?;
    let cluster = identity(input)?;
    let mut site = Site::open(input).await;
    site.require(input.loaded.cluster.etcd_members().map(|node| &node.name))?;
    if site.listing().find(&name).is_ok() {
        return Err(SnapshotError::Exists(name).into());
    }
    let spec =
        SnapshotSpec { name: name.clone(), stamped: false, cluster, members: site.members()?, generations: Vec::new() };
    let plan = Plan { steps: vec![snapshot_step(spec, "asked for")], ..Plan::default() };
    let outcome = run(folder, input, &site, &plan).await?;
    if !outcome.failed.is_empty() {
        return Err(SnapshotError::NotTaken(outcome.failed.into_iter().map(|(_, error)| error).collect()).into());
    }
    if !outcome.is_complete() {
        return Err(OperationError::Cancelled);
    }
    site.look().await;
    Ok(site.listing().find(&name)?.clone())
}

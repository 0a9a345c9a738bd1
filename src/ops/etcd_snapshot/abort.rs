//! `etcd snapshot restore --abort`: a restore that has not replaced any member's data is given up.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::SnapshotError;
use super::restore::reasons;
use super::site::{Site, SnapshotInput, run};
use crate::base::{Epoch, NodeName};
use crate::host::{Change, SharedHost};
use crate::journal::{RestoreIntent, State, StateFolder};
use crate::ops::OperationError;
use crate::plan::{Restoration, abort_restore as abort_plan};

/// Lets etcd and the control plane go on with the data that they had. Gives what was given up.
///
/// # Errors
///
/// [`SnapshotError::NotUnderWay`] where none was begun; [`SnapshotError::TooLate`] where a member has its new data, or is about
/// to get it; [`SnapshotError::Unreachable`] where that cannot be seen, as it must be on all etcd hosts.
pub async fn abort_restore(
    folder: &mut StateFolder,
    input: &SnapshotInput<'_>,
) -> Result<RestoreIntent, OperationError> {
    let intent = folder.state().restore().cloned().ok_or(SnapshotError::NotUnderWay)?;
    let cluster = &input.loaded.cluster;
    let site = Site::open(input).await;
    let needed = cluster.nodes.iter().filter(|node| node.roles.etcd || node.roles.control_plane);
    site.require(needed.map(|node| &node.name))?;
    let hosts = site.restored();
    if !hosts.is_empty() {
        return Err(SnapshotError::TooLate { intent, hosts }.into());
    }
    let plan = abort_plan(cluster, &intent.stamp, &site.members()?);
    let outcome = run(folder, input, &site, &plan).await?;
    if !outcome.is_complete() {
        return Err(SnapshotError::NotGivenUp { intent, reasons: reasons(&outcome) }.into());
    }
    folder.store_restore(None)?;
    Ok(intent)
}

/// Takes away what a restore has prepared that ended before it had begun: as much as a database, on etcd's disk. Where that
/// fails, the next snapshot that is taken or restored does it.
pub(in crate::ops) async fn discard_unless_begun(
    state: &State,
    hosts: &BTreeMap<NodeName, SharedHost>,
    restoration: &Restoration,
) {
    if state.restore().is_some() {
        return;
    }
    let change = Change::DiscardRestore(restoration.stamp.clone());
    let hosts = restoration.members.iter().filter_map(|member| hosts.get(&member.node));
    join_all(hosts.map(|host| host.change(Epoch::FIRST, &change, &|_| ()))).await;
}

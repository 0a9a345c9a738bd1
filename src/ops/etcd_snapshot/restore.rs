//! `etcd snapshot restore`: everything is checked, then the operator is asked, then something is touched.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use super::SnapshotError;
use super::abort::discard_unless_begun;
use super::listing::Listed;
use super::site::{Site, SnapshotInput, identity, run};
use super::usable::objections;
use super::verify::verify_on;
use crate::base::NodeName;
use crate::engine::Outcome;
use crate::event::Event;
use crate::journal::StateFolder;
use crate::ops::OperationError;
use crate::plan::{Plan, Restoration, RestoreInput, SnapshotMember, replaced_data, restore_snapshot as restore_plan};
use crate::state::{SnapshotCluster, SnapshotName, SnapshotRecord};

/// Asks the operator whether everything after a snapshot may be lost.
pub trait LossConsent: Send + Sync {
    /// Shows what would be done and waits for the answer.
    fn ask<'a>(&'a self, record: &'a SnapshotRecord, plan: &'a Plan) -> BoxFuture<'a, bool>;
}

/// A restore that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What etcd holds now.
    pub record: SnapshotRecord,
    /// Where each etcd host keeps the data that was replaced.
    pub old_data: String,
}

/// Takes etcd and the control plane back to a snapshot. One that was interrupted is gone on with.
pub async fn restore_snapshot(
    folder: &mut StateFolder,
    input: &SnapshotInput<'_>,
    name: &SnapshotName,
    consent: &dyn LossConsent,
) -> Result<Restored, OperationError> {
    refuse_other(folder, name)?;
    let cluster = identity(input)?;
    let site = Site::open(input).await;
    let restoration = prepare(input, &site, &cluster, name, stamp(input, name)).await?;
    refuse_second(folder, &site, name)?;
    let reached: Vec<NodeName> = site.hosts.keys().cloned().collect();
    let plan =
        restore_plan(&RestoreInput { cluster: &input.loaded.cluster, restoration: &restoration, reached: &reached });
    for (node, reason) in &site.failures {
        let text = format!("{node} is left out, and its kubelet must be restarted by hand: {reason}");
        input.events.emit(Event::Notice { text });
    }
    if !consent.ask(&restoration.record, &plan).await {
        return Err(OperationError::Declined);
    }
    let outcome = run(folder, input, &site, &plan).await?;
    if !outcome.is_complete() {
        discard_unless_begun(folder.state(), &site.hosts, &restoration).await;
        let (name, reasons) = (name.clone(), reasons(&outcome));
        let has_begun = folder.state().restore().is_some();
        let error = if has_begun {
            SnapshotError::NotRestored { name, reasons }
        } else {
            SnapshotError::NotBegun { name, reasons }
        };
        return Err(error.into());
    }
    folder.store_restore(None)?;
    let Restoration { record, stamp, .. } = restoration;
    Ok(Restored { record, old_data: replaced_data(&stamp) })
}

/// Why a run has not come to its end.
pub(super) fn reasons(outcome: &Outcome) -> Vec<String> {
    if outcome.failed.is_empty() {
        return vec!["it was stopped".into()];
    }
    outcome.failed.iter().map(|(step, error)| format!("{step}: {error}")).collect()
}

/// A rollback that was begun with a snapshot ends as one: components of two versions must not meet that data.
fn refuse_other(folder: &StateFolder, name: &SnapshotName) -> Result<(), SnapshotError> {
    match folder.state().restore() {
        Some(intent) if intent.back_to.is_some() && intent.snapshot == *name => {
            Err(SnapshotError::Unfinished(intent.clone()))
        }
        _ => Ok(()),
    }
}

/// Members with the data of two snapshots would be one cluster that holds two things: once a member has its data, all others
/// get the same.
fn refuse_second(folder: &StateFolder, site: &Site<'_>, name: &SnapshotName) -> Result<(), SnapshotError> {
    let hosts = site.restored();
    match folder.state().restore() {
        Some(intent) if intent.snapshot != *name && !hosts.is_empty() => {
            Err(SnapshotError::TooLate { intent: intent.clone(), hosts })
        }
        _ => Ok(()),
    }
}

/// Checks everything that speaks against restoring a snapshot into this cluster, its bytes on all hosts included.
pub(super) async fn prepare(
    input: &SnapshotInput<'_>,
    site: &Site<'_>,
    cluster: &SnapshotCluster,
    name: &SnapshotName,
    stamp: String,
) -> Result<Restoration, OperationError> {
    let needed = input.loaded.cluster.nodes.iter().filter(|node| node.roles.etcd || node.roles.control_plane);
    site.require(needed.map(|node| &node.name))?;
    let replacing = site.replacing();
    if !replacing.is_empty() {
        return Err(SnapshotError::Replacing(replacing).into());
    }
    let listed = site.listing().find(name)?.clone();
    let unusable = |reasons| SnapshotError::Unusable { name: name.clone(), reasons };
    let members = site.members()?;
    let record = listed.record.clone().ok_or_else(|| unusable(damages(&listed)))?;
    let objections = objections(&record, cluster, members.iter().map(|member| &member.image.reference));
    if !objections.is_empty() {
        return Err(unusable(objections).into());
    }
    let whole = whole(input, site, &listed, &record, &members).await?;
    let Some(holder) = members.iter().map(|member| &member.node).find(|node| whole[*node].is_ok()).cloned() else {
        let reasons = whole.iter().filter_map(|(node, state)| Some(format!("{node}: {}", state.as_ref().err()?)));
        return Err(unusable(reasons.collect()).into());
    };
    for (node, state) in &whole {
        if let Err(reason) = state {
            let text = format!("{node} has no whole copy and gets one: {reason}");
            input.events.emit(Event::Notice { text });
        }
    }
    let lacking = whole.into_iter().filter(|(_, state)| state.is_err()).map(|(node, _)| node).collect();
    Ok(Restoration { record, stamp, members, holder, lacking })
}

fn damages(listed: &Listed) -> Vec<String> {
    listed.damaged_on.iter().map(|(node, damage)| format!("{node}: {damage}")).collect()
}

/// That of the one that was begun with this snapshot, or a new one.
pub(super) fn stamp(input: &SnapshotInput<'_>, name: &SnapshotName) -> String {
    let begun = input.state.restore().filter(|intent| intent.snapshot == *name);
    begun.map_or_else(|| input.run.to_string(), |intent| intent.stamp.clone())
}

/// Which etcd hosts have it whole, and what is wrong with it on the others.
async fn whole(
    input: &SnapshotInput<'_>,
    site: &Site<'_>,
    listed: &Listed,
    record: &SnapshotRecord,
    members: &[SnapshotMember],
) -> Result<BTreeMap<NodeName, Result<(), String>>, OperationError> {
    let holders = members.iter().filter(|member| listed.whole_on.contains(&member.node));
    let mut found = verify_on(input, site, record, holders).await?;
    let damaged = listed.damaged_on.iter().map(|(node, damage)| (node.clone(), Err(damage.clone())));
    found.extend(damaged);
    found.extend(listed.missing_on.iter().map(|node| (node.clone(), Err("it is not there".to_owned()))));
    Ok(found)
}

//! `etcd snapshot verify`.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::SnapshotError;
use super::listing::{Listed, Listing};
use super::site::{Site, SnapshotInput};
use crate::base::{Epoch, NodeName};
use crate::event::Event;
use crate::host::{Change, SnapshotCheck};
use crate::ops::OperationError;
use crate::plan::SnapshotMember;
use crate::state::{SnapshotName, SnapshotRecord};

/// Reads every byte of a snapshot on every etcd host and restores it there into a scratch etcd; all snapshots where none is
/// named.
///
/// # Errors
///
/// [`SnapshotError::NotVerified`] names what is damaged or missing, and where.
pub async fn verify_snapshots(
    input: &SnapshotInput<'_>,
    name: Option<&SnapshotName>,
) -> Result<Vec<Listed>, OperationError> {
    let site = Site::open(input).await;
    site.require(input.loaded.cluster.etcd_members().map(|node| &node.name))?;
    let Listing { snapshots, .. } = match name {
        Some(name) => Listing { snapshots: vec![site.listing().find(name)?.clone()], ..Listing::default() },
        None => site.listing(),
    };
    let members = site.members()?;
    let mut wrong = Vec::new();
    for listed in &snapshots {
        wrong.extend(problems(input, &site, &members, listed).await?);
    }
    if wrong.is_empty() { Ok(snapshots) } else { Err(SnapshotError::NotVerified(wrong).into()) }
}

async fn problems(
    input: &SnapshotInput<'_>,
    site: &Site<'_>,
    members: &[SnapshotMember],
    listed: &Listed,
) -> Result<Vec<String>, OperationError> {
    let name = &listed.name;
    let line = |node: &NodeName, reason: &str| format!("{name} on {node}: {reason}");
    let mut wrong: Vec<String> = listed.damaged_on.iter().map(|(node, reason)| line(node, reason)).collect();
    wrong.extend(listed.missing_on.iter().map(|node| line(node, "it is not there")));
    if let Some(record) = &listed.record {
        let holders = members.iter().filter(|member| listed.whole_on.contains(&member.node));
        let results = verify_on(input, site, record, holders).await?;
        let failed = results.iter().filter_map(|(node, result)| Some((node, result.as_ref().err()?)));
        wrong.extend(failed.map(|(node, reason)| line(node, reason)));
    }
    Ok(wrong)
}

/// Verifies a snapshot on each of these hosts at once. A host ends what it has begun and cleans up, whatever becomes of us.
pub(super) async fn verify_on<'m>(
    input: &SnapshotInput<'_>,
    site: &Site<'_>,
    record: &SnapshotRecord,
    members: impl Iterator<Item = &'m SnapshotMember>,
) -> Result<BTreeMap<NodeName, Result<(), String>>, OperationError> {
    let members: Vec<&SnapshotMember> = members.collect();
    let hosts: Vec<&str> = members.iter().map(|member| member.node.as_str()).collect();
    if hosts.is_empty() {
        return Ok(BTreeMap::new());
    }
    let text = format!("verifying snapshot {} on {}", record.name, hosts.join(", "));
    input.events.emit(Event::Phase { text });
    let checks = members.into_iter().filter_map(|member| {
        let host = site.hosts.get(&member.node)?;
        let check = SnapshotCheck { image: member.image.clone(), record: record.clone() };
        let change = Change::VerifySnapshot(Box::new(check));
        Some(async move {
            let result = host.change(Epoch::FIRST, &change, &|_| {}).await;
            (member.node.clone(), result.map_err(|error| error.to_string()))
        })
    });
    tokio::select! {
        results = join_all(checks) => Ok(results.into_iter().collect()),
        () = stopped(input) => Err(OperationError::Cancelled),
    }
}

/// Returns once the operator has wished to stop.
async fn stopped(input: &SnapshotInput<'_>) {
    while !input.cancellation.stops() {
        // A wish between the look and the wait is seen at the next look.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), input.cancellation.changed()).await;
    }
}

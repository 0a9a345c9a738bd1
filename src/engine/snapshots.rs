//! Snapshots of etcd: taken on one host, kept on all.

use std::fs::File;
use std::sync::Arc;

use futures::future::{join_all, try_join_all};

use crate::base::{NodeName, StepId};
use crate::entropy::RandomKeyMaker;
use crate::event::Event;
use crate::host::{Change, HostError, LookRequest, Payload, SharedHost, SnapshotCheck, SnapshotSave, Transfer};
use crate::pki::KeyMaker as _;
use crate::plan::{SnapshotMember, SnapshotSpec, Step, superfluous};
use crate::state::{
    Component, Content, DirectorySpec, FileSpec, Owner, SNAPSHOT_FOLDER, SnapshotFacts, SnapshotName, SnapshotRecord,
    Taken,
};

use super::Context;
use super::actions::StepError;

/// Why a snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFailure {
    /// No member could give one.
    #[error("no member of etcd gives a snapshot: {}", .0.join("; "))]
    NobodyTakes(Vec<String>),
    /// What the host has found out about it cannot be understood.
    #[error("{host}: {path}: {reason}")]
    Facts {
        /// Host.
        host: NodeName,
        /// File.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// This machine has no room, or no randomness.
    #[error("{operation}: {reason}")]
    Here {
        /// What was being done.
        operation: &'static str,
        /// The system's words.
        reason: String,
    },
    /// It cannot be restored.
    #[error("the snapshot does not pass its verification and was removed: {0}")]
    Unusable(String),
}

/// Takes a snapshot, brings it to all members' hosts and verifies it there.
pub(super) async fn save(step: &Step, spec: &SnapshotSpec, context: &Context<'_>) -> Result<(), StepError> {
    let now = jiff::Timestamp::now();
    let name = name(spec, now);
    let work = Work { step: &step.id, name: &name, context };
    let (member, canary) = take(&work, spec).await?;
    let result = keep(&work, spec, member, canary, now).await;
    if result.is_err() {
        // One that is not whole, or not what it should be, must not be taken for a snapshot later.
        let _ = join_all(spec.members.iter().map(|member| work.remove(&member.node, &name))).await;
    }
    if result.is_ok() && spec.stamped {
        make_room(&work, spec).await;
    }
    result
}

/// Removes what was taken like this and nobody needs any more. The new one is whole: that old ones stay is no failure.
async fn make_room(work: &Work<'_>, spec: &SnapshotSpec) {
    let nodes = || spec.members.iter().map(|member| &member.node);
    let looks = join_all(nodes().map(|node| records(work, node))).await;
    let mut known: Vec<SnapshotRecord> = looks.into_iter().flatten().flatten().collect();
    known.sort_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name)));
    known.dedup();
    for name in superfluous(&known, &spec.generations) {
        work.waits(format!("old snapshot {name} to be removed"));
        for failure in join_all(nodes().map(|node| work.remove(node, &name))).await.into_iter().filter_map(Result::err)
        {
            let text = format!("old snapshot {name} could not be removed: {failure}");
            work.context.events.emit(Event::Notice { text });
        }
    }
}

/// The records that lie on a host and can be read.
async fn records(work: &Work<'_>, node: &NodeName) -> Result<Vec<SnapshotRecord>, StepError> {
    let host = work.host(node)?;
    let seen = host.look(&LookRequest { folders: vec![SNAPSHOT_FOLDER.into()], ..LookRequest::default() }).await?;
    let texts = seen.entries.into_keys().filter(|path| path.ends_with(".json")).collect();
    let seen = host.look(&LookRequest { texts, ..LookRequest::default() }).await?;
    Ok(seen.merged_files.values().filter_map(|text| SnapshotRecord::parse(text).ok()).collect())
}

fn name(spec: &SnapshotSpec, now: jiff::Timestamp) -> SnapshotName {
    // To the millisecond: a run that died may be gone on with in the same second.
    let stamped = format!("{}-{}", spec.name, now.strftime("%Y%m%dT%H%M%S.%3fZ"));
    // A name that is too long with the time goes without it.
    SnapshotName::new(stamped).ok().filter(|_| spec.stamped).unwrap_or_else(|| spec.name.clone())
}

/// The first member that can.
async fn take<'a>(work: &Work<'_>, spec: &'a SnapshotSpec) -> Result<(&'a SnapshotMember, String), StepError> {
    let mut reasons = Vec::new();
    for member in &spec.members {
        work.waits(format!("{} to take it", member.node));
        let canary = canary()?;
        let (name, image) = (work.name.clone(), member.image.clone());
        let save = SnapshotSave { name, image, owner: member.owner, canary: canary.clone() };
        match work.change(&member.node, Change::SaveSnapshot(Box::new(save))).await {
            Ok(()) => return Ok((member, canary)),
            Err(StepError::Host(error @ HostError::Refused { .. })) => reasons.push(error.to_string()),
            // A host that we lost may still be at it, under this name.
            Err(error) => return Err(error),
        }
    }
    Err(SnapshotFailure::NobodyTakes(reasons).into())
}

fn canary() -> Result<String, SnapshotFailure> {
    let mut random = [0; 16];
    let operation = "making the canary's value";
    RandomKeyMaker.fill(&mut random).map_err(|error| SnapshotFailure::Here { operation, reason: error.to_string() })?;
    Ok(hex::encode(random))
}

async fn keep(
    work: &Work<'_>,
    spec: &SnapshotSpec,
    member: &SnapshotMember,
    canary: String,
    now: jiff::Timestamp,
) -> Result<(), StepError> {
    let facts = facts(work, &member.node).await?;
    let created = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let taken = Taken { by: member.node.clone(), facts, canary };
    let record = SnapshotRecord::new(work.name.clone(), created, spec.cluster.clone(), taken);
    let others: Vec<&NodeName> =
        spec.members.iter().map(|other| &other.node).filter(|node| **node != member.node).collect();
    if !others.is_empty() {
        let transfer = fetch(work, &member.node, &record).await?;
        work.waits(format!("{} to get it", list(&others)));
        try_join_all(others.iter().map(|node| work.change(node, send(&record, transfer.clone())))).await?;
    }
    let nodes: Vec<&NodeName> = spec.members.iter().map(|member| &member.node).collect();
    try_join_all(nodes.iter().map(|node| work.change(node, write_record(&record)))).await?;
    work.change(&member.node, Change::Remove(vec![work.name.facts_path()])).await?;
    work.waits(format!("{} to restore it into a scratch etcd", list(&nodes)));
    let check = |member: &SnapshotMember| SnapshotCheck { image: member.image.clone(), record: record.clone() };
    let checks = spec.members.iter().map(|member| {
        let change = Change::VerifySnapshot(Box::new(check(member)));
        async move { work.change(&member.node, change).await }
    });
    match try_join_all(checks).await {
        Ok(_) => Ok(()),
        Err(StepError::Host(error @ HostError::Refused { .. })) => {
            Err(SnapshotFailure::Unusable(error.to_string()).into())
        }
        Err(error) => Err(error),
    }
}

fn list(nodes: &[&NodeName]) -> String {
    nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>().join(", ")
}

/// Brings a snapshot from the host that has it.
pub(super) async fn bring(
    step: &Step,
    from: &NodeName,
    record: &SnapshotRecord,
    context: &Context<'_>,
) -> Result<(), StepError> {
    let work = Work { step: &step.id, name: &record.name, context };
    let to = step.host.as_ref().expect("only steps of a host bring something to it");
    let transfer = fetch(&work, from, record).await?;
    work.change(to, send(record, transfer)).await?;
    work.change(to, write_record(record)).await
}

/// Copies a snapshot to this machine: into a file without a name, which is gone with the run.
async fn fetch(work: &Work<'_>, from: &NodeName, record: &SnapshotRecord) -> Result<Transfer, StepError> {
    work.waits(format!("{from} to give it"));
    let operation = "making a file for the snapshot on its way";
    let here = |error: std::io::Error| SnapshotFailure::Here { operation, reason: error.to_string() };
    let file: File = tempfile::tempfile().map_err(here)?;
    let (path, size, wanted) = (record.name.database_path(), record.etcd.size, &record.etcd.sha256);
    let seen = work.host(from)?.copy_file(&path, size, &file).await?;
    if seen != *wanted {
        let reason = format!("it came with digest {seen} instead of {wanted}");
        return Err(SnapshotFailure::Facts { host: from.clone(), path, reason }.into());
    }
    let source = Payload::Part { name: format!("etcd snapshot {}", record.name), file: Arc::new(file), offset: 0 };
    Ok(Transfer { source, size, digest: wanted.clone() })
}

fn send(record: &SnapshotRecord, payload: Transfer) -> Change {
    Change::Send { path: record.name.database_path(), owner: Owner::ROOT, mode: 0o600, payload }
}

fn write_record(record: &SnapshotRecord) -> Change {
    let (component, owner) = (Component::Etcd, Owner::ROOT);
    let folder = DirectorySpec { path: SNAPSHOT_FOLDER.into(), component, owner, mode: 0o700 };
    let content = Content::Text(record.text());
    let file = FileSpec { path: record.name.record_path(), component, owner, mode: 0o600, content };
    Change::Write { directories: vec![folder], files: vec![file], links: Vec::new() }
}

async fn facts(work: &Work<'_>, node: &NodeName) -> Result<SnapshotFacts, StepError> {
    let path = work.name.facts_path();
    let request = LookRequest { texts: vec![path.clone()], ..LookRequest::default() };
    let seen = work.host(node)?.look(&request).await?;
    let text = seen.merged_files.get(&path).map(String::as_str).unwrap_or_default();
    let facts = SnapshotFacts::parse(text);
    facts.map_err(|reason| SnapshotFailure::Facts { host: node.clone(), path, reason }.into())
}

/// A snapshot that is worked on.
struct Work<'a> {
    step: &'a StepId,
    name: &'a SnapshotName,
    context: &'a Context<'a>,
}

impl Work<'_> {
    fn waits(&self, reason: String) {
        self.context.events.emit(Event::StepWaits { step: self.step.clone(), reason });
    }

    fn host(&self, node: &NodeName) -> Result<&SharedHost, StepError> {
        self.context.world.hosts.get(node).ok_or_else(|| StepError::NoHost(node.clone()))
    }

    async fn change(&self, node: &NodeName, change: Change) -> Result<(), StepError> {
        let total = if let Change::Send { payload, .. } = &change { payload.size } else { 0 };
        let progress = |sent: u64| {
            self.context.events.emit(Event::StepProgress { step: self.step.clone(), sent, total });
        };
        Ok(self.host(node)?.change(self.context.world.epoch, &change, &progress).await?)
    }

    async fn remove(&self, node: &NodeName, name: &SnapshotName) -> Result<(), StepError> {
        self.change(node, Change::Remove(vec![name.record_path(), name.database_path(), name.facts_path()])).await
    }
}

//! The etcd hosts of a cluster and what lies on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::base::{Epoch, KubernetesVersion, NodeName, RunId};
use crate::cluster::Cluster;
use crate::endpoints::{Credentials, Endpoints};
use crate::engine::{self, Cancellation, Context, Outcome, World};
use crate::entropy::RandomKeyMaker;
use crate::event::{Event, EventSink};
use crate::host::{LookRequest, SharedHost};
use crate::journal::{State, StateFolder};
use crate::pki::{self, Bundle, PkiRequest, Renewal};
use crate::plan::{Plan, SnapshotMember, SnapshotSpec, is_stopped_for_restore, replaced_data};
use crate::state::{
    Component, HostSnapshot, Observed, ObservedEntry, ObservedHost, ObservedSwap, Owner, SNAPSHOT_FOLDER,
    SnapshotCluster, SnapshotName, SnapshotRecord, etcd_minor,
};

use super::SnapshotError;
use super::listing::{Copy, Listing};
use crate::ops::connect::{Connections, Reach};
use crate::ops::journal_log::JournalLog;
use crate::ops::load::Loaded;
use crate::ops::survey::connected;
use crate::ops::{OperationError, keys};

/// Everything that operations on snapshots need.
pub struct SnapshotInput<'a> {
    /// The checked cluster.
    pub loaded: &'a Loaded,
    /// What the state folder holds.
    pub state: &'a State,
    /// The way to the hosts.
    pub reach: &'a dyn Reach,
    /// Seconds since 1970.
    pub now: i64,
    /// The run.
    pub run: RunId,
    /// Where progress goes.
    pub events: &'a dyn EventSink,
    /// The operator's wish to stop.
    pub cancellation: &'a Cancellation,
    /// How long a step waits for what it has started.
    pub patience: Duration,
}

/// The cluster that snapshots are of, as the state folder and the file know it.
pub(super) fn identity(input: &SnapshotInput<'_>) -> Result<SnapshotCluster, OperationError> {
    let request = PkiRequest { cluster: &input.loaded.cluster, renewal: Renewal::Keep };
    let stored = keys::material(input.state);
    if stored.is_empty() {
        return Err(SnapshotError::NoCluster.into());
    }
    let completion = pki::complete(&request, &stored, input.now, &mut RandomKeyMaker)?;
    Ok(identity_of(input.loaded, input.state, &completion.bundle).ok_or(SnapshotError::NoCluster)?)
}

/// The same from keys that are at hand; none before an `up` has ended well.
fn identity_of(loaded: &Loaded, state: &State, bundle: &Bundle) -> Option<SnapshotCluster> {
    let (generation, etcd) = (state.current()?, state.etcd()?);
    let applied = crate::ops::load::cluster_of(&generation.config, &loaded.catalog);
    Some(SnapshotCluster {
        name: loaded.cluster.name.clone(),
        token: etcd.token.clone(),
        kubernetes_version: applied.as_ref().unwrap_or(&loaded.cluster).version.clone(),
        generation: generation.number.0,
        fingerprints: bundle.fingerprints(),
    })
}

/// What a step needs that takes a snapshot before something else is done; the time is put behind its name. None where no
/// `up` has ended well, or no member was seen.
pub fn snapshot_spec(
    name: SnapshotName,
    loaded: &Loaded,
    state: &State,
    bundle: &Bundle,
    observed: &Observed,
) -> Option<SnapshotSpec> {
    let mut cluster = identity_of(loaded, state, bundle)?;
    if let Some(newest) = newest_apiserver(observed) {
        cluster.kubernetes_version = cluster.kubernetes_version.max(newest);
    }
    let members = loaded.cluster.etcd_members().filter_map(|node| match observed.hosts.get(&node.name) {
        Some(ObservedHost::Reached(seen)) => member(&loaded.cluster, &node.name, seen),
        _ => None,
    });
    let members = oldest_first(members.collect());
    let generations = state.generations().iter().filter_map(|generation| {
        let applied = crate::ops::load::cluster_of(&generation.config, &loaded.catalog)?;
        Some((generation.number.0, applied.version))
    });
    let generations = generations.collect();
    (!members.is_empty()).then_some(SnapshotSpec { name, stamped: true, cluster, members, generations })
}

/// Such as one of an upgrade that ended half-way: what it has written only the newer version may be able to read.
fn newest_apiserver(observed: &Observed) -> Option<KubernetesVersion> {
    let containers = observed.hosts.values().filter_map(|host| match host {
        ObservedHost::Reached(seen) => seen.containers.get(Component::KubeApiserver.as_str()),
        ObservedHost::Unreachable(_) => None,
    });
    containers.filter_map(|seen| KubernetesVersion::parse(seen.spec.image.reference.tag()).ok()).max()
}

fn member(cluster: &Cluster, node: &NodeName, seen: &HostSnapshot) -> Option<SnapshotMember> {
    let (uid, gid) = cluster.etcd_user;
    let image = seen.containers.get("etcd")?.spec.image.clone();
    Some(SnapshotMember { node: node.clone(), image, owner: Owner { uid, gid } })
}

/// Those of the oldest etcd first: what they write all others can read.
fn oldest_first(mut members: Vec<SnapshotMember>) -> Vec<SnapshotMember> {
    members.sort_by_key(|member| etcd_minor(member.image.reference.tag()));
    members
}

/// The hosts, connected and looked at.
pub(super) struct Site<'a> {
    cluster: &'a Cluster,
    pub hosts: BTreeMap<NodeName, SharedHost>,
    /// Those that could not be reached or looked at, and why.
    pub failures: BTreeMap<NodeName, String>,
    /// Every etcd host that was looked at.
    looks: BTreeMap<NodeName, HostSnapshot>,
    /// Where a restore that was begun keeps the data that it replaces.
    old_data: Option<String>,
}

impl<'a> Site<'a> {
    /// Connects to all hosts and looks at the etcd hosts: their members, and the snapshots that they keep.
    pub async fn open(input: &SnapshotInput<'a>) -> Self {
        let cluster = &input.loaded.cluster;
        let (count, plural) = (cluster.nodes.len(), if cluster.nodes.len() == 1 { "" } else { "s" });
        input.events.emit(Event::Phase { text: format!("connecting to {count} host{plural}") });
        let connections: Connections = input.reach.connect(cluster, input.events).await;
        let failed = |(name, result): (&NodeName, &Result<SharedHost, String>)| {
            result.as_ref().err().map(|reason| (name.clone(), reason.clone()))
        };
        let mut failures: BTreeMap<NodeName, String> = connections.iter().filter_map(failed).collect();
        let hosts = connected(&connections);
        let old_data = input.state.restore().map(|intent| replaced_data(&intent.stamp));
        let mut site = Self { cluster, hosts, failures: BTreeMap::new(), looks: BTreeMap::new(), old_data };
        site.look().await;
        site.failures.append(&mut failures);
        site
    }

    /// Looks at the etcd hosts again.
    pub async fn look(&mut self) {
        let (members, old_data) = (self.cluster.etcd_members(), self.old_data.as_ref());
        let members = members.filter_map(|node| Some((node.name.clone(), self.hosts.get(&node.name)?)));
        let looks = join_all(members.map(|(name, host)| async move { (name, look(host, old_data).await) })).await;
        for (name, look) in looks {
            match look {
                Ok(snapshot) => drop(self.looks.insert(name, snapshot)),
                Err(reason) => drop(self.failures.insert(name, reason)),
            }
        }
    }

    /// etcd and the API through the hosts.
    pub fn endpoints(&self, input: &SnapshotInput<'_>) -> Result<Arc<dyn Endpoints>, OperationError> {
        let material = keys::material(input.state);
        let credentials = Credentials::for_run(&material, true, input.now, &mut RandomKeyMaker)?;
        Ok(input.reach.endpoints(self.cluster, &self.hosts, &credentials)?)
    }

    /// What lies on the etcd hosts.
    pub fn listing(&self) -> Listing {
        let copies = self.looks.iter().flat_map(|(node, look)| copies(node, look)).collect();
        let etcd_hosts = self.looks.keys().cloned().collect();
        Listing::new(copies, etcd_hosts)
    }

    /// The members on the hosts that were reached, those of the oldest etcd first.
    pub fn members(&self) -> Result<Vec<SnapshotMember>, SnapshotError> {
        let member = |(node, look): (&NodeName, &HostSnapshot)| {
            member(self.cluster, node, look).ok_or_else(|| SnapshotError::NoMember { host: node.to_string() })
        };
        Ok(oldest_first(self.looks.iter().map(member).collect::<Result<_, _>>()?))
    }

    /// Replacements of etcd and of its clients on etcd hosts that were begun and have not ended. Of one that has left neither of
    /// both nothing runs.
    pub fn replacing(&self) -> Vec<String> {
        let goes_on = |swap: &ObservedSwap| !matches!(swap, ObservedSwap::Reverted(_) | ObservedSwap::NeitherWorks(_));
        let of = |(node, look): (&NodeName, &HostSnapshot)| {
            let swaps = look.swaps.iter().filter(|(name, swap)| is_stopped_for_restore(name) && goes_on(swap));
            swaps.map(|(name, _)| format!("{name} on {node}")).collect::<Vec<_>>()
        };
        self.looks.iter().flat_map(of).collect()
    }

    /// Etcd hosts on which the restore that was begun has moved the data that there was, or is about to.
    pub fn restored(&self) -> Vec<NodeName> {
        let Some(path) = &self.old_data else { return Vec::new() };
        let is_moved = |(_, look): &(&NodeName, &HostSnapshot)| look.entries.contains_key(path);
        self.looks.iter().filter(is_moved).map(|(node, _)| node.clone()).collect()
    }

    /// Requires that these hosts were reached.
    pub fn require<'n>(&self, nodes: impl Iterator<Item = &'n NodeName>) -> Result<(), SnapshotError> {
        let missing: Vec<String> = nodes.filter_map(|node| self.failures.get(node)).cloned().collect();
        if missing.is_empty() { Ok(()) } else { Err(SnapshotError::Unreachable(missing)) }
    }
}

/// Two looks: what there is, and then the texts of the records.
async fn look(host: &SharedHost, old_data: Option<&String>) -> Result<HostSnapshot, String> {
    let (containers, paths) = (vec!["etcd".to_owned()], old_data.into_iter().cloned().collect());
    let request = LookRequest { folders: vec![SNAPSHOT_FOLDER.into()], paths, containers, ..LookRequest::default() };
    let mut seen = host.look(&request).await.map_err(|error| error.to_string())?;
    let records: Vec<String> = seen.entries.keys().filter(|path| path.ends_with(".json")).cloned().collect();
    if !records.is_empty() {
        let request = LookRequest { texts: records, ..LookRequest::default() };
        seen.merged_files = host.look(&request).await.map_err(|error| error.to_string())?.merged_files;
    }
    Ok(seen)
}

/// The snapshots of one host. One that is being taken at this moment has no record yet.
fn copies(node: &NodeName, look: &HostSnapshot) -> Vec<(SnapshotName, NodeName, Copy)> {
    let mut names: Vec<SnapshotName> = look.entries.keys().filter_map(|path| SnapshotName::of_file(path)).collect();
    names.sort();
    names.dedup();
    let copy = |name: SnapshotName| {
        let copy = copy(&name, look);
        (name, node.clone(), copy)
    };
    names.into_iter().map(copy).collect()
}

fn copy(name: &SnapshotName, look: &HostSnapshot) -> Copy {
    let (path, record_path) = (name.database_path(), name.record_path());
    let Some(text) = look.merged_files.get(&record_path) else {
        return Copy::without_record(format!("{record_path} is missing: its making was interrupted, or is going on"));
    };
    let record = match SnapshotRecord::parse(text) {
        Ok(record) => record,
        Err(reason) => return Copy::without_record(format!("{record_path}: {reason}")),
    };
    let damage = match look.entries.get(&path) {
        _ if record.name != *name => Some(format!("{record_path} is the record of {}", record.name)),
        Some(ObservedEntry::File { digest, .. }) if *digest == record.etcd.sha256 => None,
        Some(ObservedEntry::File { digest, .. }) => {
            let (seen, wanted) = (digest.hexadecimal(), record.etcd.sha256.hexadecimal());
            Some(format!("{path} is damaged: its digest is {seen} instead of {wanted}"))
        }
        Some(_) => Some(format!("{path} is no file")),
        None => Some(format!("{path} is missing")),
    };
    Copy { record: Some(record), damage }
}

/// Runs a plan of snapshots with events and a log of its own.
pub(super) async fn run(
    folder: &mut StateFolder,
    input: &SnapshotInput<'_>,
    site: &Site<'_>,
    plan: &Plan,
) -> Result<Outcome, OperationError> {
    let endpoints = site.endpoints(input)?;
    let begun = folder.begin_run()?;
    let log = JournalLog::new(folder, begun, None);
    let world = World {
        epoch: Epoch::FIRST,
        hosts: site.hosts.clone(),
        endpoints,
        facts: BTreeMap::new(),
        look: LookRequest::default(),
        patience: input.patience,
    };
    let context = Context { world: &world, log: &log, events: input.events, cancellation: input.cancellation };
    Ok(engine::run(plan, &input.run, &context).await)
}

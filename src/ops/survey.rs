//! Connect, look, render, plan: everything that `plan` and `up` have in common. Changes nothing anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::base::{KubernetesVersion, NodeName};
use crate::bundle::{BundleError, Bundles, CNI_PLUGINS, UnpackedFile};
use crate::cluster::Cluster;
use crate::crossing::CrossingReport;
use crate::desired::{self, Desired};
use crate::endpoints::{Credentials, Endpoints, ReadEndpoints};
use crate::entropy::RandomKeyMaker;
use crate::event::{Event, EventSink};
use crate::host::{LookRequest, ReadHost, SharedHost};
use crate::journal::{self, EtcdRecord, Generation, State};
use crate::observe::{self, Subject};
use crate::pki::{self, Completion, Lifetime, Material, PkiRequest, Renewal};
use crate::plan::{self, History, Limits, Plan, PreflightFinding, Restoration, Severity};
use crate::release::Release;
use crate::state::{
    BEFORE_ROLLBACK, BEFORE_UPGRADE, HostFacts, Observed, ObservedApi, ObservedHost, ResourceKind, SnapshotName,
};

use super::connect::{Connections, Reach};
use super::crossing::crossing;
use super::drain_forecast::foretell;
use super::etcd_snapshot::snapshot_spec;
use super::load::Loaded;
use super::pins::{PinInput, Resolved, resolve};
use super::suppliers::Suppliers;
use super::supply::{Supplied, supply};
use super::way_back::{Return, way_back};
use super::{OperationError, keys};

/// What is known after a look, and what follows from it.
pub struct Survey {
    /// Connected hosts.
    pub hosts: BTreeMap<NodeName, SharedHost>,
    /// etcd and the API through them; none where no run has come far enough to start one.
    pub endpoints: Option<Arc<dyn Endpoints>>,
    /// What was seen.
    pub observed: Observed,
    /// Keys and certificates, complete; not stored yet where they are new.
    pub completion: Completion,
    /// Record of etcd's first start; not stored yet where it is new.
    pub etcd: EtcdRecord,
    /// Bytes.
    pub resolved: Resolved,
    /// What shall be.
    pub desired: Desired,
    /// What to do.
    pub plan: Plan,
    /// Findings that do not stop a run.
    pub warnings: Vec<PreflightFinding>,
    /// What was looked at.
    pub request: LookRequest,
    /// What the upgrade to another minor means for those who use the cluster; none where there is none.
    pub crossing: Option<CrossingReport>,
}

impl Survey {
    /// What the operator should know and what stops no run, one sentence each.
    pub fn notices(&self) -> Vec<String> {
        let renewals = &self.completion.renewals;
        let is_renewed = |lifetime: &&Lifetime| renewals.iter().any(|due| due.name == lifetime.name);
        let expiring = |lifetime: &Lifetime| {
            let Lifetime { name, days } = lifetime;
            format!("certificate {name} runs out in {days} days; replacing an authority is not supported yet")
        };
        let renewed = renewals.first().map(|first| format!("up renews {}: {first}", certificates(renewals.len())));
        let warnings = self.warnings.iter().map(ToString::to_string);
        let expiring = self.completion.expiring().filter(|lifetime| !is_renewed(lifetime)).map(expiring);
        warnings.chain(renewed).chain(expiring).collect()
    }
}

fn certificates(count: usize) -> String {
    if count == 1 { "1 certificate".into() } else { format!("{count} certificates") }
}

/// Everything that a survey needs.
pub struct SurveyInput<'a> {
    /// The checked cluster.
    pub loaded: &'a Loaded,
    /// What the state folder holds.
    pub state: &'a State,
    /// Bundles at hand.
    pub bundles: &'a Bundles,
    /// Who is asked for what neither hosts nor bundles hold; nobody where none is given.
    pub suppliers: Option<&'a dyn Suppliers>,
    /// The way to the hosts.
    pub reach: &'a dyn Reach,
    /// Seconds since 1970.
    pub now: i64,
    /// Where progress goes.
    pub events: &'a dyn EventSink,
    /// Whether pods may wait for images that nobody has.
    pub allow_missing_images: bool,
    /// The generation that is gone back to, whose configuration `loaded` is; none for the way forward.
    pub back_to: Option<&'a Generation>,
    /// The snapshot that etcd's data is replaced with on the way back; none where the data stays.
    pub restoration: Option<&'a Restoration>,
}

/// Looks at the world and makes the plan. Pre-flight errors of all hosts come together.
pub async fn survey(input: &SurveyInput<'_>) -> Result<Survey, OperationError> {
    if !input.loaded.addons.are_complete() {
        return Err(OperationError::Supply(vec!["an add-on at a site was not fetched".into()]));
    }
    let cluster = &input.loaded.cluster;
    let stored = keys::material(input.state);
    // Keys of a new cluster are made while the hosts are being connected to; they cost nothing when they are there.
    let renewal = if input.state.current().is_some() { Renewal::Renew } else { Renewal::Make };
    let request = PkiRequest { cluster, renewal };
    let completion = pki::complete(&request, &stored, input.now, &mut RandomKeyMaker)?;
    let unpacking = first_unpacking(input);
    let connections = connect(input).await;
    let hosts = connected(&connections);
    let endpoints = if input.state.is_new() { None } else { Some(endpoints(input, &hosts, &completion.material)?) };
    input.events.emit(Event::Phase { text: "looking at what is there".into() });
    let subject = Subject {
        hosts: readers(&connections),
        endpoints: endpoints.as_deref().map(|endpoints| endpoints as &dyn ReadEndpoints),
        request: desired::look_request(cluster, &input.loaded.release),
        objects: desired::object_keys(cluster, &input.loaded.release)?,
        kinds: kinds(cluster),
    };
    let observed = observe::gather(&subject).await;
    tell_round_trips(input.events, &hosts);
    let request = subject.request;
    let unpacked = match unpacking {
        Some(unpacking) => unpacking.await.ok().transpose()?,
        None => None,
    };
    let findings = plan::preflight(&input.loaded.cluster, &observed, &limits(&input.loaded.release));
    // Fetching takes long, and is for nothing where hosts are not fit.
    let supplied = match stop_on_errors(&findings) {
        Ok(()) => supply(input, &observed, locked(input)).await?,
        Err(_) => Supplied { bundles: input.bundles.clone(), ..Supplied::default() },
    };
    let crossing = crossing(input, &hosts, &observed, endpoints.as_deref()).await?;
    let way_back = way_back(input, &observed, endpoints.as_deref()).await?;
    let seen = Seen { hosts, endpoints, observed, request, unpacked, supplied, findings, crossing, way_back };
    let mut survey = conclude(input, seen, completion)?;
    if let Some(endpoints) = &survey.endpoints {
        foretell(&mut survey.plan, endpoints.as_ref()).await;
    }
    Ok(survey)
}

/// The CNI plugins' digests are known to the state of a cluster. Before its first run they must be read from the
/// archive, which takes as long as looking at the hosts: both are done at once.
fn first_unpacking(input: &SurveyInput<'_>) -> Option<JoinHandle<Result<Vec<UnpackedFile>, BundleError>>> {
    let version = input.loaded.release.cni_plugins.clone();
    if !input.state.is_new() || input.bundles.file(CNI_PLUGINS, &version).is_none() {
        return None;
    }
    let bundles = input.bundles.clone();
    Some(tokio::task::spawn_blocking(move || bundles.cni_plugins(&version)))
}

/// Kinds that the operator's add-ons use.
fn kinds(cluster: &Cluster) -> Vec<ResourceKind> {
    let objects = cluster.addons.iter().flat_map(|addon| &addon.objects);
    let kinds: BTreeSet<ResourceKind> = objects.map(|object| object.key.resource_kind()).collect();
    kinds.into_iter().collect()
}

fn tell_round_trips(events: &dyn EventSink, hosts: &BTreeMap<NodeName, SharedHost>) {
    for (name, host) in hosts {
        let Some(count) = host.round_trips() else { continue };
        let (total, longest_chain) = (count.total, count.longest_chain);
        events.emit(Event::RoundTrips { host: name.clone(), total, longest_chain });
    }
}

/// What a look has brought.
struct Seen {
    hosts: BTreeMap<NodeName, SharedHost>,
    endpoints: Option<Arc<dyn Endpoints>>,
    observed: Observed,
    request: LookRequest,
    unpacked: Option<Vec<UnpackedFile>>,
    supplied: Supplied,
    findings: Vec<PreflightFinding>,
    crossing: Option<CrossingReport>,
    way_back: Return,
}

/// From what was seen to the plan: no I/O besides reading bundles.
fn conclude(input: &SurveyInput<'_>, seen: Seen, completion: Completion) -> Result<Survey, OperationError> {
    let Seen { hosts, endpoints, observed, request, unpacked, supplied, mut findings, crossing, way_back } = seen;
    let cluster = &input.loaded.cluster;
    // What is wrong with the hosts comes first: it may be why nothing can be rendered for them.
    let Rendered { resolved, etcd, desired } = rendered(input, &observed, (unpacked, &supplied), &completion)
        .or_else(|error| stop_on_errors(&findings).and(Err(error)))?;
    let history = history(input, &etcd);
    let catalog = &input.loaded.catalog;
    let installable: Vec<_> = catalog.minors().into_iter().filter_map(|minor| catalog.default_version(minor)).collect();
    let plan_input = plan::Input {
        cluster,
        desired: &desired,
        observed: &observed,
        sources: &resolved.sources,
        history: &history,
        renewals: &completion.renewals,
        allow_missing_images: input.allow_missing_images,
        crossing: crossing.as_ref(),
        way_back: way_back.losses.as_ref(),
        unlabelled: &way_back.unlabelled,
        restoration: input.restoration,
        snapshot: snapshot_spec(snapshot_name(input)?, input.loaded, input.state, &completion.bundle, &observed),
        installable: &installable,
    };
    findings.extend(plan::leftovers(&plan_input));
    findings.extend(plan::way_out(&plan_input));
    stop_on_errors(&findings)?;
    let plan = plan::make(&plan_input);
    Ok(Survey {
        hosts,
        endpoints,
        observed,
        completion,
        etcd,
        resolved,
        desired,
        plan,
        warnings: findings,
        request,
        crossing,
    })
}

/// The name of snapshots that are taken before something of etcd or of Kubernetes changes.
fn snapshot_name(input: &SurveyInput<'_>) -> Result<SnapshotName, OperationError> {
    let name = if input.back_to.is_some() { BEFORE_ROLLBACK } else { BEFORE_UPGRADE };
    SnapshotName::new(name).map_err(|error| OperationError::Input(error.to_string()))
}

/// What shall be, and what it was made of.
struct Rendered {
    resolved: Resolved,
    etcd: EtcdRecord,
    desired: Desired,
}

fn rendered(
    input: &SurveyInput<'_>,
    observed: &Observed,
    (unpacked, supplied): (Option<Vec<UnpackedFile>>, &Supplied),
    completion: &Completion,
) -> Result<Rendered, OperationError> {
    let cluster = &input.loaded.cluster;
    let release = &input.loaded.release;
    let locked = locked(input);
    let images = desired::images(cluster, release);
    let mut resolved = resolve(&PinInput {
        release,
        locked,
        bundles: &supplied.bundles,
        observed,
        unpacked,
        offered: &supplied.images,
        supply: &cluster.supply,
        images,
    })?;
    resolved.record.addons = input.loaded.addons.pinned();
    let etcd = input.state.etcd().cloned().unwrap_or_else(|| new_etcd_record(cluster, completion));
    let mut desired = desired::render(&desired::Input {
        cluster,
        facts: &facts(observed),
        bundle: &completion.bundle,
        release,
        pins: &resolved.pins,
        etcd_token: &etcd.token,
        registry_authorities: &input.loaded.authorities.registries,
    })?;
    if let ObservedApi::Reached { served, .. } = &observed.api {
        desired::complete_objects(&mut desired.objects, served);
    }
    Ok(Rendered { resolved, etcd, desired })
}

/// The bytes that the cluster runs, or that an interrupted run has begun to bring; on the way back those of then.
fn locked<'a>(input: &SurveyInput<'a>) -> Option<&'a journal::Pins> {
    input.back_to.or(input.state.aimed()).or(input.state.current()).map(|generation| &generation.lock.pins)
}

fn stop_on_errors(findings: &[PreflightFinding]) -> Result<(), OperationError> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(OperationError::Preflight(findings.to_vec()));
    }
    Ok(())
}

fn limits(release: &Release) -> Limits {
    Limits { docker_versions: release.docker_versions.clone() }
}

/// etcd's token names this cluster and no other: it is derived from the authority, which is unique.
fn new_etcd_record(cluster: &Cluster, completion: &Completion) -> EtcdRecord {
    let authority = crate::base::Digest::of(&completion.bundle.etcd_authority);
    let members = cluster.etcd_members().map(|node| node.name.clone()).collect();
    EtcdRecord::new(format!("{}-{}", cluster.name, authority.short()), members)
}

fn history(input: &SurveyInput<'_>, etcd: &EtcdRecord) -> History {
    let (state, loaded) = (input.state, input.loaded);
    let completed = state.current().map(|generation| Box::new(completed(&generation.config, loaded)));
    let complete_etcd_members = etcd.seen_complete.iter().cloned().collect();
    let (begun, goes_back) = (begun(input), input.back_to.is_some());
    History { completed, begun, complete_etcd_members, untouched: state.is_new(), goes_back }
}

/// The Kubernetes version of the generation that was begun and is not complete.
pub(super) fn begun(input: &SurveyInput<'_>) -> Option<KubernetesVersion> {
    let aimed = input.state.aimed()?;
    let pinned = || {
        let kubelet = aimed.lock.pins.files.iter().find(|file| file.name == "kubelet")?;
        KubernetesVersion::parse(&kubelet.version).ok()
    };
    let written = super::load::cluster_of(&aimed.config, &input.loaded.catalog).map(|cluster| cluster.version);
    written.or_else(pinned)
}

/// The cluster of a configuration that was applied once; if this version no longer reads it, that of today's file.
fn completed(text: &str, loaded: &Loaded) -> Cluster {
    let earlier = (text != loaded.text).then(|| super::load::cluster_of(text, &loaded.catalog)).flatten();
    earlier.unwrap_or_else(|| loaded.cluster.clone())
}

/// The hosts that were reached.
pub(super) fn connected(connections: &Connections) -> BTreeMap<NodeName, SharedHost> {
    let host = |(name, result): (&NodeName, &Result<SharedHost, String>)| {
        result.as_ref().ok().map(|host| (name.clone(), Arc::clone(host)))
    };
    connections.iter().filter_map(host).collect()
}

fn readers(connections: &Connections) -> BTreeMap<NodeName, Result<Arc<dyn ReadHost>, String>> {
    let reader = |host: &SharedHost| -> Arc<dyn ReadHost> { Arc::clone(host) as Arc<dyn ReadHost> };
    let entry = |(name, result): (&NodeName, &Result<SharedHost, String>)| {
        (name.clone(), result.as_ref().map(reader).map_err(Clone::clone))
    };
    connections.iter().map(entry).collect()
}

/// Facts of the hosts that were reached.
pub(super) fn facts(observed: &Observed) -> BTreeMap<NodeName, HostFacts> {
    let facts = |(name, host): (&NodeName, &ObservedHost)| match host {
        ObservedHost::Reached(snapshot) => Some((name.clone(), snapshot.facts.clone())),
        ObservedHost::Unreachable(_) => None,
    };
    observed.hosts.iter().filter_map(facts).collect()
}

async fn connect(input: &SurveyInput<'_>) -> Connections {
    let cluster = &input.loaded.cluster;
    let count = cluster.nodes.len();
    input
        .events
        .emit(Event::Phase { text: format!("connecting to {count} host{}", if count == 1 { "" } else { "s" }) });
    input.reach.connect(cluster, input.events).await
}

/// Connects and reaches for etcd and the API, and nothing else.
pub(super) async fn endpoints_for(
    input: &SurveyInput<'_>,
    material: &Material,
) -> Result<Arc<dyn Endpoints>, OperationError> {
    let connections = connect(input).await;
    endpoints(input, &connected(&connections), material)
}

/// etcd and the API through the tunnels, as the run's own identities.
pub(super) fn endpoints(
    input: &SurveyInput<'_>,
    hosts: &BTreeMap<NodeName, SharedHost>,
    material: &Material,
) -> Result<Arc<dyn Endpoints>, OperationError> {
    let living = input.state.current().is_some();
    let credentials = Credentials::for_run(material, living, input.now, &mut RandomKeyMaker)?;
    Ok(input.reach.endpoints(&input.loaded.cluster, hosts, &credentials)?)
}

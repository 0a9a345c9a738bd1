//! What an upgrade across minors means for those who use the cluster: read everywhere at once, judged by
//! [`crate::crossing`].

use std::collections::BTreeMap;

use futures::future::{join, join_all, join3};
use serde_json::Value;

use crate::base::NodeName;
use crate::cluster::Cluster;
use crate::crossing::{
    AuditGroup, AuditNote, ControlPlaneFacts, CrossingInput, CrossingReport, RemovedApi, Requests, crossing_report,
    removed_between,
};
use crate::endpoints::{Endpoints, ReadEndpoints};
use crate::host::{LogSource, SharedHost};
use crate::plan::RunningVersions;
use crate::podsecurity::WORKLOAD_KINDS;
use crate::release::Release;
use crate::state::{Observed, ResourceKind};

use super::OperationError;
use super::load::cluster_of;
use super::survey::{SurveyInput, begun};

/// Groups of events that are told of one host; more than this nobody reads.
const MOST_GROUPS: usize = 2000;
/// What a host tells where it did not tell all.
const CUT: &str = "cut";

/// Where the cluster that runs is of an older minor than `cluster.yml` asks for: what the upgrade means. What cannot be read
/// stands in the report, which then names no namespace.
pub(super) async fn crossing(
    input: &SurveyInput<'_>,
    hosts: &BTreeMap<NodeName, SharedHost>,
    observed: &Observed,
    endpoints: Option<&dyn Endpoints>,
) -> Result<Option<CrossingReport>, OperationError> {
    let Some(running) = running(input) else { return Ok(None) };
    let target = &input.loaded.release;
    let current = current(input, &running, observed)?;
    let Some(endpoints) = endpoints.filter(|_| current.minor < target.minor) else { return Ok(None) };
    let mut seen = Seen::default();
    let removed = removed_between(&current, target);
    let (objects, stranded, control_planes) = join3(
        objects(endpoints),
        stranded(endpoints, &removed),
        join_all(running.control_planes().map(|node| control_plane(endpoints, hosts.get(&node.name), &node.name))),
    )
    .await;
    seen.take_objects(objects);
    seen.take_stranded(stranded, &current);
    for (node, facts, unread) in control_planes {
        seen.control_planes.insert(node, facts);
        seen.unread.extend(unread);
    }
    Ok(Some(crossing_report(&CrossingInput {
        current: &current,
        target,
        policy: running.pod_security,
        default: input.loaded.cluster.pod_security,
        now: input.now,
        namespaces: seen.namespaces.as_deref(),
        workloads: &seen.workloads,
        services: &seen.services,
        stranded: &seen.stranded,
        control_planes: &seen.control_planes,
        unread: &seen.unread,
    })))
}

/// The release of the oldest apiserver: a rollback that has ended half-way has to be gone over again. That of the generation
/// where the catalog does not know it.
fn current(input: &SurveyInput<'_>, running: &Cluster, observed: &Observed) -> Result<Release, OperationError> {
    let begun = begun(input);
    let versions = RunningVersions::of(&input.loaded.cluster, observed, &running.version, begun.as_ref());
    let catalog = &input.loaded.catalog;
    let current = catalog.release(&versions.oldest_apiserver).or_else(|_| catalog.release(&running.version));
    current.map_err(|error| OperationError::Input(error.to_string()))
}

/// The cluster of the generation that was completed last.
fn running(input: &SurveyInput<'_>) -> Option<Cluster> {
    cluster_of(&input.state.current()?.config, &input.loaded.catalog)
}

/// What was read, and what could not be.
#[derive(Default)]
struct Seen {
    namespaces: Option<Vec<Value>>,
    workloads: Vec<Value>,
    services: Vec<Value>,
    stranded: BTreeMap<RemovedApi, Vec<String>>,
    control_planes: BTreeMap<NodeName, ControlPlaneFacts>,
    unread: Vec<String>,
}

impl Seen {
    fn take_objects(&mut self, objects: Result<Vec<Value>, String>) {
        let objects = match objects {
            Ok(objects) => objects,
            Err(reason) => return self.unread.push(format!("namespaces, pods and workloads: {reason}")),
        };
        let mut namespaces = Vec::new();
        for object in objects {
            match object["kind"].as_str() {
                Some("Namespace") => namespaces.push(object),
                Some("Service") => self.services.push(object),
                _ => self.workloads.push(object),
            }
        }
        self.namespaces = Some(namespaces);
    }

    /// Our own policies stay in etcd on purpose, and are found again on the way back.
    fn take_stranded(&mut self, objects: Result<Vec<(RemovedApi, Value)>, String>, current: &Release) {
        let objects = match objects {
            Ok(objects) => objects,
            Err(reason) => return self.unread.push(format!("objects that {} can still show: {reason}", current.minor)),
        };
        for (api, object) in objects {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if !name.starts_with("provision-") {
                self.stranded.entry(api.clone()).or_default().push(format!("{} {name}", api.kind));
            }
        }
    }
}

async fn objects(endpoints: &dyn ReadEndpoints) -> Result<Vec<Value>, String> {
    let kinds = WORKLOAD_KINDS.iter().copied().chain([("v1", "Namespace"), ("v1", "Service")]);
    let kinds: Vec<ResourceKind> = kinds.map(kind).collect();
    endpoints.all_of(&kinds).await.map_err(|error| error.to_string())
}

fn kind((api_version, kind): (&str, &str)) -> ResourceKind {
    ResourceKind { api_version: api_version.into(), kind: kind.into() }
}

/// Live objects of kinds that have no other version.
async fn stranded(endpoints: &dyn ReadEndpoints, removed: &[RemovedApi]) -> Result<Vec<(RemovedApi, Value)>, String> {
    let lost: Vec<&RemovedApi> = removed.iter().filter(|api| api.instead.is_none()).collect();
    let kinds: Vec<ResourceKind> = lost.iter().map(|api| api.resource_kind()).collect();
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    let found = endpoints.all_of(&kinds).await.map_err(|error| error.to_string())?;
    let of = |object: &Value| {
        let is = |api: &&&RemovedApi| object["kind"] == *api.kind && object["apiVersion"] == *api.api_version;
        lost.iter().find(is).map(|api| (*api).clone())
    };
    Ok(found.into_iter().filter_map(|object| Some((of(&object)?, object))).collect())
}

async fn control_plane(
    endpoints: &dyn ReadEndpoints,
    host: Option<&SharedHost>,
    node: &NodeName,
) -> (NodeName, ControlPlaneFacts, Vec<String>) {
    let marked = join(events(host, node, AuditNote::Deprecated), events(host, node, AuditNote::StaleToken));
    let (metrics, (deprecated, stale_tokens)) = join(endpoints.api_metrics(node), marked).await;
    let (mut facts, mut unread) = (ControlPlaneFacts::default(), Vec::new());
    match metrics {
        Ok(text) => facts.requests = Some(Requests::parse(&text)),
        Err(error) => unread.push(format!("what the apiserver of {node} was asked for: {error}")),
    }
    (facts.deprecated, facts.stale_tokens) = (deprecated.0, stale_tokens.0);
    unread.extend(deprecated.1.into_iter().chain(stale_tokens.1));
    (node.clone(), facts, unread)
}

/// Marked events of a host's audit log, and what is not known of them.
async fn events(host: Option<&SharedHost>, node: &NodeName, note: AuditNote) -> (Vec<AuditGroup>, Option<String>) {
    let what = || format!("who is marked with {} in the audit log of {node}", note.annotation());
    let Some(host) = host else { return (Vec::new(), Some(format!("{}: the host was not reached", what()))) };
    match host.log_tail(&LogSource::Audit(note.annotation()), MOST_GROUPS).await {
        Ok(lines) => {
            let cut = lines
                .iter()
                .any(|line| line == CUT)
                .then(|| format!("{}: there is too much of it to tell all", what()));
            (lines.iter().filter_map(|line| AuditGroup::parse(line)).collect(), cut)
        }
        Err(error) => (Vec::new(), Some(format!("{}: {error}", what()))),
    }
}

//! What an upgrade across minors means for those who use the cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::audit::{AuditGroup, who};
use super::flips::{Flip, flips};
use super::removed::{RemovedApi, removed_between};
use super::requested::{RequestedApi, Requests};
use crate::base::{Minor, NodeName};
use crate::cluster::PodSecurity;
use crate::podsecurity::{BorderInput, BorderReport, border_report};
use crate::release::{PodSecurityMechanism, Release};

/// What is known of one control plane; what could not be read is empty and stands in [`CrossingInput::unread`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlPlaneFacts {
    /// What its apiserver was asked for; none where it did not tell.
    pub requests: Option<Requests>,
    /// Events of its audit log about deprecated APIs.
    pub deprecated: Vec<AuditGroup>,
    /// Events of its audit log about stale tokens.
    pub stale_tokens: Vec<AuditGroup>,
}

/// What the report is made from.
#[derive(Debug, Clone, Copy)]
pub struct CrossingInput<'a> {
    /// The row of the version that runs.
    pub current: &'a Release,
    /// The row of the version that is wanted.
    pub target: &'a Release,
    /// The level of `cluster.yml` as it runs.
    pub policy: PodSecurity,
    /// The level of `cluster.yml` as it is wanted.
    pub default: PodSecurity,
    /// Seconds since 1970.
    pub now: i64,
    /// Namespaces, pods and all that makes pods; none where they could not be read.
    pub namespaces: Option<&'a [Value]>,
    /// Pods and all that makes pods, each with its `kind`.
    pub workloads: &'a [Value],
    /// Services.
    pub services: &'a [Value],
    /// Names of live objects whose kind nothing takes the place of.
    pub stranded: &'a BTreeMap<RemovedApi, Vec<String>>,
    /// The control planes.
    pub control_planes: &'a BTreeMap<NodeName, ControlPlaneFacts>,
    /// What could not be read and why, one line each.
    pub unread: &'a [String],
}

/// What the upgrade means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CrossingReport {
    /// The minor that runs.
    pub from: Minor,
    /// The minor that is wanted.
    pub to: Minor,
    /// APIs that go and were asked for, or whose objects have no other.
    pub apis: Vec<ApiFinding>,
    /// APIs that go and that no apiserver was asked for.
    pub unasked: Vec<RemovedApi>,
    /// Our own defaults that turn.
    pub flips: Vec<Flip>,
    /// Whether the upgrade brings Pod Security admission in the place of PodSecurityPolicy.
    pub brings_pod_security: bool,
    /// What Pod Security admission will mean; none where the upgrade does not bring it, or namespaces could not be read.
    pub pod_security: Option<BorderReport>,
    /// What could not be read and why.
    pub unread: Vec<String>,
}

/// An API that goes, and who will miss it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiFinding {
    /// What goes.
    pub api: RemovedApi,
    /// Apiservers that were asked for it since they started.
    pub asked: Vec<Asked>,
    /// Who asked in the last day, as the audit logs tell; our own requests are left out.
    pub by: Vec<String>,
    /// Whether we asked ourselves.
    pub own: bool,
    /// Objects that the newer version cannot show at all.
    pub stranded: Vec<String>,
}

/// An apiserver that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its node.
    pub node: NodeName,
    /// Its start, in seconds since 1970.
    pub since: Option<i64>,
}

/// Puts everything together.
pub fn crossing_report(input: &CrossingInput<'_>) -> CrossingReport {
    let removed = all_removed(input);
    let (apis, unasked): (Vec<_>, Vec<_>) = removed
        .into_iter()
        .map(|api| finding(input, api))
        .partition(|found| !found.asked.is_empty() || !found.by.is_empty() || !found.stranded.is_empty());
    CrossingReport {
        from: input.current.minor,
        to: input.target.minor,
        apis,
        unasked: unasked.into_iter().map(|found| found.api).collect(),
        flips: flips(input),
        brings_pod_security: brings_pod_security(input),
        pod_security: pod_security(input),
        unread: input.unread.to_vec(),
    }
}

/// The catalog's, and what the apiservers know besides to go on the way.
fn all_removed(input: &CrossingInput<'_>) -> Vec<RemovedApi> {
    let mut removed = removed_between(input.current, input.target);
    let requests = input.control_planes.values().filter_map(|facts| facts.requests.as_ref());
    let (from, to) = (input.current.minor, input.target.minor);
    let goes = |api: &&RequestedApi| api.removed_in.is_some_and(|minor| minor > from && minor <= to);
    for asked in requests.flat_map(|requests| &requests.apis).filter(goes) {
        if !removed.iter().any(|api| api.is(&asked.api_version, &asked.resource)) {
            let (api_version, kind) = (asked.api_version.clone(), asked.resource.clone());
            removed.push(RemovedApi { api_version, kind, instead: None });
        }
    }
    removed.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn finding(input: &CrossingInput<'_>, api: RemovedApi) -> ApiFinding {
    let asked = input.control_planes.iter().filter_map(|(node, facts)| {
        let requests = facts.requests.as_ref()?;
        let is_asked = requests.apis.iter().any(|asked| api.is(&asked.api_version, &asked.resource));
        is_asked.then(|| Asked { node: node.clone(), since: requests.since })
    });
    let asked: Vec<Asked> = asked.collect();
    let events = input.control_planes.values().flat_map(|facts| &facts.deprecated);
    let api_version = |event: &AuditGroup| match event.group.as_str() {
        "" => event.version.clone(),
        group => format!("{group}/{}", event.version),
    };
    let events: Vec<&AuditGroup> = events.filter(|event| api.is(&api_version(event), &event.resource)).collect();
    let own = events.iter().any(|event| event.is_ours());
    let by = who(events.into_iter(), input.now);
    let stranded = input.stranded.get(&api).cloned().unwrap_or_default();
    ApiFinding { api, asked, by, own, stranded }
}

fn brings_pod_security(input: &CrossingInput<'_>) -> bool {
    let mechanisms = (input.current.pod_security, input.target.pod_security);
    mechanisms == (PodSecurityMechanism::Policy, PodSecurityMechanism::Admission)
}

fn pod_security(input: &CrossingInput<'_>) -> Option<BorderReport> {
    if !brings_pod_security(input) {
        return None;
    }
    let (minor, default, policy) = (input.target.minor, input.default, input.policy);
    let namespaces = input.namespaces?;
    Some(border_report(&BorderInput { minor, default, policy, namespaces, workloads: input.workloads }))
}

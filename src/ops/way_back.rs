//! What going back to an older minor loses, read from etcd itself: that works while no apiserver does, and shows what one of
//! the older version would not.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use crate::crossing::{WayBack, WayBackInput, way_back as judge};
use crate::endpoints::{Endpoints, ReadEndpoints};
use crate::journal::Generation;
use crate::podsecurity::unlabelled;
use crate::release::Release;
use crate::state::{Component, Object, Observed, ObservedHost, ResourceKind, StoredObject};

use super::OperationError;
use super::load::cluster_of;
use super::survey::SurveyInput;

/// What is known about the way back.
#[derive(Debug, Default)]
pub(super) struct Return {
    /// What it loses; none where it is not one to an older minor.
    pub losses: Option<WayBack>,
    /// Namespaces without the labels that we have put on them.
    pub unlabelled: Vec<Object>,
}

/// Looks at what the newer minor has stored, where a rollback to an older one is asked for.
pub(super) async fn way_back(
    input: &SurveyInput<'_>,
    observed: &Observed,
    endpoints: Option<&dyn Endpoints>,
) -> Result<Return, OperationError> {
    let (Some(_), Some(endpoints)) = (input.back_to, endpoints) else { return Ok(Return::default()) };
    let older = &input.loaded.release;
    let Some(newer) = newest(input)?.filter(|newer| newer.minor > older.minor) else { return Ok(Return::default()) };
    let keys: BTreeSet<&str> = newer.one_way.iter().map(|one_way| one_way.keys.as_str()).collect();
    let reads = keys.into_iter().map(|keys| async move {
        let objects = endpoints.stored(keys).await;
        (keys.to_owned(), objects.map_err(|error| error.to_string()))
    });
    let stored: BTreeMap<String, Result<Vec<StoredObject>, String>> = join_all(reads).await.into_iter().collect();
    let mut losses = judge(&WayBackInput { newer: &newer, older, stored: &stored });
    if !losses.unread.is_empty() && never_ran(older, input, observed) {
        losses.unread.clear();
    }
    let unlabelled = if losses.to_policies { our_labels(endpoints).await } else { Vec::new() };
    Ok(Return { losses: Some(losses), unlabelled })
}

/// The newest version of which an apiserver may have written: that of the last completed generation, or of one that was
/// begun after it.
fn newest(input: &SurveyInput<'_>) -> Result<Option<Release>, OperationError> {
    let generations = input.state.current().into_iter().chain(input.state.aimed());
    let version = |generation: &Generation| Some(cluster_of(&generation.config, &input.loaded.catalog)?.version);
    let Some(newest) = generations.filter_map(version).max() else { return Ok(None) };
    let release = input.loaded.catalog.release(&newest);
    release.map(Some).map_err(|error| OperationError::Input(error.to_string()))
}

/// Whether every control plane was seen with an apiserver of the older version: then nothing newer is in etcd.
fn never_ran(older: &Release, input: &SurveyInput<'_>, observed: &Observed) -> bool {
    input.loaded.cluster.control_planes().all(|node| match observed.hosts.get(&node.name) {
        Some(ObservedHost::Reached(seen)) => seen
            .containers
            .get(Component::KubeApiserver.as_str())
            .is_some_and(|container| container.spec.image.reference == older.images.kube_apiserver),
        _ => false,
    })
}

/// Without an apiserver nobody can take them away; the plan says so.
async fn our_labels(endpoints: &dyn ReadEndpoints) -> Vec<Object> {
    let namespaces = [ResourceKind { api_version: "v1".into(), kind: "Namespace".into() }];
    endpoints.all_of(&namespaces).await.map(|namespaces| unlabelled(&namespaces)).unwrap_or_default()
}

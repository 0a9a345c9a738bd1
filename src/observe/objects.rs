//! The objects of the API that a plan compares: one round of requests, and a second one only for what the first has
//! named.

use std::collections::BTreeMap;

use futures::future::{join_all, try_join3};
use serde_json::Value;

use crate::desired::complete;
use crate::endpoints::{EndpointError, ReadEndpoints};
use crate::state::{Component, Inventory, ObjectKey, ObservedApi, Resident, Resource, ResourceKind};

use super::Subject;

/// Reads wanted objects, Nodes, who leads the controllers, the inventory and what it holds besides.
pub(super) async fn gather(endpoints: &dyn ReadEndpoints, subject: &Subject<'_>) -> Result<ObservedApi, EndpointError> {
    let is_built_in = |key: &&ObjectKey| Resource::built_in(&key.resource_kind()).is_some();
    let (mut first, mut others): (Vec<ObjectKey>, Vec<ObjectKey>) =
        subject.objects.iter().cloned().partition(|key| is_built_in(&key));
    first.extend([Inventory::key(), ObjectKey::leader_lease(Component::KubeControllerManager.as_str())]);
    let (mut objects, nodes, served) =
        try_join3(endpoints.read(&first), endpoints.nodes(), served(endpoints, &subject.kinds)).await?;
    objects.extend(nodes);
    others.iter_mut().for_each(|key| complete(key, &served));
    others.retain(|key| served.contains_key(&key.resource_kind()));
    let leftovers = leftovers(&objects, first.iter().chain(&others));
    let second: Vec<ObjectKey> = others.into_iter().chain(leftovers.iter().cloned()).collect();
    if !second.is_empty() {
        objects.extend(endpoints.read(&second).await?);
    }
    let residents = residents(endpoints, &objects, &leftovers).await;
    Ok(ObservedApi::Reached { objects, served, residents })
}

/// Kinds of the operator's add-ons. Where the cluster cannot tell, Kubernetes' own are taken for served.
async fn served(
    endpoints: &dyn ReadEndpoints,
    kinds: &[ResourceKind],
) -> Result<BTreeMap<ResourceKind, Resource>, EndpointError> {
    if kinds.is_empty() {
        return Ok(BTreeMap::new());
    }
    let built_in = || kinds.iter().map(|kind| Some((kind.clone(), Resource::built_in(kind)?))).collect::<Option<_>>();
    endpoints.served(kinds).await.or_else(|error| built_in().ok_or(error))
}

/// What the inventory holds and nobody wants any more.
fn leftovers<'a>(
    objects: &BTreeMap<ObjectKey, Value>,
    wanted: impl Iterator<Item = &'a ObjectKey> + Clone,
) -> Vec<ObjectKey> {
    let inventory = objects.get(&Inventory::key()).and_then(|body| Inventory::of(body).ok()).unwrap_or_default();
    let is_wanted = |key: &ObjectKey| wanted.clone().any(|wanted| wanted.is_same_object(key));
    inventory.entries().iter().map(|entry| entry.key.clone()).filter(|key| !is_wanted(key)).collect()
}

/// What would go with namespaces and definitions among these. One that cannot be looked into is left out, and then kept.
async fn residents(
    endpoints: &dyn ReadEndpoints,
    objects: &BTreeMap<ObjectKey, Value>,
    leftovers: &[ObjectKey],
) -> BTreeMap<ObjectKey, Vec<Resident>> {
    let holds_others = |key: &&ObjectKey| matches!(key.kind.as_str(), "Namespace" | "CustomResourceDefinition");
    let live = leftovers.iter().filter(holds_others).filter_map(|key| Some((key, objects.get(key)?)));
    let looks = live.map(|(key, live)| async move { (key.clone(), endpoints.residents(live).await) });
    let found = join_all(looks).await.into_iter().filter_map(|(key, residents)| Some((key, residents.ok()?)));
    found.collect()
}

//! What actions on objects of the API do besides one call.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use crate::base::StepId;
use crate::plan::strangers;
use crate::state::{Deletion, Inventory, InventoryEntry, ObjectKey, ResourceKind};

use super::actions::StepError;
use super::{Context, waiter};

/// Adds objects to the inventory. What is there already was not made by the tool.
pub(super) async fn note(entries: &[InventoryEntry], context: &Context<'_>) -> Result<(), StepError> {
    let endpoints = &context.world.endpoints;
    let keys: Vec<ObjectKey> = entries.iter().map(|entry| entry.key.clone()).chain([Inventory::key()]).collect();
    let live = endpoints.read(&keys).await?;
    let stored = live.get(&Inventory::key()).map_or_else(|| Ok(Inventory::default()), Inventory::of);
    let mut inventory = stored.map_err(|reason| StepError::Inventory { reason })?;
    for entry in entries {
        inventory.note(InventoryEntry { made: !live.contains_key(&entry.key), ..entry.clone() });
    }
    endpoints.apply(context.world.epoch, &[inventory.object()]).await?;
    Ok(())
}

/// Fails where the API does not serve one of these kinds.
pub(super) async fn require_kinds(kinds: &[ResourceKind], context: &Context<'_>) -> Result<(), StepError> {
    let served = context.world.endpoints.served(kinds).await?;
    let missing: Vec<ResourceKind> = kinds.iter().filter(|kind| !served.contains_key(*kind)).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(StepError::Unserved(missing)) }
}

/// Deletes objects, and returns when they are gone.
pub(super) async fn delete(
    step: &StepId,
    deletions: &[Deletion],
    context: &Context<'_>,
    halted: &AtomicBool,
) -> Result<(), StepError> {
    waiter::poll(step, context, halted, || empty(deletions, context)).await?;
    context.world.endpoints.delete(context.world.epoch, deletions).await?;
    waiter::poll(step, context, halted, || gone(deletions, context)).await
}

/// Whether nothing lies any more in namespaces and definitions that are to go: something may have come since the plan was
/// made, and what was deleted may take its time.
async fn empty(deletions: &[Deletion], context: &Context<'_>) -> Result<(), String> {
    let endpoints = &context.world.endpoints;
    let holds = |deletion: &&Deletion| matches!(deletion.key.kind.as_str(), "Namespace" | "CustomResourceDefinition");
    let keys: Vec<ObjectKey> = deletions.iter().filter(holds).map(|deletion| deletion.key.clone()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let live = endpoints.read(&keys).await.map_err(|error| error.to_string())?;
    for (key, body) in &live {
        let residents = endpoints.residents(body).await.map_err(|error| error.to_string())?;
        let tokens = |resident: &&crate::state::Resident| resident.owners.is_empty();
        let bound: Vec<_> = residents.iter().filter(|resident| !tokens(resident)).map(|one| &one.key).collect();
        let left = strangers(&residents, &BTreeSet::new());
        if let Some(one) = left.first().or(bound.first()) {
            return Err(format!("{key} still holds {one}"));
        }
    }
    Ok(())
}

/// Whether none of these is there any more. One of another uid is another one.
async fn gone(deletions: &[Deletion], context: &Context<'_>) -> Result<(), String> {
    let keys: Vec<ObjectKey> = deletions.iter().map(|deletion| deletion.key.clone()).collect();
    let live = context.world.endpoints.read(&keys).await.map_err(|error| error.to_string())?;
    for Deletion { key, uid } in deletions {
        let Some(body) = live.get(key).filter(|body| body["metadata"]["uid"] == **uid) else { continue };
        let finalizers = body["metadata"]["finalizers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<&str> = finalizers.iter().filter_map(serde_json::Value::as_str).collect();
        return Err(match names.as_slice() {
            [] => format!("{key} is not gone yet"),
            names => format!("{key} is not gone yet; its finalizers are waited for: {}", names.join(", ")),
        });
    }
    Ok(())
}

//! Nothing of a check stays behind, whatever way it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::patience::patiently;
use crate::base::Epoch;
use crate::endpoints::{EndpointError, TrialEndpoints};
use crate::kubeapi::Collection;
use crate::netcheck::{NAMESPACE_PREFIX, Trial};
use crate::state::ObjectKey;

/// A living check changes its namespace this often.
const BEAT: Duration = Duration::from_secs(2);
/// One that was not changed for as long belongs to a check that was killed. Measured by this machine's clock alone.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// The controllers' work.
const GONE_AFTER: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(300);

/// Shows that the check lives, until that fails.
pub(super) async fn beat(api: &dyn TrialEndpoints, trial: &Trial) -> EndpointError {
    for beats in 1.. {
        sleep(BEAT).await;
        if let Err(error) = api.apply(Epoch::FIRST, &[trial.namespace_object(beats)]).await {
            return error;
        }
    }
    EndpointError { operation: "showing that the check lives".into(), reason: "too many beats".into() }
}

/// Removes a namespace with everything in it and waits until it is gone. Its pods are asked to end first: the namespace
/// controller looks five seconds after the deletion, and where it meets pods then, again only after eight more.
pub(super) async fn remove(api: &dyn TrialEndpoints, namespace: &ObjectKey) -> Result<(), EndpointError> {
    let started = Instant::now();
    // Only to be faster: whoever cannot do it may still remove the namespace, and its pods with it.
    let _ = api.remove_all(&pods_of(&namespace.name)).await;
    patiently(|| api.remove(namespace)).await?;
    loop {
        let found = patiently(|| api.read(std::slice::from_ref(namespace))).await?;
        let Some(object) = found.get(namespace) else { return Ok(()) };
        if started.elapsed() > GONE_AFTER {
            let operation = format!("removing {namespace}");
            return Err(EndpointError { operation, reason: held_by(object) });
        }
        sleep(PAUSE).await;
    }
}

/// The pods of a check.
pub(super) fn pods_of(namespace: &str) -> Collection {
    let [api_version, kind, namespace] = ["v1", "Pod", namespace].map(str::to_owned);
    Collection { api_version, kind, namespace, labels: Trial::selector() }
}

/// What the namespace controller says.
fn held_by(namespace: &Value) -> String {
    let conditions = namespace["status"]["conditions"].as_array();
    let holds = conditions.into_iter().flatten().filter(|condition| condition["status"] == "True");
    let messages: Vec<&str> = holds.filter_map(|condition| condition["message"].as_str()).collect();
    let waited = format!("not gone after {} s", GONE_AFTER.as_secs());
    if messages.is_empty() { waited } else { format!("{waited}: {}", messages.join("; ")) }
}

/// Removes what killed checks have left. A check that runs at the same time keeps its own, which shows that it lives.
/// Gives the names of what was removed.
pub(super) async fn sweep(api: &dyn TrialEndpoints, own: &ObjectKey) -> Result<Vec<String>, EndpointError> {
    let mut silent = patiently(|| others(api, own)).await?;
    let started = Instant::now();
    while !silent.is_empty() && started.elapsed() < DEAD_AFTER {
        sleep(BEAT).await;
        // Not patiently: as long as the API is away, a living check cannot show that it lives.
        let now = others(api, own).await?;
        silent.retain(|name, version| now.get(name) == Some(&*version));
    }
    let mut removed = Vec::new();
    for name in silent.into_keys() {
        remove(api, &ObjectKey::namespace(&name)).await?;
        removed.push(name);
    }
    Ok(removed)
}

/// Namespaces of other checks with their versions, without those that are going already.
async fn others(api: &dyn TrialEndpoints, own: &ObjectKey) -> Result<BTreeMap<String, String>, EndpointError> {
    let wanted = Collection {
        api_version: "v1".into(),
        kind: "Namespace".into(),
        namespace: String::new(),
        labels: Trial::selector(),
    };
    let other = |namespace: &Value| {
        let metadata = &namespace["metadata"];
        let name = metadata["name"].as_str()?;
        let is_ours = name.starts_with(NAMESPACE_PREFIX) && name != own.name && metadata["deletionTimestamp"].is_null();
        is_ours.then(|| (name.to_owned(), metadata["resourceVersion"].as_str().unwrap_or_default().to_owned()))
    };
    Ok(api.list(&wanted).await?.iter().filter_map(other).collect())
}

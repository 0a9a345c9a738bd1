//! What runs on the hosts and is reached through them: etcd and the Kubernetes API.
//!
//! One trait, so that a run can be tried against a fake at every point at which it could be interrupted.

mod kinds;
mod repeat;
mod trial;
mod tunnel;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::base::{Epoch, NodeName};
use crate::desired::NodeMetadata;
use crate::kubeapi::{Eviction, EvictionAnswer, KubeApiError, PodTrouble};
use crate::state::{Deletion, Object, ObjectKey, ObservedEtcdMember, Resident, Resource, ResourceKind, StoredObject};

pub use trial::TrialEndpoints;
pub use tunnel::{Credentials, TunnelEndpoints};

/// Why etcd or the API did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {reason}")]
pub struct EndpointError {
    /// What was asked, with node or object.
    pub operation: String,
    /// The answer, or why there was none.
    pub reason: String,
}

impl EndpointError {
    /// With all causes. The error itself says what was asked, with kind and name, and through which node.
    fn of_api(error: &KubeApiError) -> Self {
        Self::of("Kubernetes API", error)
    }

    fn of(operation: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        Self { operation: operation.into(), reason }
    }
}

/// The half that only reads.
pub trait ReadEndpoints: Send + Sync {
    /// etcd's members by name, as any member lists them.
    fn etcd_members(&self) -> BoxFuture<'_, Result<BTreeMap<String, ObservedEtcdMember>, EndpointError>>;

    /// Whether this node's member serves reads and writes.
    fn etcd_health<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// The objects that etcd has below `/registry/KEYS/`, as any member with a quorum gives them.
    fn stored<'a>(&'a self, keys: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>, EndpointError>>;

    /// Whether this node's apiserver answers at all. That its port is open says nothing: it opens it long before it serves.
    fn api_answers<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Whether this node's apiserver says that it is ready.
    fn api_health<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Whether something accepts connections on this loopback port of a node.
    fn listens<'a>(&'a self, node: &'a NodeName, port: u16) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Objects by key, through the first apiserver that answers; those that do not exist are left out.
    fn read<'a>(&'a self, keys: &'a [ObjectKey]) -> BoxFuture<'a, Result<BTreeMap<ObjectKey, Value>, EndpointError>>;

    /// All Node objects, through the first apiserver that answers.
    fn nodes(&self) -> BoxFuture<'_, Result<BTreeMap<ObjectKey, Value>, EndpointError>>;

    /// All objects of these kinds, whatever their namespace, each with its `apiVersion` and `kind`. Kinds that the API does
    /// not serve have none.
    fn all_of<'a>(&'a self, kinds: &'a [ResourceKind]) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>>;

    /// What this node's apiserver counts of itself, in Prometheus' text format.
    fn api_metrics<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<String, EndpointError>>;

    /// Those of these kinds that the API serves, and where their objects live.
    fn served<'a>(
        &'a self,
        kinds: &'a [ResourceKind],
    ) -> BoxFuture<'a, Result<BTreeMap<ResourceKind, Resource>, EndpointError>>;

    /// What would go with a live namespace or definition of a kind; nothing for other objects.
    fn residents<'a>(&'a self, live: &'a Value) -> BoxFuture<'a, Result<Vec<Resident>, EndpointError>>;

    /// The pods of a live workload.
    fn pods<'a>(&'a self, workload: &'a Value) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>>;

    /// All pods that are bound to a node.
    fn pods_on<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>>;

    /// All PodDisruptionBudgets.
    fn disruption_budgets(&self) -> BoxFuture<'_, Result<Vec<Value>, EndpointError>>;

    /// Why the pods of a live workload are not ready.
    fn troubles<'a>(&'a self, workload: &'a Value) -> BoxFuture<'a, Result<Vec<PodTrouble>, EndpointError>>;
}

/// The half that changes what the API holds.
pub trait Endpoints: ReadEndpoints {
    /// Applies objects at once, by server-side apply as the tool's own field manager. What an apiserver cannot take yet is
    /// sent again for some seconds.
    fn apply<'a>(&'a self, epoch: Epoch, objects: &'a [Object]) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Deletes objects at once. Those that are gone, or are others of the same name by now, are left alone. Returns when
    /// the API has taken it: their finalizers and what they own may take longer.
    fn delete<'a>(&'a self, epoch: Epoch, objects: &'a [Deletion]) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Sets labels and taints of a Node and leaves those of others alone.
    fn set_node_metadata<'a>(
        &'a self,
        epoch: Epoch,
        metadata: &'a NodeMetadata,
    ) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Keeps new pods from a node and notes that it was the tool; an operator's cordon is left as it is.
    fn cordon<'a>(&'a self, epoch: Epoch, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Lets new pods onto a node that the tool has cordoned; an operator's cordon stays.
    fn uncordon<'a>(&'a self, epoch: Epoch, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Asks for a pod's eviction, which is over only later.
    fn evict<'a>(
        &'a self,
        epoch: Epoch,
        eviction: &'a Eviction,
    ) -> BoxFuture<'a, Result<EvictionAnswer, EndpointError>>;
}

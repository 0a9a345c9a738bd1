//! Where objects of each kind live: Kubernetes' own by a table, others as the cluster or their definitions say.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::kubeapi::{KubeApiError, ReadApi};
use crate::state::{Resource, ResourceKind};

/// What is known of kinds that Kubernetes does not bring. A kind keeps its place for as long as its definition lives.
#[derive(Debug, Default)]
pub(super) struct Kinds(Mutex<BTreeMap<ResourceKind, Resource>>);

impl Kinds {
    /// Takes over what an apiserver or a definition tells.
    pub fn learn(&self, kinds: impl IntoIterator<Item = (ResourceKind, Resource)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(kinds);
    }

    /// Takes over what a definition tells that has just been applied: an apiserver lists its kinds a moment later.
    pub fn learn_definition(&self, body: &Value) {
        self.learn(Resource::defined_by(body));
    }

    fn known(&self, kind: &ResourceKind) -> Option<Resource> {
        let learned = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(kind).cloned();
        learned.or_else(|| Resource::built_in(kind))
    }

    /// Where objects of these kinds live. Asks the apiserver only for what is not known; what it does not serve is left
    /// out.
    pub async fn resolve(
        &self,
        api: &ReadApi,
        kinds: impl IntoIterator<Item = ResourceKind>,
    ) -> Result<BTreeMap<ResourceKind, Resource>, KubeApiError> {
        let (mut resolved, mut unknown) = (BTreeMap::new(), Vec::new());
        for kind in kinds {
            match self.known(&kind) {
                Some(resource) => drop(resolved.insert(kind, resource)),
                None => unknown.push(kind),
            }
        }
        if !unknown.is_empty() {
            let served = api.served(&unknown).await?;
            self.learn(served.clone());
            resolved.extend(served);
        }
        Ok(resolved)
    }
}

//! What a check needs of the API besides what every run needs: to find its own objects again and to take them away.

use futures::future::BoxFuture;
use serde_json::Value;

use super::{EndpointError, Endpoints, TunnelEndpoints};
use crate::kubeapi::Collection;
use crate::state::ObjectKey;

/// The API for objects that live as long as a check.
pub trait TrialEndpoints: Endpoints {
    /// The objects of a collection, through the first apiserver that answers.
    fn list<'a>(&'a self, wanted: &'a Collection) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>>;

    /// Asks for the deletion of all objects of a collection, which may be over only later.
    fn remove_all<'a>(&'a self, wanted: &'a Collection) -> BoxFuture<'a, Result<(), EndpointError>>;

    /// Asks for an object's deletion, which may be over only later. One that is not there is no error.
    fn remove<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<(), EndpointError>>;
}

impl TrialEndpoints for TunnelEndpoints {
    fn list<'a>(&'a self, wanted: &'a Collection) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.read().collection(wanted).await }))
    }

    fn remove_all<'a>(&'a self, wanted: &'a Collection) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.remove_all(wanted).await }))
    }

    fn remove<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.remove(key).await }))
    }
}

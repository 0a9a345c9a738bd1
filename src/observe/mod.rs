//! Looks at all hosts, at etcd and at the API at once. Holds only the reading halves: it cannot change anything.

mod objects;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{BoxFuture, join, join_all};

use crate::base::NodeName;
use crate::endpoints::ReadEndpoints;
use crate::host::{LookRequest, ReadHost};
use crate::state::{ObjectKey, Observed, ObservedApi, ObservedHost, ResourceKind};

/// What a look is about.
pub struct Subject<'a> {
    /// Hosts by node: connected, or why not.
    pub hosts: BTreeMap<NodeName, Result<Arc<dyn ReadHost>, String>>,
    /// etcd and the API; none while there is no authority that could let us in.
    pub endpoints: Option<&'a dyn ReadEndpoints>,
    /// What to look at on each host.
    pub request: LookRequest,
    /// Objects to read.
    pub objects: Vec<ObjectKey>,
    /// Kinds of the operator's add-ons, each once: only the cluster can tell whether it serves them.
    pub kinds: Vec<ResourceKind>,
}

/// Looks at everything in one round.
pub async fn gather(subject: &Subject<'_>) -> Observed {
    let looks = subject.hosts.iter().map(|(name, host)| look(name, host, &subject.request));
    // The API first: its channel, its handshake and its requests are the longest chain.
    let ((api, etcd_members), hosts) = join(endpoints(subject), join_all(looks)).await;
    Observed { hosts: hosts.into_iter().collect(), api, etcd_members }
}

async fn look(
    name: &NodeName,
    host: &Result<Arc<dyn ReadHost>, String>,
    request: &LookRequest,
) -> (NodeName, ObservedHost) {
    let seen = match host {
        Err(reason) => ObservedHost::Unreachable(reason.clone()),
        Ok(host) => match host.look(request).await {
            Ok(snapshot) => ObservedHost::Reached(Box::new(snapshot)),
            Err(error) => ObservedHost::Unreachable(error.to_string()),
        },
    };
    (name.clone(), seen)
}

type Members = BTreeMap<String, crate::state::ObservedEtcdMember>;

fn endpoints<'a>(subject: &'a Subject<'_>) -> BoxFuture<'a, (ObservedApi, Members)> {
    Box::pin(async move {
        let Some(endpoints) = subject.endpoints else {
            return (ObservedApi::Unreachable("the cluster has no authority yet".into()), Members::new());
        };
        let (api, members) = join(objects::gather(endpoints, subject), endpoints.etcd_members()).await;
        let api = api.unwrap_or_else(|error| ObservedApi::Unreachable(error.to_string()));
        (api, members.unwrap_or_default())
    })
}

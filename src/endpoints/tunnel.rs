//! etcd and the API through the hosts' SSH connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::{BoxFuture, join, join_all, select_ok};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::base::{Epoch, NodeName};
use crate::cluster::Cluster;
use crate::desired::NodeMetadata;
use crate::etcd::EtcdMember;
use crate::host::ReadHost;
use crate::https::ClientTls;
use crate::kubeapi::{Eviction, EvictionAnswer, KubeApi, KubeApiError, PodTrouble, Readiness};
use crate::pki::{
    self, Authority, Identity, KeyMaker, Material, MaterialName, PkiError, RUN_LIFETIME_SECONDS, Subject, Validity,
};
use crate::state::{Deletion, Object, ObjectKey, ObservedEtcdMember, Resident, Resource, ResourceKind, StoredObject};

use super::kinds::Kinds;
use super::repeat::{PAUSE, until_taken};
use super::{EndpointError, Endpoints, ReadEndpoints};

const API_PORT: u16 = 6443;
const ETCD_PORT: u16 = 2379;

/// As whom a run talks to the API and to etcd: identities of one hour that exist in memory only.
pub struct Credentials {
    api: Identity,
    api_authority: String,
    etcd: Identity,
    etcd_authority: String,
}

impl Credentials {
    /// Signs the run's identities. Only the first bindings of a new cluster are made as `system:masters`; a living
    /// cluster is entered as a member of `provision:admins`, whose rights can be taken away.
    pub fn for_run(material: &Material, living: bool, now: i64, maker: &mut dyn KeyMaker) -> Result<Self, PkiError> {
        let subject = if living { Subject::admin("provision:run") } else { Subject::first_bindings() };
        let validity = Validity::starting(now, RUN_LIFETIME_SECONDS);
        Ok(Self {
            api: pki::run_identity(material, Authority::Cluster, subject, validity, maker)?,
            api_authority: certificate(material, Authority::Cluster),
            etcd: pki::run_identity(material, Authority::Etcd, Subject::etcd_client(), validity, maker)?,
            etcd_authority: certificate(material, Authority::Etcd),
        })
    }
}

fn certificate(material: &Material, authority: Authority) -> String {
    let entry = material.get(&MaterialName::authority(authority));
    entry.and_then(|entry| entry.certificate.clone()).unwrap_or_default()
}

/// What runs on hosts, reached through channels of their SSH connections. One connection for each server, kept.
pub struct TunnelEndpoints {
    hosts: BTreeMap<NodeName, Arc<dyn ReadHost>>,
    control_planes: Vec<NodeName>,
    etcd_members: Vec<NodeName>,
    api_tls: ClientTls,
    etcd_tls: ClientTls,
    apis: Kept<KubeApi>,
    members: Kept<EtcdMember>,
    kinds: Kinds,
}

/// Connections by node. The inner lock lets only one caller connect to a server while others wait for the result.
type Kept<T> = Mutex<BTreeMap<NodeName, Arc<Mutex<Option<T>>>>>;

async fn slot<T>(kept: &Kept<T>, node: &NodeName) -> Arc<Mutex<Option<T>>> {
    let mut kept = kept.lock().await;
    Arc::clone(kept.entry(node.clone()).or_insert_with(|| Arc::new(Mutex::new(None))))
}

impl TunnelEndpoints {
    /// Prepares; nothing is connected before it is used.
    pub fn new(
        cluster: &Cluster,
        hosts: BTreeMap<NodeName, Arc<dyn ReadHost>>,
        credentials: &Credentials,
    ) -> Result<Self, EndpointError> {
        let tls = |authority: &str, name: &'static str, identity: &Identity| {
            ClientTls::new(authority, name, &identity.certificate, &identity.key)
                .map_err(|error| EndpointError::of("preparing TLS", &error))
        };
        Ok(Self {
            control_planes: cluster.control_planes().map(|node| node.name.clone()).collect(),
            etcd_members: cluster.etcd_members().map(|node| node.name.clone()).collect(),
            api_tls: tls(&credentials.api_authority, "kubernetes", &credentials.api)?,
            etcd_tls: tls(&credentials.etcd_authority, "localhost", &credentials.etcd)?,
            hosts,
            apis: Mutex::default(),
            members: Mutex::default(),
            kinds: Kinds::default(),
        })
    }

    fn host(&self, node: &NodeName) -> Result<&Arc<dyn ReadHost>, EndpointError> {
        let missing = || EndpointError { operation: format!("reaching {node}"), reason: "no connection".into() };
        self.hosts.get(node).ok_or_else(missing)
    }

    async fn api(&self, node: &NodeName) -> Result<KubeApi, EndpointError> {
        let slot = slot(&self.apis, node).await;
        let mut kept = slot.lock().await;
        if let Some(api) = kept.as_ref().filter(|api| !api.read().is_closed()) {
            return Ok(api.clone());
        }
        let api = KubeApi::connect(self.host(node)?.as_ref(), API_PORT, &self.api_tls).await;
        let api = api.map_err(|error| EndpointError::of_api(&error))?;
        *kept = Some(api.clone());
        Ok(api)
    }

    /// The first apiserver that accepts a connection.
    async fn any_api(&self) -> Result<KubeApi, EndpointError> {
        let attempts: Vec<_> = self.control_planes.iter().map(|node| Box::pin(self.api(node))).collect();
        if attempts.is_empty() {
            return Err(EndpointError { operation: "reaching the API".into(), reason: "no control plane".into() });
        }
        select_ok(attempts).await.map(|(api, _)| api)
    }

    /// Asks one apiserver after the other, where one cannot answer now: it may have just started and know no roles yet, or
    /// have lost its etcd.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(KubeApi) -> F) -> Result<T, EndpointError>
    where
        F: Future<Output = Result<T, KubeApiError>>,
    {
        let first = self.any_api().await?;
        let failure = match question(first.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let others = self.control_planes.iter().filter(|node| *node != first.read().host());
        for node in others.take_while(|_| failure.is_of_one_apiserver()) {
            let Ok(api) = self.api(node).await else { continue };
            if let Ok(answer) = question(api).await {
                return Ok(answer);
            }
        }
        Err(EndpointError::of_api(&failure))
    }

    async fn member(&self, node: &NodeName) -> Result<EtcdMember, EndpointError> {
        let slot = slot(&self.members, node).await;
        let mut kept = slot.lock().await;
        if let Some(member) = kept.as_ref().filter(|member| !member.is_closed()) {
            return Ok(member.clone());
        }
        let member = EtcdMember::connect(self.host(node)?.as_ref(), ETCD_PORT, &self.etcd_tls).await;
        let member = member.map_err(|error| EndpointError::of(format!("connecting to etcd of {node}"), &error))?;
        *kept = Some(member.clone());
        Ok(member)
    }

    async fn members_of(&self, node: &NodeName) -> Result<BTreeMap<String, ObservedEtcdMember>, EndpointError> {
        let member = self.member(node).await?;
        let (members, status) = join(member.members(), member.status()).await;
        let failed = |error| EndpointError::of(format!("listing etcd's members on {node}"), &error);
        let mut members = members.map_err(failed)?;
        // Who leads is good to know, and needed for nothing.
        let leader = status.ok().and_then(|status| status.leader);
        members.values_mut().for_each(|member| member.leads = leader.as_ref() == Some(&member.id));
        Ok(members)
    }
}

impl TunnelEndpoints {
    async fn stored_on(&self, node: &NodeName, keys: &str) -> Result<Vec<StoredObject>, EndpointError> {
        let prefix = format!("/registry/{keys}/");
        let pairs = self.member(node).await?.range(&prefix).await;
        let pairs = pairs.map_err(|error| EndpointError::of(format!("reading {prefix} of etcd on {node}"), &error))?;
        let name = |key: &[u8]| String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
        Ok(pairs.into_iter().map(|(key, value)| StoredObject { name: name(&key), value }).collect())
    }
}

impl ReadEndpoints for TunnelEndpoints {
    fn etcd_members(&self) -> BoxFuture<'_, Result<BTreeMap<String, ObservedEtcdMember>, EndpointError>> {
        Box::pin(async move {
            let attempts: Vec<_> = self.etcd_members.iter().map(|node| Box::pin(self.members_of(node))).collect();
            if attempts.is_empty() {
                return Ok(BTreeMap::new());
            }
            select_ok(attempts).await.map(|(members, _)| members)
        })
    }

    fn etcd_health<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(async move {
            let health = self.member(node).await?.health().await;
            health.map_err(|error| EndpointError::of(format!("etcd of {node}"), &error))
        })
    }

    fn stored<'a>(&'a self, keys: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>, EndpointError>> {
        Box::pin(async move {
            let mut failure = EndpointError { operation: "reading etcd".into(), reason: "no etcd host".into() };
            // It may be much: not from all of them at once.
            for node in &self.etcd_members {
                match self.stored_on(node, keys).await {
                    Ok(objects) => return Ok(objects),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        })
    }

    fn api_answers<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(async move {
            let answer = self.api(node).await?.read().ready().await;
            answer.map(|_| ()).map_err(|error| EndpointError::of(format!("the API of {node}"), &error))
        })
    }

    fn api_health<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(async move {
            let operation = || format!("the API of {node}");
            match self.api(node).await?.read().ready().await {
                Ok(Readiness::Ready) => Ok(()),
                Ok(Readiness::NotReady(reason)) => Err(EndpointError { operation: operation(), reason }),
                Err(error) => Err(EndpointError::of(operation(), &error)),
            }
        })
    }

    fn listens<'a>(&'a self, node: &'a NodeName, port: u16) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(async move {
            let stream = self.host(node)?.open_tcp("127.0.0.1", port).await;
            stream.map(|_| ()).map_err(|error| EndpointError::of(format!("port {port} of {node}"), &error))
        })
    }

    fn read<'a>(&'a self, keys: &'a [ObjectKey]) -> BoxFuture<'a, Result<BTreeMap<ObjectKey, Value>, EndpointError>> {
        Box::pin(self.ask(move |api| async move {
            let kinds = self.kinds.resolve(api.read(), keys.iter().map(ObjectKey::resource_kind)).await?;
            let served = keys.iter().filter_map(|key| Some((key, kinds.get(&key.resource_kind())?)));
            api.read().get_all(served).await
        }))
    }

    fn nodes(&self) -> BoxFuture<'_, Result<BTreeMap<ObjectKey, Value>, EndpointError>> {
        Box::pin(async move {
            let nodes = self.ask(|api| async move { api.read().nodes().await }).await?;
            let keyed = |node: Value| {
                let name = NodeName::new(node["metadata"]["name"].as_str()?).ok()?;
                Some((ObjectKey::node(&name), node))
            };
            Ok(nodes.into_iter().filter_map(keyed).collect())
        })
    }

    fn all_of<'a>(&'a self, kinds: &'a [ResourceKind]) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        Box::pin(self.ask(move |api| async move {
            let served = api.read().served(kinds).await?;
            let lists = served.iter().map(|(kind, resource)| api.read().all_of(kind, resource));
            Ok(join_all(lists).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
        }))
    }

    fn api_metrics<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<String, EndpointError>> {
        Box::pin(async move {
            let metrics = self.api(node).await?.read().metrics().await;
            metrics.map_err(|error| EndpointError::of(format!("the API of {node}"), &error))
        })
    }

    fn served<'a>(
        &'a self,
        kinds: &'a [ResourceKind],
    ) -> BoxFuture<'a, Result<BTreeMap<ResourceKind, Resource>, EndpointError>> {
        Box::pin(async move {
            let served = self.ask(|api| async move { api.read().served(kinds).await }).await?;
            self.kinds.learn(served.clone());
            Ok(served)
        })
    }

    fn residents<'a>(&'a self, live: &'a Value) -> BoxFuture<'a, Result<Vec<Resident>, EndpointError>> {
        Box::pin(self.ask(move |api| async move {
            match live["kind"].as_str() {
                Some("Namespace") => {
                    api.read().in_namespace(live["metadata"]["name"].as_str().unwrap_or_default()).await
                }
                _ => Self::of_kind(&api, live).await,
            }
        }))
    }

    fn pods<'a>(&'a self, workload: &'a Value) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.read().pods_of(workload).await }))
    }

    fn pods_on<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.read().pods_on(node).await }))
    }

    fn disruption_budgets(&self) -> BoxFuture<'_, Result<Vec<Value>, EndpointError>> {
        Box::pin(self.ask(|api| async move { api.read().disruption_budgets().await }))
    }

    fn troubles<'a>(&'a self, workload: &'a Value) -> BoxFuture<'a, Result<Vec<PodTrouble>, EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.read().troubles(workload).await }))
    }
}

impl TunnelEndpoints {
    /// All objects of a defined kind, through the first version that is served.
    async fn of_kind(api: &KubeApi, definition: &Value) -> Result<Vec<Resident>, KubeApiError> {
        match Resource::defined_by(definition).first() {
            Some((kind, resource)) => api.read().residents(kind, resource, None).await,
            None => Ok(Vec::new()),
        }
    }

    async fn apply_one(&self, api: &KubeApi, object: &Object) -> Result<(), KubeApiError> {
        let kind = object.key.resource_kind();
        let resource = self.kinds.resolve(api.read(), [kind.clone()]).await?.remove(&kind);
        let resource = resource.ok_or(KubeApiError::Unserved { kind })?;
        api.apply(object, &resource).await?;
        self.kinds.learn_definition(&object.body);
        Ok(())
    }

    /// What is of a kind that is not served any more is gone.
    async fn delete_one(&self, api: &KubeApi, object: &Deletion) -> Result<(), KubeApiError> {
        let kind = object.key.resource_kind();
        match self.kinds.resolve(api.read(), [kind.clone()]).await?.get(&kind) {
            Some(resource) => api.delete(&object.key, resource, &object.uid).await,
            None => Ok(()),
        }
    }
}

impl Endpoints for TunnelEndpoints {
    fn apply<'a>(&'a self, _epoch: Epoch, objects: &'a [Object]) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(async move {
            // An apiserver that went away is a refusal like others: the next attempt may find another.
            until_taken(objects, PAUSE, |left| async move {
                let api = self.any_api().await?;
                Ok(join_all(left.into_iter().map(|object| self.apply_one(&api, object))).await)
            })
            .await
        })
    }

    fn delete<'a>(&'a self, _epoch: Epoch, objects: &'a [Deletion]) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(async move {
            until_taken(objects, PAUSE, |left| async move {
                let api = self.any_api().await?;
                Ok(join_all(left.into_iter().map(|object| self.delete_one(&api, object))).await)
            })
            .await
        })
    }

    fn set_node_metadata<'a>(
        &'a self,
        _epoch: Epoch,
        metadata: &'a NodeMetadata,
    ) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(async move {
            let api = self.any_api().await?;
            let result = api.set_node_metadata(&metadata.name, &metadata.labels, &metadata.taints).await;
            result.map_err(|error| EndpointError::of_api(&error))
        })
    }

    fn cordon<'a>(&'a self, _epoch: Epoch, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.cordon(node).await }))
    }

    fn uncordon<'a>(&'a self, _epoch: Epoch, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.uncordon(node).await }))
    }

    fn evict<'a>(
        &'a self,
        _epoch: Epoch,
        eviction: &'a Eviction,
    ) -> BoxFuture<'a, Result<EvictionAnswer, EndpointError>> {
        Box::pin(self.ask(move |api| async move { api.evict(eviction).await }))
    }
}

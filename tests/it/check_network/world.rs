//! A cluster in memory for `check network`: an API that keeps objects, and test pods that answer as agnhost does. Which
//! packets pass is a function of the test's.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use provision::base::{Epoch, NodeName};
use provision::cluster::Cluster;
use provision::desired::NodeMetadata;
use provision::endpoints::{Credentials, EndpointError, Endpoints, ReadEndpoints, TrialEndpoints};
use provision::event::EventSink;
use provision::host::{
    ByteStream, Change, HostError, HostStream, LogSource, LookRequest, ReadHost, SharedHost, WriteHost,
};
use provision::https::Meter;
use provision::kubeapi::{Collection, Eviction, EvictionAnswer, PodTrouble};
use provision::ops::{Connections, Reach, TrialReach};
use provision::state::{
    Deletion, HostSnapshot, Object, ObjectKey, ObservedEtcdMember, Resident, Resource, ResourceKind, StoredObject,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio::time::Instant;

/// A packet's way, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Node that it leaves, and whether from a pod of it.
    pub from: String,
    pub by_pod: bool,
    /// Node at which it arrives.
    pub to: String,
    pub udp: bool,
    /// Whether packets of the full size are among what is sent.
    pub full: bool,
    /// Whether it goes to a node itself instead of a pod.
    pub to_node: bool,
}

type Passes = dyn Fn(&Packet) -> bool + Send + Sync;

/// The cluster. Clones are the same.
#[derive(Clone)]
pub struct World {
    objects: Arc<Mutex<BTreeMap<ObjectKey, Value>>>,
    versions: Arc<Mutex<u64>>,
    passes: Arc<Passes>,
    /// Reason for which pods of a node wait, in the place of running.
    pub waits: Arc<Mutex<BTreeMap<String, Value>>>,
    /// Whether something enforces NetworkPolicy.
    pub enforces: bool,
    /// Whether the two clients refuse connections in the first three seconds of attempts.
    pub listens_late: bool,
    /// Whether the stranger is gone as soon as there is a policy.
    pub stranger_goes: bool,
    /// Whether no connection of pods passes as soon as there is a policy.
    pub policy_cuts_all: bool,
    /// Whether what the stranger is asked for in the first second under a policy is never answered.
    pub stalls_once: bool,
    /// The API is away when it is asked for namespaces for the third time.
    pub is_away_once: bool,
    /// Whether the API fails nine of ten requests once the nodes are known.
    pub is_moody: bool,
    attempts: [Since; 2],
    attempts_under_policy: Since,
    requests: Arc<Mutex<u64>>,
    looks_at_namespaces: Arc<Mutex<u64>>,
}

/// Knows when something was asked for the first time.
#[derive(Clone, Default)]
struct Since(Arc<Mutex<Option<Instant>>>);

impl Since {
    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().get_or_insert_with(Instant::now).elapsed()
    }
}

impl World {
    pub fn new(passes: impl Fn(&Packet) -> bool + Send + Sync + 'static) -> Self {
        Self {
            objects: Arc::default(),
            versions: Arc::default(),
            passes: Arc::new(passes),
            waits: Arc::default(),
            enforces: false,
            listens_late: false,
            stranger_goes: false,
            policy_cuts_all: false,
            stalls_once: false,
            is_away_once: false,
            is_moody: false,
            attempts: Default::default(),
            attempts_under_policy: Since::default(),
            requests: Arc::default(),
            looks_at_namespaces: Arc::default(),
        }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Value>> {
        self.objects.lock().unwrap()
    }

    /// The namespaces that are there.
    pub fn namespaces(&self) -> Vec<String> {
        self.objects().keys().filter(|key| key.kind == "Namespace").map(|key| key.name.clone()).collect()
    }

    /// How many objects are there.
    pub fn count(&self) -> usize {
        self.objects().len()
    }

    /// Puts an object there; every change gives it a new version.
    pub fn put(&self, mut body: Value) {
        let mut versions = self.versions.lock().unwrap();
        *versions += 1;
        body["metadata"]["resourceVersion"] = versions.to_string().into();
        let object = Object::new(body).expect("an object");
        self.objects().insert(object.key, object.body);
    }

    fn pods(&self) -> Vec<Pod> {
        let pod = |(number, (key, body)): (usize, (&ObjectKey, &Value))| {
            let node = body["spec"]["nodeName"].as_str()?.to_owned();
            let namespace = key.namespace.clone();
            Some(Pod { name: key.name.clone(), namespace, ip: format!("10.42.0.{}", number + 2), node })
        };
        let objects = self.objects();
        objects.iter().filter(|(key, _)| key.kind == "Pod").enumerate().filter_map(pod).collect()
    }

    /// Objects as the API shows them: with what controllers and kubelets have filled in.
    fn shown(&self, key: &ObjectKey, body: &Value) -> Value {
        let mut body = body.clone();
        match key.kind.as_str() {
            "Pod" => {
                let pods = self.pods();
                let pod = pods.iter().find(|pod| pod.name == key.name && pod.namespace == key.namespace).unwrap();
                let state = match self.waits.lock().unwrap().get(&pod.node) {
                    Some(waiting) => json!({ "waiting": waiting }),
                    None => json!({ "running": {} }),
                };
                body["status"] = json!({ "podIP": pod.ip, "containerStatuses": [{ "state": state }] });
            }
            "Service" => {
                let number: u16 = key.name.trim_start_matches("service-").parse().unwrap();
                body["spec"]["clusterIP"] = format!("10.43.1.{number}").into();
                body["spec"]["ports"][0]["nodePort"] = (30100 + number).into();
            }
            _ => {}
        }
        body
    }

    fn slices(&self, wanted: &Collection) -> Vec<Value> {
        let slice = |service: &str| {
            json!({
                "metadata": { "labels": { "kubernetes.io/service-name": service } },
                "endpoints": [{ "nodeName": "h1", "conditions": { "ready": true } }],
            })
        };
        if wanted.namespace == "kube-system" {
            return vec![slice("kube-dns")];
        }
        let objects = self.objects();
        objects.keys().filter(|key| key.kind == "Service").map(|key| slice(&key.name)).collect()
    }

    /// The pod that a Service's number leads to.
    fn endpoint(&self, number: &str) -> Option<Pod> {
        let objects = self.objects();
        let selector =
            objects.iter().find(|(key, _)| key.name == format!("service-{number}"))?.1["spec"]["selector"].clone();
        let wanted = selector["provision/check-server"].as_str()?.to_owned();
        drop(objects);
        self.pods().into_iter().find(|pod| pod.name == format!("server-{wanted}"))
    }

    /// Where an address and port lead from a node or a pod of it: the node, and the pod where it is one.
    fn destination(&self, address: &str, port: u16) -> Option<(String, Option<Pod>)> {
        if let Some(number) = address.strip_prefix("10.43.1.") {
            let pod = self.endpoint(number)?;
            return Some((pod.node.clone(), Some(pod)));
        }
        if let Some(number) = address.strip_prefix("10.9.0.") {
            let node = format!("h{number}");
            let pod = if port == 10250 { None } else { Some(self.endpoint(&(port - 30100).to_string())?) };
            return Some((node, pod));
        }
        let pod = self.pods().into_iter().find(|pod| pod.ip == address)?;
        Some((pod.node.clone(), Some(pod)))
    }

    fn lets_pass(&self, from: &str, by_pod: bool, to: &str, to_node: bool, udp: bool, full: bool) -> bool {
        let (from, to) = (from.to_owned(), to.to_owned());
        from == to || (self.passes)(&Packet { from, by_pod, to, udp, full, to_node })
    }

    fn has_policy(&self, namespace: &str) -> bool {
        self.objects().keys().any(|key| key.kind == "NetworkPolicy" && key.namespace == namespace)
    }

    fn denies(&self, client: &Pod, server: &Pod) -> bool {
        let cuts = self.policy_cuts_all && self.has_policy(&server.namespace);
        let enforced = self.enforces
            && self.has_policy(&server.namespace)
            && server.name.starts_with("server-")
            && client.name != "friend";
        cuts || enforced
    }

    /// What a pod says to `/dial` with these parameters.
    fn dialled(&self, client: &Pod, parameters: &BTreeMap<String, String>) -> (u16, String) {
        let (host, udp) = (&parameters["host"], parameters["protocol"] == "udp");
        if host.ends_with('.') {
            let known = host.starts_with("kubernetes.default.svc.");
            let words = format!("lookup {host} on 10.43.0.10:53: no such host");
            return if known { (200, json!({ "responses": ["HTTP to HTTPS"] }).to_string()) } else { (400, words) };
        }
        let silent = || (200, json!({ "errors": ["dial: i/o timeout"] }).to_string());
        let port = parameters["port"].parse().unwrap();
        let Some((node, Some(server))) = self.destination(host, port) else { return silent() };
        let full = parameters["request"].len() > 1000;
        if !self.lets_pass(&client.node, true, &node, false, udp, full) || self.denies(client, &server) {
            return silent();
        }
        (200, json!({ "responses": [server.name] }).to_string())
    }

    /// Whether nobody listens in this pod, yet or any more.
    fn refuses(&self, pod: &Pod) -> bool {
        let Some(client) = ["stranger", "friend"].iter().position(|client| *client == pod.name) else { return false };
        let is_late = self.listens_late && self.attempts[client].elapsed() < Duration::from_secs(3);
        let is_gone = self.stranger_goes && pod.name == "stranger" && self.has_policy(&pod.namespace);
        is_late || is_gone
    }

    /// Whether this pod answers nothing now.
    fn stalls(&self, pod: &Pod) -> bool {
        self.stalls_once
            && pod.name == "stranger"
            && self.has_policy(&pod.namespace)
            && self.attempts_under_policy.elapsed() < Duration::from_secs(1)
    }

    /// What the API says to a request before it looks at it.
    fn mood(&self) -> Result<(), EndpointError> {
        let mut requests = self.requests.lock().unwrap();
        *requests += 1;
        if self.is_moody && !requests.is_multiple_of(10) {
            return Err(EndpointError { operation: "asking".into(), reason: "etcdserver: leader changed".into() });
        }
        Ok(())
    }

    fn is_away(&self, wanted: &Collection) -> bool {
        let mut looks = self.looks_at_namespaces.lock().unwrap();
        *looks += u64::from(wanted.kind == "Namespace");
        self.is_away_once && wanted.kind == "Namespace" && *looks == 3
    }

    /// Answers one request as the pod that it reached.
    fn answer(&self, pod: &Pod, path: &str) -> (u16, String) {
        let url = http::Uri::try_from(path).unwrap();
        match url.path() {
            "/hostname" => (200, pod.name.clone()),
            "/shell" => (200, json!({ "output": "1450\n" }).to_string()),
            "/dial" => {
                let parameter = |part: &str| part.split_once('=').map(|(name, value)| (name.into(), value.into()));
                self.dialled(pod, &url.query().unwrap().split('&').filter_map(parameter).collect())
            }
            other => (404, format!("no {other}")),
        }
    }
}

#[derive(Debug, Clone)]
struct Pod {
    name: String,
    namespace: String,
    ip: String,
    node: String,
}

impl Reach for World {
    fn connect<'a>(&'a self, cluster: &'a Cluster, _: &'a dyn EventSink) -> BoxFuture<'a, Connections> {
        let host = |node: &provision::cluster::Node| {
            let host: SharedHost = Arc::new(FakeNode { node: node.name.clone(), world: self.clone() });
            (node.name.clone(), Ok(host))
        };
        Box::pin(ready(cluster.nodes.iter().map(host).collect()))
    }

    fn endpoints(
        &self,
        _: &Cluster,
        _: &BTreeMap<NodeName, SharedHost>,
        _: &Credentials,
    ) -> Result<Arc<dyn Endpoints>, EndpointError> {
        Ok(Arc::new(self.clone()))
    }
}

impl TrialReach for World {
    fn trials(
        &self,
        _: &Cluster,
        _: &BTreeMap<NodeName, SharedHost>,
        _: &Credentials,
    ) -> Result<Arc<dyn TrialEndpoints>, EndpointError> {
        Ok(Arc::new(self.clone()))
    }
}

fn unasked<T>() -> BoxFuture<'static, Result<T, EndpointError>>
where
    T: Send + 'static,
{
    let error = EndpointError { operation: "this".into(), reason: "is nothing that a check asks for".into() };
    Box::pin(ready(Err(error)))
}

impl ReadEndpoints for World {
    fn etcd_members(&self) -> BoxFuture<'_, Result<BTreeMap<String, ObservedEtcdMember>, EndpointError>> {
        unasked()
    }

    fn etcd_health<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn stored<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>, EndpointError>> {
        unasked()
    }

    fn api_answers<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn api_health<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn listens<'a>(&'a self, _: &'a NodeName, _: u16) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn read<'a>(&'a self, keys: &'a [ObjectKey]) -> BoxFuture<'a, Result<BTreeMap<ObjectKey, Value>, EndpointError>> {
        let stored = self.objects().clone();
        let found = keys.iter().filter_map(|key| Some((key.clone(), self.shown(key, stored.get(key)?))));
        Box::pin(ready(self.mood().map(|()| found.collect())))
    }

    fn all_of<'a>(&'a self, _: &'a [ResourceKind]) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        unasked()
    }

    fn api_metrics<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<String, EndpointError>> {
        unasked()
    }

    fn served<'a>(
        &'a self,
        _: &'a [ResourceKind],
    ) -> BoxFuture<'a, Result<BTreeMap<ResourceKind, Resource>, EndpointError>> {
        unasked()
    }

    fn residents<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Vec<Resident>, EndpointError>> {
        unasked()
    }

    fn pods<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        unasked()
    }

    fn troubles<'a>(&'a self, _: &'a Value) -> BoxFuture<'a, Result<Vec<PodTrouble>, EndpointError>> {
        unasked()
    }

    fn nodes(&self) -> BoxFuture<'_, Result<BTreeMap<ObjectKey, Value>, EndpointError>> {
        let stored = self.objects().clone();
        Box::pin(ready(Ok(stored.into_iter().filter(|(key, _)| key.kind == "Node").collect())))
    }

    fn pods_on<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        unasked()
    }

    fn disruption_budgets(&self) -> BoxFuture<'_, Result<Vec<Value>, EndpointError>> {
        unasked()
    }
}

impl Endpoints for World {
    fn apply<'a>(&'a self, _: Epoch, objects: &'a [Object]) -> BoxFuture<'a, Result<(), EndpointError>> {
        for object in objects {
            self.put(object.body.clone());
        }
        Box::pin(ready(Ok(())))
    }

    fn delete<'a>(&'a self, _: Epoch, _: &'a [Deletion]) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn set_node_metadata<'a>(&'a self, _: Epoch, _: &'a NodeMetadata) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn cordon<'a>(&'a self, _: Epoch, _: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn uncordon<'a>(&'a self, _: Epoch, _: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        unasked()
    }

    fn evict<'a>(&'a self, _: Epoch, _: &'a Eviction) -> BoxFuture<'a, Result<EvictionAnswer, EndpointError>> {
        unasked()
    }
}

impl TrialEndpoints for World {
    fn list<'a>(&'a self, wanted: &'a Collection) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        if let Err(error) = self.mood() {
            return Box::pin(ready(Err(error)));
        }
        if self.is_away(wanted) {
            let error = EndpointError { operation: "listing namespaces".into(), reason: "gone".into() };
            return Box::pin(ready(Err(error)));
        }
        if wanted.kind == "EndpointSlice" {
            return Box::pin(ready(Ok(self.slices(wanted))));
        }
        let (name, value) = wanted.labels.split_once('=').unwrap();
        let stored = self.objects().clone();
        let fits = |(key, body): &(&ObjectKey, &Value)| {
            key.kind == wanted.kind && key.namespace == wanted.namespace && body["metadata"]["labels"][name] == value
        };
        Box::pin(ready(Ok(stored.iter().filter(fits).map(|(key, body)| self.shown(key, body)).collect())))
    }

    fn remove_all<'a>(&'a self, wanted: &'a Collection) -> BoxFuture<'a, Result<(), EndpointError>> {
        let mood = self.mood();
        self.objects().retain(|key, _| mood.is_err() || key.kind != wanted.kind || key.namespace != wanted.namespace);
        Box::pin(ready(mood))
    }

    fn remove<'a>(&'a self, key: &'a ObjectKey) -> BoxFuture<'a, Result<(), EndpointError>> {
        let mood = self.mood();
        let stays = |known: &ObjectKey| known != key && (key.kind != "Namespace" || known.namespace != key.name);
        self.objects().retain(|known, _| mood.is_err() || stays(known));
        Box::pin(ready(mood))
    }
}

struct FakeNode {
    node: NodeName,
    world: World,
}

impl FakeNode {
    fn refused(&self, reason: &str) -> HostError {
        HostError::Refused { host: self.node.clone(), operation: "connecting".into(), reason: reason.into() }
    }

    fn open(&self, address: &str, port: u16) -> Result<HostStream, HostError> {
        let Some((to, pod)) = self.world.destination(address, port) else { return Err(self.refused("nobody there")) };
        let (from, to_node) = (self.node.as_str(), pod.is_none());
        if !self.world.lets_pass(from, false, &to, to_node, false, false) {
            return Err(self.refused("no answer within 15 s"));
        }
        if pod.as_ref().is_some_and(|pod| self.world.refuses(pod)) {
            return Err(self.refused("Connection refused"));
        }
        let (ours, theirs) = duplex(1 << 17);
        if let Some(pod) = pod {
            tokio::spawn(serve(self.world.clone(), pod, self.node.to_string(), theirs));
        }
        Ok(Box::pin(Stream(ours)))
    }
}

/// Answers one request of a node. One that is too long for the way is never answered.
async fn serve(world: World, pod: Pod, from: String, mut stream: DuplexStream) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => request.extend_from_slice(&piece[..length]),
            _ => return,
        }
    }
    let text = String::from_utf8(request).unwrap();
    let path = text.split(' ').nth(1).unwrap().to_owned();
    let full = path.starts_with("/hostname?");
    if world.stalls(&pod) || !world.lets_pass(&from, false, &pod.node, false, false, full) {
        std::future::pending::<()>().await;
    }
    let (status, body) = world.answer(&pod, &path);
    let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

impl ReadHost for FakeNode {
    fn node(&self) -> &NodeName {
        &self.node
    }

    fn look<'a>(&'a self, _: &'a LookRequest) -> BoxFuture<'a, Result<HostSnapshot, HostError>> {
        Box::pin(ready(Err(self.refused("not asked for"))))
    }

    fn log_tail<'a>(&'a self, _: &'a LogSource, _: usize) -> BoxFuture<'a, Result<Vec<String>, HostError>> {
        Box::pin(ready(Err(self.refused("not asked for"))))
    }

    fn open_tcp<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<HostStream, HostError>> {
        Box::pin(ready(self.open(address, port)))
    }

    fn copy_file<'a>(
        &'a self,
        _: &'a str,
        _: u64,
        _: &'a std::fs::File,
    ) -> BoxFuture<'a, Result<provision::base::Digest, HostError>> {
        Box::pin(ready(Err(self.refused("not asked for"))))
    }
}

impl WriteHost for FakeNode {
    fn change<'a>(
        &'a self,
        _: Epoch,
        _: &'a Change,
        _: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(ready(Err(self.refused("a check changes no host"))))
    }
}

struct Stream(DuplexStream);

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl ByteStream for Stream {
    fn meter(&self) -> Option<Arc<dyn Meter>> {
        None
    }
}

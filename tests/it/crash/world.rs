//! Fake hosts with a fake etcd and API on them, which live as long as the containers that they stand for run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use provision::base::{Epoch, NodeName};
use provision::cluster::Cluster;
use provision::desired::NodeMetadata;
use provision::endpoints::{Credentials, EndpointError, Endpoints, ReadEndpoints};
use provision::event::EventSink;
use provision::host::{Change, FakeHost, FakeProcess, HostError, HostStream, LogSource, LookRequest, Moment};
use provision::host::{ReadHost, SharedHost, WriteHost};
use provision::kubeapi::{CORDONED_ANNOTATION, Eviction, EvictionAnswer, PodTrouble, is_cordoned_by_us};
use provision::ops::{Connections, Reach};
use provision::state::{Deletion, HostSnapshot, Object, ObjectKey, ObservedEntry, ObservedEtcdMember, Owner};
use provision::state::{ImageReference, Resident, Resource, ResourceKind, StoredObject};
use serde_json::{Map, Value, json};

const ETCD_DATA: &str = "/var/lib/etcd/member";

/// A change that was made, with the host on which it was.
pub type Write = (String, String);

/// All machines, and what the API stores.
#[derive(Clone, Default)]
pub struct World {
    pub machines: Arc<Mutex<BTreeMap<NodeName, FakeHost>>>,
    stored: Arc<Mutex<BTreeMap<ObjectKey, Value>>>,
    /// Tokens and member lists with which members were ever started on empty data.
    first_starts: Arc<Mutex<BTreeSet<String>>>,
    pub writes: Arc<Mutex<Vec<Write>>>,
    /// Workloads that never get ready, by a text of their pods (a name, an image), and why.
    pub broken: Arc<Mutex<BTreeMap<String, String>>>,
    /// Days since [`super::NOW`].
    pub days: Arc<Mutex<i64>>,
    /// The node whose etcd and controller-manager lead.
    pub leader: Arc<Mutex<Option<&'static str>>>,
    /// Requests in which an eviction is still refused, by the budget that refuses.
    pub held: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl World {
    /// Seconds since 1970, as the operator's machine tells them.
    pub fn now(&self) -> i64 {
        super::NOW + *self.days.lock().unwrap() * 86_400
    }

    /// How long a run waits: not for what never comes.
    pub fn patience(&self) -> Duration {
        if self.broken.lock().unwrap().is_empty() { Duration::from_secs(300) } else { Duration::from_millis(300) }
    }

    /// The machine of a node; a fresh one where there was none.
    fn machine(&self, node: &NodeName, process: &FakeProcess) -> FakeHost {
        let mut machines = self.machines.lock().unwrap();
        machines.entry(node.clone()).or_insert_with(|| FakeHost::new(node.clone(), process)).seen_by(process)
    }

    fn states(&self) -> BTreeMap<NodeName, HostSnapshot> {
        let machines = self.machines.lock().unwrap();
        machines.iter().map(|(name, machine)| (name.clone(), machine.state())).collect()
    }

    /// What containers and units would have done by themselves since the last time.
    fn live(&self) -> Vitals {
        let states = self.states();
        let runs = |state: &HostSnapshot, name: &str| state.containers.get(name).is_some_and(|seen| seen.running);
        let with = |name: &str| -> BTreeSet<NodeName> {
            states.iter().filter(|(_, state)| runs(state, name)).map(|(node, _)| node.clone()).collect()
        };
        let members = with("etcd");
        members.iter().for_each(|node| self.start_member(node, &states[node]));
        let voters = members.iter().next().map_or(0, |node| voters(&states[node]));
        let quorum = voters > 0 && members.len() * 2 > voters;
        let apis = if quorum { with("kube-apiserver") } else { BTreeSet::new() };
        if !apis.is_empty() {
            let kubelet =
                |state: &HostSnapshot| state.units.get("kubelet.service").is_some_and(|unit| unit.active == "active");
            states.iter().filter(|(_, state)| kubelet(state)).for_each(|(node, _)| self.register(node));
        }
        Vitals { members, quorum, apis }
    }

    /// A member that starts without data founds a cluster of its own unless token and members are those of the others.
    fn start_member(&self, node: &NodeName, state: &HostSnapshot) {
        if state.entries.contains_key(ETCD_DATA) {
            return;
        }
        let initial = |argument: &&String| {
            argument.starts_with("--initial-cluster=") || argument.starts_with("--initial-cluster-token=")
        };
        let arguments: Vec<String> = state.containers["etcd"].spec.arguments.iter().filter(initial).cloned().collect();
        self.first_starts.lock().unwrap().insert(arguments.join(" "));
        let entry = ObservedEntry::Directory { owner: Owner { uid: 52034, gid: 52034 }, mode: 0o700 };
        self.machines.lock().unwrap()[node].by_hand(|state| {
            state.entries.insert(ETCD_DATA.into(), entry);
        });
    }

    fn register(&self, node: &NodeName) {
        let key = ObjectKey::node(node);
        let new = || json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node, "labels": {}, "annotations": {}, "managedFields": [] }, "spec": {} });
        self.stored().entry(key).or_insert_with(new);
    }

    fn stored(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Value>> {
        self.stored.lock().unwrap()
    }

    /// Stores an object as the API does, and says who has applied it: it keeps its uid for as long as it lives.
    fn store(&self, object: &Object) {
        let mut stored = self.stored();
        let uid = stored.get(&object.key).map(|live| live["metadata"]["uid"].clone());
        let mut body = object.body.clone();
        body["metadata"]["uid"] = uid.unwrap_or_else(|| format!("uid of {}", object.key).into());
        body["metadata"]["managedFields"] = applied_by(object);
        stored.insert(object.key.clone(), body);
    }

    /// Deletes an object, if it is the one that is meant.
    fn delete(&self, object: &Deletion) {
        let mut stored = self.stored();
        if stored.get(&object.key).is_some_and(|live| live["metadata"]["uid"] == object.uid) {
            stored.remove(&object.key);
        }
    }

    /// An object that somebody else makes or changes.
    pub fn by_hand(&self, body: Value) {
        self.store(&Object::new(body).expect("an object").managed_by("another"));
    }

    /// A value of an object that somebody else changes.
    pub fn edit(&self, kind: &str, name: &str, pointer: &str, value: Value) {
        let mut stored = self.stored();
        let object = stored.iter_mut().find(|(key, _)| key.kind == kind && key.name == name).expect("the object").1;
        *object.pointer_mut(pointer).expect("the field") = value;
    }

    /// An object that somebody else deletes.
    pub fn remove(&self, kind: &str, name: &str) {
        self.stored().retain(|key, _| key.kind != kind || key.name != name);
    }

    /// All objects of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<Value> {
        let stored = self.stored();
        stored.iter().filter(|(key, _)| key.kind == kind).map(|(_, object)| object.clone()).collect()
    }

    /// etcd and the API as a process reaches them.
    pub fn endpoints(&self, process: &FakeProcess) -> Arc<dyn Endpoints> {
        Arc::new(FakeEndpoints { world: self.clone(), process: process.clone() })
    }

    /// A Node as the API holds it.
    pub fn node(&self, name: &str) -> Value {
        self.stored()[&ObjectKey::node(&NodeName::new(name).unwrap())].clone()
    }

    fn set_cordon(&self, node: &NodeName, cordoned: bool) {
        let mut stored = self.stored();
        let Some(node) = stored.get_mut(&ObjectKey::node(node)) else { return };
        if !cordoned && is_cordoned_by_us(node) {
            node["metadata"]["annotations"].as_object_mut().unwrap().remove(CORDONED_ANNOTATION);
            let spec = node["spec"].as_object_mut().unwrap();
            spec.retain(|field, _| field != "unschedulable" && field != "taints");
            node["metadata"]["managedFields"] = json!([]);
        } else if !cordoned {
            node["metadata"]["annotations"].as_object_mut().unwrap().remove(CORDONED_ANNOTATION);
        } else if cordoned && node["spec"]["unschedulable"] != true {
            node["metadata"]["annotations"][CORDONED_ANNOTATION] = json!("true");
            node["spec"]["unschedulable"] = json!(true);
            // As a controller-manager does a moment later.
            node["spec"]["taints"] = json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
            node["metadata"]["managedFields"] = cordoned_by("provision");
        }
    }

    /// The budget that still refuses a pod's eviction; each question brings it nearer to yielding.
    fn refuses(&self, pod: &str) -> Option<String> {
        let name =
            self.stored().values().find(|live| live["metadata"]["name"] == pod)?["metadata"]["labels"]["app"].clone();
        let name = name.as_str().unwrap_or_default().to_owned();
        let mut held = self.held.lock().unwrap();
        let left = held.get_mut(&name).filter(|left| **left > 0)?;
        *left -= 1;
        Some(name)
    }

    fn leads(&self, node: &NodeName) -> bool {
        *self.leader.lock().unwrap() == Some(node.as_str())
    }

    /// An object as the API holds it.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        let stored = self.stored();
        let found = stored.iter().find(|(key, _)| key.kind == kind && key.name == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}")).1.clone()
    }

    /// Whether the API holds an object.
    pub fn holds(&self, kind: &str, name: &str) -> bool {
        self.stored().keys().any(|key| key.kind == kind && key.name == name)
    }

    /// How many different clusters members were started for.
    pub fn founded(&self) -> usize {
        self.first_starts.lock().unwrap().len()
    }

    /// Everything but what is random: paths with owners and modes, containers, units, images, objects.
    pub fn shape(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (node, state) in self.states() {
            for (path, entry) in &state.entries {
                let text = match entry {
                    ObservedEntry::File { owner, mode, .. } => format!("file {} {} {mode:o}", owner.uid, owner.gid),
                    other => format!("{other:?}"),
                };
                lines.push(format!("{node} {path} {text}"));
            }
            for (name, seen) in &state.containers {
                let lasting = seen.spec.arguments.iter().filter(|argument| !argument.starts_with("--initial-"));
                let arguments: Vec<&String> = lasting.collect();
                lines.push(format!("{node} {name} {} {} {arguments:?}", seen.status, seen.spec.image.id));
            }
            lines.push(format!("{node} {:?} {:?}", state.units, state.packages));
            lines.push(format!("{node} {:?} {:?}", state.docker_images, state.containerd_images));
            lines.push(format!("{node} {:?} {:?}", state.modules, state.sysctls));
            lines.push(format!("{node} {:?}", state.merged_files));
        }
        lines.extend(self.stored().iter().map(|(key, object)| format!("{key} {}", without_keys(object))));
        lines
    }

    /// Digests of the cluster's authority on all hosts: never more than one.
    pub fn authorities(&self) -> BTreeSet<String> {
        let authority = |state: HostSnapshot| match state.entries.get("/etc/kubernetes/ssl/ca.crt") {
            Some(ObservedEntry::File { digest, .. }) => Some(digest.to_string()),
            _ => None,
        };
        self.states().into_values().filter_map(authority).collect()
    }
}

/// An object without what is made of the cluster's keys.
fn without_keys(object: &Value) -> Value {
    let mut object = object.clone();
    let is_keyed = object["kind"] == "Secret" || object["spec"].get("caBundle").is_some();
    if is_keyed {
        object["metadata"]["annotations"] = Value::Null;
        object["data"] = Value::Null;
        object["spec"]["caBundle"] = Value::Null;
    }
    object
}

/// Number of members that a member was told of.
fn voters(state: &HostSnapshot) -> usize {
    let arguments = &state.containers["etcd"].spec.arguments;
    let list = arguments.iter().find_map(|argument| argument.strip_prefix("--initial-cluster="));
    list.map_or(0, |list| list.split(',').count())
}

struct Vitals {
    members: BTreeSet<NodeName>,
    quorum: bool,
    apis: BTreeSet<NodeName>,
}

/// How often leases were renewed.
static RENEWALS: AtomicUsize = AtomicUsize::new(0);

/// The way of one process into the world.
pub struct FakeReach {
    pub world: World,
    pub process: FakeProcess,
}

impl Reach for FakeReach {
    fn connect<'a>(&'a self, cluster: &'a Cluster, _: &'a dyn EventSink) -> BoxFuture<'a, Connections> {
        let host = |node: &provision::cluster::Node| {
            let host = self.world.machine(&node.name, &self.process);
            let recorded: SharedHost = Arc::new(Recorded { host, writes: Arc::clone(&self.world.writes) });
            (node.name.clone(), Ok(recorded))
        };
        Box::pin(ready(cluster.nodes.iter().map(host).collect()))
    }

    fn endpoints(
        &self,
        _: &Cluster,
        _: &BTreeMap<NodeName, SharedHost>,
        _: &Credentials,
    ) -> Result<Arc<dyn Endpoints>, EndpointError> {
        Ok(self.world.endpoints(&self.process))
    }
}

/// A host that notes what is changed on it.
struct Recorded {
    host: FakeHost,
    writes: Arc<Mutex<Vec<Write>>>,
}

impl ReadHost for Recorded {
    fn node(&self) -> &NodeName {
        self.host.node()
    }

    fn look<'a>(&'a self, request: &'a LookRequest) -> BoxFuture<'a, Result<HostSnapshot, HostError>> {
        self.host.look(request)
    }

    fn log_tail<'a>(&'a self, source: &'a LogSource, lines: usize) -> BoxFuture<'a, Result<Vec<String>, HostError>> {
        self.host.log_tail(source, lines)
    }

    fn open_tcp<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<HostStream, HostError>> {
        self.host.open_tcp(address, port)
    }

    fn copy_file<'a>(
        &'a self,
        path: &'a str,
        size: u64,
        into: &'a std::fs::File,
    ) -> BoxFuture<'a, Result<provision::base::Digest, HostError>> {
        self.host.copy_file(path, size, into)
    }
}

impl WriteHost for Recorded {
    fn change<'a>(
        &'a self,
        epoch: Epoch,
        change: &'a Change,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), HostError>> {
        self.writes.lock().unwrap().push((self.node().to_string(), format!("{change:?}")));
        self.host.change(epoch, change, progress)
    }
}

struct FakeEndpoints {
    world: World,
    process: FakeProcess,
}

/// A pod of a workload on a node: containers wait for images that the node lacks.
fn pod(workload: &Value, node: &NodeName, state: &HostSnapshot) -> Value {
    let mut spec = workload["spec"]["template"]["spec"].clone();
    // One without a probe is watched for some seconds, which pass here in real time.
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        container["readinessProbe"] = json!({});
    }
    let status = |container: &Value| {
        let image = ImageReference(container["image"].as_str().unwrap_or_default().to_owned());
        let has = state.containerd_images.contains_key(&image);
        let waiting = json!({ "reason": if has { "PodInitializing" } else { "ErrImagePull" } });
        json!({ "name": container["name"], "state": { "waiting": waiting } })
    };
    let statuses = |list: &str| spec[list].as_array().into_iter().flatten().map(status).collect::<Value>();
    let status =
        json!({ "initContainerStatuses": statuses("initContainers"), "containerStatuses": statuses("containers") });
    json!({ "metadata": { "name": format!("{}-{node}", workload["metadata"]["name"]) }, "spec": spec, "status": status })
}

/// What the API tells of an object that somebody has applied.
fn applied_by(object: &Object) -> Value {
    let whole = |value: &Value, but: &[&str]| {
        let names = value.as_object().into_iter().flat_map(Map::keys).filter(|name| !but.contains(&name.as_str()));
        names.map(|name| (format!("f:{name}"), json!({}))).collect::<Map<_, _>>()
    };
    let mut fields = whole(&object.body, &["apiVersion", "kind", "metadata"]);
    fields.insert("f:metadata".into(), whole(&object.body["metadata"], &["name", "namespace", "managedFields"]).into());
    let version = &object.key.api_version;
    json!([{ "manager": object.manager, "operation": "Apply", "apiVersion": version, "fieldsV1": fields }])
}

/// What the API tells of a Node whose cordon somebody has written.
pub fn cordoned_by(manager: &str) -> Value {
    json!([{ "manager": manager, "operation": "Update", "fieldsV1": { "f:spec": { "f:unschedulable": {} } } }])
}

fn is_made_by_the_api(key: &ObjectKey) -> bool {
    key.kind == "Namespace" && ["default", "kube-system", "kube-public", "kube-node-lease"].contains(&key.name.as_str())
}

fn failed(operation: &str, reason: &str) -> EndpointError {
    EndpointError { operation: operation.into(), reason: reason.into() }
}

impl FakeEndpoints {
    /// Reads count as no call of their own: they change nothing, so that dying in one leaves what dying before it leaves.
    fn vitals(&self, operation: &str) -> Result<Vitals, EndpointError> {
        if self.process.is_dead() { Err(failed(operation, "the process is dead")) } else { Ok(self.world.live()) }
    }

    fn api(&self, operation: &str) -> Result<(), EndpointError> {
        let vitals = self.vitals(operation)?;
        if vitals.apis.is_empty() { Err(failed(operation, "no apiserver answers")) } else { Ok(()) }
    }

    /// A write, with a death in it where one is due: half of the objects are applied then.
    fn write(&self, operation: &str, act: impl FnOnce(bool)) -> Result<(), EndpointError> {
        self.api(operation)?;
        let died = || failed(operation, "the process is dead");
        let death = self.process.enter().map_err(|_| died())?;
        if death != Some(Moment::Before) {
            act(death == Some(Moment::Within));
        }
        if death.is_some() { Err(died()) } else { Ok(()) }
    }

    /// What a Node's kubelet reports: the version that its link chooses.
    fn kubelet_version(&self, node: &str) -> Option<String> {
        let state = self.world.states().into_iter().find(|(name, _)| name.as_str() == node)?.1;
        match state.entries.get("/opt/provision/kubelet/current")? {
            ObservedEntry::Link { target } => Some(target.clone()),
            _ => None,
        }
    }

    fn with_status(&self, mut object: Value, nodes: usize) -> Value {
        let conditions = json!([{ "type": "Ready", "status": "True" }]);
        let has_network = self.world.stored().keys().any(|key| key.kind == "DaemonSet");
        let template = object["spec"]["template"].to_string();
        let is_broken = || self.world.broken.lock().unwrap().keys().any(|text| template.contains(text));
        match object["kind"].as_str() {
            Some("Deployment") if is_broken() => object["status"] = json!({ "readyReplicas": 0 }),
            Some("Node") if has_network => {
                let version = self.kubelet_version(object["metadata"]["name"].as_str().unwrap_or_default());
                object["status"] = json!({ "conditions": conditions, "nodeInfo": { "kubeletVersion": version } });
            }
            Some("DaemonSet") => {
                object["status"] = json!({
                    "desiredNumberScheduled": nodes, "numberReady": nodes, "updatedNumberScheduled": nodes,
                });
            }
            Some("Deployment") => {
                let replicas = object["spec"]["replicas"].clone();
                object["status"] =
                    json!({ "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas });
            }
            Some("CustomResourceDefinition") => {
                object["status"] = json!({ "conditions": [{ "type": "Established", "status": "True" }] });
            }
            Some("APIService") => {
                object["status"] = json!({ "conditions": [{ "type": "Available", "status": "True" }] });
            }
            _ => {}
        }
        object
    }
}

impl ReadEndpoints for FakeEndpoints {
    fn etcd_members(&self) -> BoxFuture<'_, Result<BTreeMap<String, ObservedEtcdMember>, EndpointError>> {
        let member = |node: NodeName| {
            let member = ObservedEtcdMember {
                id: node.to_string(),
                peer_urls: Vec::new(),
                started: true,
                leads: self.world.leads(&node),
            };
            (node.to_string(), member)
        };
        let members = self.vitals("listing members").and_then(|vitals| {
            if !vitals.quorum {
                return Err(failed("listing members", "no quorum"));
            }
            Ok(vitals.members.into_iter().map(member).collect())
        });
        Box::pin(ready(members))
    }

    fn etcd_health<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        let health = self.vitals("etcd").and_then(|vitals| {
            let healthy = vitals.quorum && vitals.members.contains(node);
            if healthy { Ok(()) } else { Err(failed("etcd", "not healthy")) }
        });
        Box::pin(ready(health))
    }

    fn stored<'a>(&'a self, keys: &'a str) -> BoxFuture<'a, Result<Vec<StoredObject>, EndpointError>> {
        let lies_in = |key: &ObjectKey| {
            let plural = Resource::built_in(&key.resource_kind()).map(|resource| resource.plural);
            plural.is_some_and(|plural| keys.rsplit('/').next() == Some(&plural))
        };
        let object = |(key, body): (&ObjectKey, &Value)| StoredObject {
            name: if key.namespace.is_empty() { key.name.clone() } else { format!("{}/{}", key.namespace, key.name) },
            value: body.to_string().into_bytes(),
        };
        let objects = self.vitals("reading etcd").and_then(|vitals| {
            if !vitals.quorum {
                return Err(failed("reading etcd", "no quorum"));
            }
            Ok(self.world.stored().iter().filter(|(key, _)| lies_in(key)).map(object).collect())
        });
        Box::pin(ready(objects))
    }

    fn api_answers<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        self.api_health(node)
    }

    fn api_health<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        let health = self
            .vitals("API")
            .and_then(|vitals| if vitals.apis.contains(node) { Ok(()) } else { Err(failed("API", "not ready")) });
        Box::pin(ready(health))
    }

    fn listens<'a>(&'a self, _: &'a NodeName, _: u16) -> BoxFuture<'a, Result<(), EndpointError>> {
        Box::pin(ready(self.vitals("a port").map(|_| ())))
    }

    fn read<'a>(&'a self, keys: &'a [ObjectKey]) -> BoxFuture<'a, Result<BTreeMap<ObjectKey, Value>, EndpointError>> {
        let result = self.api("reading").map(|()| {
            let stored = self.world.stored().clone();
            let nodes = stored.keys().filter(|key| key.kind == "Node").count();
            let asked = stored.into_iter().filter(|(key, _)| keys.contains(key));
            let mut found: BTreeMap<ObjectKey, Value> =
                asked.map(|(key, object)| (key, self.with_status(object, nodes))).collect();
            for key in keys.iter().filter(|key| is_made_by_the_api(key)) {
                found.insert(key.clone(), json!({}));
            }
            // Whoever leads has renewed it since it was read last.
            for key in keys.iter().filter(|key| key.kind == "Lease") {
                let renewed = RENEWALS.fetch_add(1, Ordering::Relaxed).to_string();
                let holder = self
                    .world
                    .leader
                    .lock()
                    .unwrap()
                    .map(|node| format!("{node}_1a2b3c4d-5e6f-4711-8152-3e4f5a6b7c8d"));
                found.insert(key.clone(), json!({"spec": {"renewTime": renewed, "holderIdentity": holder}}));
            }
            found
        });
        Box::pin(ready(result))
    }

    fn all_of<'a>(&'a self, kinds: &'a [ResourceKind]) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        let result = self.api("listing").map(|()| {
            let stored = self.world.stored();
            let wanted = stored.iter().filter(|(key, _)| kinds.contains(&key.resource_kind()));
            wanted.map(|(_, body)| body.clone()).collect()
        });
        Box::pin(ready(result))
    }

    fn api_metrics<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<String, EndpointError>> {
        Box::pin(ready(self.api("asking for metrics").map(|()| String::new())))
    }

    fn served<'a>(
        &'a self,
        kinds: &'a [ResourceKind],
    ) -> BoxFuture<'a, Result<BTreeMap<ResourceKind, Resource>, EndpointError>> {
        let result = self.api("asking for kinds").map(|()| {
            let stored = self.world.stored();
            let defined: BTreeMap<_, _> = stored.values().flat_map(Resource::defined_by).collect();
            let known = |kind: &ResourceKind| Resource::built_in(kind).or_else(|| defined.get(kind).cloned());
            kinds.iter().filter_map(|kind| Some((kind.clone(), known(kind)?))).collect()
        });
        Box::pin(ready(result))
    }

    fn residents<'a>(&'a self, live: &'a Value) -> BoxFuture<'a, Result<Vec<Resident>, EndpointError>> {
        let result = self.api("listing").map(|()| {
            let kinds = Resource::defined_by(live);
            let lies_in = |key: &ObjectKey| match live["kind"].as_str() {
                Some("Namespace") => live["metadata"]["name"] == *key.namespace,
                _ => kinds.iter().any(|(kind, _)| *kind == key.resource_kind()),
            };
            let stored = self.world.stored();
            let residents = stored.iter().filter(|(key, _)| lies_in(key));
            let resident = |(key, body): (&ObjectKey, &Value)| Resident {
                key: key.clone(),
                uid: body["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
                owners: Vec::new(),
                account: None,
            };
            residents.map(resident).collect()
        });
        Box::pin(ready(result))
    }

    fn pods<'a>(&'a self, workload: &'a Value) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        let pods = || self.world.states().into_iter().map(|(node, state)| pod(workload, &node, &state)).collect();
        Box::pin(ready(self.api("listing pods").map(|()| pods())))
    }

    fn pods_on<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<Value>, EndpointError>> {
        let on_it = |pod: &Value| pod["spec"]["nodeName"] == node.as_str();
        let pods = || self.world.of_kind("Pod").into_iter().filter(on_it).collect();
        Box::pin(ready(self.api("listing pods").map(|()| pods())))
    }

    fn disruption_budgets(&self) -> BoxFuture<'_, Result<Vec<Value>, EndpointError>> {
        Box::pin(ready(self.api("listing budgets").map(|()| self.world.of_kind("PodDisruptionBudget"))))
    }

    fn troubles<'a>(&'a self, workload: &'a Value) -> BoxFuture<'a, Result<Vec<PodTrouble>, EndpointError>> {
        let name = workload["metadata"]["name"].as_str().unwrap_or_default();
        let trouble = |reason: &String| PodTrouble {
            of: format!("pod {name}-1"),
            node: Some("h1".into()),
            reasons: vec![reason.clone()],
            log: Vec::new(),
        };
        let troubles = || self.world.broken.lock().unwrap().get(name).map(trouble).into_iter().collect();
        Box::pin(ready(self.api("asking for troubles").map(|()| troubles())))
    }

    fn nodes(&self) -> BoxFuture<'_, Result<BTreeMap<ObjectKey, Value>, EndpointError>> {
        let result = self.api("listing nodes").map(|()| {
            let stored = self.world.stored().clone();
            let nodes: Vec<_> = stored.into_iter().filter(|(key, _)| key.kind == "Node").collect();
            let count = nodes.len();
            nodes.into_iter().map(|(key, node)| (key, self.with_status(node, count))).collect()
        });
        Box::pin(ready(result))
    }
}

impl Endpoints for FakeEndpoints {
    fn delete<'a>(&'a self, _: Epoch, objects: &'a [Deletion]) -> BoxFuture<'a, Result<(), EndpointError>> {
        let keys: Vec<String> = objects.iter().map(|object| object.key.to_string()).collect();
        self.world.writes.lock().unwrap().push(("cluster".into(), format!("delete {}", keys.join(", "))));
        let result = self.write("deleting", |half| {
            let count = if half { objects.len() / 2 } else { objects.len() };
            for object in &objects[..count] {
                self.world.delete(object);
            }
        });
        Box::pin(ready(result))
    }

    fn apply<'a>(&'a self, _: Epoch, objects: &'a [Object]) -> BoxFuture<'a, Result<(), EndpointError>> {
        let keys: Vec<String> = objects.iter().map(|object| object.key.to_string()).collect();
        self.world.writes.lock().unwrap().push(("cluster".into(), keys.join(", ")));
        let result = self.write("applying", |half| {
            let count = if half { objects.len() / 2 } else { objects.len() };
            for object in &objects[..count] {
                self.world.store(object);
            }
        });
        Box::pin(ready(result))
    }

    fn set_node_metadata<'a>(
        &'a self,
        _: Epoch,
        metadata: &'a NodeMetadata,
    ) -> BoxFuture<'a, Result<(), EndpointError>> {
        self.world.writes.lock().unwrap().push((metadata.name.to_string(), "labels and taints".into()));
        let result = self.write("setting labels and taints", |half| {
            let mut stored = self.world.stored();
            let Some(node) = stored.get_mut(&ObjectKey::node(&metadata.name)) else { return };
            let taint = |taint: &provision::cluster::Taint| {
                json!({ "key": taint.key, "value": taint.value, "effect": taint.effect })
            };
            node["spec"]["taints"] = metadata.taints.iter().map(taint).collect();
            if !half {
                node["metadata"]["labels"] = json!(metadata.labels);
            }
        });
        Box::pin(ready(result))
    }

    fn cordon<'a>(&'a self, _: Epoch, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        self.world.writes.lock().unwrap().push((node.to_string(), "cordon".into()));
        Box::pin(ready(self.write("cordoning", |_| self.world.set_cordon(node, true))))
    }

    fn uncordon<'a>(&'a self, _: Epoch, node: &'a NodeName) -> BoxFuture<'a, Result<(), EndpointError>> {
        self.world.writes.lock().unwrap().push((node.to_string(), "uncordon".into()));
        Box::pin(ready(self.write("uncordoning", |_| self.world.set_cordon(node, false))))
    }

    fn evict<'a>(&'a self, _: Epoch, eviction: &'a Eviction) -> BoxFuture<'a, Result<EvictionAnswer, EndpointError>> {
        let (name, uid) = (eviction.name.clone(), eviction.uid.clone());
        if let Some(budget) = self.world.refuses(&name) {
            let message = format!("The disruption budget {budget} needs 2 healthy pods and has 2 currently");
            return Box::pin(ready(Ok(EvictionAnswer::Budget { budget: Some(budget), message })));
        }
        let key =
            ObjectKey { api_version: "v1".into(), kind: "Pod".into(), namespace: eviction.namespace.clone(), name };
        let result = self.write("evicting", |_| self.world.delete(&Deletion { key, uid }));
        Box::pin(ready(result.map(|()| EvictionAnswer::Accepted)))
    }
}

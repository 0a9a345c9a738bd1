//! Steps that put a snapshot in the place of etcd's data. What can fail is done while everything still runs; between the first
//! stop and the first start there are two renames on each host.

use crate::base::{NodeName, StepId};
use crate::cluster::{Cluster, NetworkPlugin, Node};
use crate::host::{Change, LogSource, PreparedRestore, SnapshotRestore};
use crate::state::{Component, SnapshotRecord};

use super::SnapshotMember;
use super::cluster_steps::{host_id, wait};
use super::order;
use super::step::{Action, Condition, Plan, Step};

/// A snapshot that etcd's data is replaced with, and how it gets everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoration {
    /// The snapshot.
    pub record: SnapshotRecord,
    /// Names this restore and no other.
    pub stamp: String,
    /// Every etcd host.
    pub members: Vec<SnapshotMember>,
    /// The etcd host from which those take the snapshot that have no whole one.
    pub holder: NodeName,
    /// Etcd hosts that have no whole one.
    pub lacking: Vec<NodeName>,
}

/// Where each etcd host keeps the data that a restore replaces.
pub fn replaced_data(stamp: &str) -> String {
    format!("/var/lib/etcd/before-restore-{stamp}")
}

/// What a restore is made from.
#[derive(Debug, Clone, Copy)]
pub struct RestoreInput<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The snapshot and its ways.
    pub restoration: &'a Restoration,
    /// Nodes that are reached: their kubelets register again where the snapshot does not know them.
    pub reached: &'a [NodeName],
}

/// Components that must not run while etcd's past is put in the place of its present, in the order of stopping.
pub(super) const CLIENTS: [Component; 3] =
    [Component::KubeControllerManager, Component::KubeScheduler, Component::KubeApiserver];

/// Whether a restore stops this container and starts it again.
pub fn is_stopped_for_restore(container: &str) -> bool {
    container == Component::Etcd.as_str() || CLIENTS.iter().any(|component| component.as_str() == container)
}

/// All of etcd and of the control plane goes back to a snapshot. Nothing starts, a reboot included, between the first stop
/// and the moment in which every member has its data.
pub fn restore_snapshot(input: &RestoreInput<'_>) -> Plan {
    let mut steps = Vec::new();
    let groups = preparation(input.cluster, input.restoration).into_iter();
    let before = in_order(groups.chain(data_steps(input.cluster, input.restoration)), &mut steps);
    for node in input.cluster.control_planes() {
        start_clients(&node.name, "etcd holds the snapshot", &before, &mut steps);
    }
    let first: Vec<StepId> =
        input.cluster.control_planes().next().map(|node| host_id(&node.name, "api")).into_iter().collect();
    for node in input.reached {
        let again = register(input.cluster, node, "");
        steps.extend(
            again
                .into_iter()
                .map(|step| if step.after.is_empty() { Step { after: first.clone(), ..step } } else { step }),
        );
    }
    sorted(steps)
}

fn sorted(steps: Vec<Step>) -> Plan {
    let mut plan = Plan { steps, ..Plan::default() };
    order::sort(&mut plan);
    plan
}

/// Everything goes on as it was before a restore that has given no member its data.
pub fn abort_restore(cluster: &Cluster, stamp: &str, members: &[SnapshotMember]) -> Plan {
    let mut steps = Vec::new();
    // The hosts look once more: none of them has moved the data that its member starts with.
    let groups = [
        members.iter().map(|member| discard(stamp, member)).collect(),
        members.iter().map(|member| start_etcd(member, "it goes on with the data that it had")).collect(),
        vec![await_etcd(members)],
    ];
    let before = in_order(groups.into_iter(), &mut steps);
    for node in cluster.control_planes() {
        start_clients(&node.name, "etcd holds what it held", &before, &mut steps);
    }
    sorted(steps)
}

/// Groups of steps, each after all of the group before it. Gives what is done last.
fn in_order(groups: impl Iterator<Item = Vec<Step>>, steps: &mut Vec<Step>) -> Vec<StepId> {
    let mut before: Vec<StepId> = Vec::new();
    for group in groups {
        let done = ids(&group);
        steps.extend(group.into_iter().map(|step| Step { after: before.clone(), ..step }));
        before = done;
    }
    before
}

/// From the copies of the snapshot to data on every etcd host that only has to be put in its place; everything still runs.
/// Groups of steps, each after all of the group before it: one member at a time, since it writes as much as a database beside
/// one that serves.
pub(super) fn preparation(cluster: &Cluster, restoration: &Restoration) -> Vec<Vec<Step>> {
    let copies: Vec<Step> = restoration.lacking.iter().map(|node| copy(restoration, node)).collect();
    let prepared = restoration.members.iter().map(|member| vec![prepare(cluster, restoration, member)]);
    [copies].into_iter().filter(|group| !group.is_empty()).chain(prepared).collect()
}

/// From there to an etcd that serves the snapshot. Nothing of the control plane runs at their end.
pub(super) fn data_steps(cluster: &Cluster, restoration: &Restoration) -> Vec<Vec<Step>> {
    let members = &restoration.members;
    vec![
        vec![begin(restoration)],
        cluster.control_planes().map(stop_clients).collect(),
        members.iter().map(stop_etcd).collect(),
        members.iter().map(|member| restore(restoration, member)).collect(),
        members.iter().map(|member| start_etcd(member, "every member has its data")).collect(),
        vec![await_etcd(members)],
    ]
}

fn await_etcd(members: &[SnapshotMember]) -> Step {
    let names = members.iter().map(|member| member.node.clone()).collect();
    let healthy =
        wait(StepId("cluster/etcd-restored".into()), None, "wait for etcd".into(), Condition::EtcdHealthy(names));
    Step { log: Some(LogSource::Container("etcd".into())), ..healthy }
}

/// What must be known of the restore before the first component stops: from then on it is gone on with, or given up.
fn begin(restoration: &Restoration) -> Step {
    let action = Action::BeginRestore { snapshot: restoration.record.name.clone(), stamp: restoration.stamp.clone() };
    Step {
        id: StepId("cluster/restore/begin".into()),
        host: None,
        title: "note in the state folder that the restore has begun".into(),
        reason: "until it is over nothing else may change the cluster".into(),
        details: Vec::new(),
        action,
        after: Vec::new(),
        log: None,
        contained: false,
    }
}

fn ids(steps: &[Step]) -> Vec<StepId> {
    steps.iter().map(|step| step.id.clone()).collect()
}

fn host_step(node: &NodeName, id: &str, title: String, reason: &str, action: Action) -> Step {
    Step {
        id: host_id(node, id),
        host: Some(node.clone()),
        title,
        reason: reason.to_owned(),
        details: Vec::new(),
        action,
        after: Vec::new(),
        log: None,
        contained: false,
    }
}

fn copy(restoration: &Restoration, node: &NodeName) -> Step {
    let Restoration { record, holder: from, .. } = restoration;
    let name = &record.name;
    let action = Action::CopySnapshot { from: from.clone(), record: Box::new(record.clone()) };
    let title = format!("bring etcd snapshot {name} from {from}");
    host_step(node, &format!("snapshot/{name}/copy"), title, "the host has no whole one", action)
}

fn stop_clients(node: &Node) -> Step {
    let changes = CLIENTS.map(|component| Change::SuspendContainer(component.as_str().to_owned())).into();
    let title = "stop the control plane".to_owned();
    let step = host_step(&node.name, "control-plane/stop", title, "nothing may write to etcd", Action::Change(changes));
    Step { details: CLIENTS.map(|component| format!("container {component}")).into(), ..step }
}

fn stop_etcd(member: &SnapshotMember) -> Step {
    let action = Action::Change(vec![Change::SuspendContainer("etcd".into())]);
    host_step(&member.node, "etcd/stop", "stop etcd".into(), "its data is replaced", action)
}

fn prepare(cluster: &Cluster, restoration: &Restoration, member: &SnapshotMember) -> Step {
    let urls: Vec<(String, String)> = cluster.etcd_members().map(peer).collect();
    let own = urls.iter().find(|(name, _)| name == member.node.as_str());
    let all: Vec<String> = urls.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let Restoration { record, stamp, .. } = restoration;
    let restore = SnapshotRestore {
        name: record.name.clone(),
        size: record.etcd.size,
        sha256: record.etcd.sha256.clone(),
        image: member.image.clone(),
        owner: member.owner,
        stamp: stamp.clone(),
        member: member.node.to_string(),
        peer_url: own.map(|(_, url)| url.clone()).unwrap_or_default(),
        initial_cluster: all.join(","),
        token: record.cluster.token.clone(),
    };
    let title = format!("make etcd's data of snapshot {}, beside what it has", record.name);
    let action = Action::Change(vec![Change::PrepareRestore(Box::new(restore))]);
    host_step(&member.node, "etcd/prepare", title, "what can fail is done before anything stops", action)
}

fn restore(restoration: &Restoration, member: &SnapshotMember) -> Step {
    let Restoration { record, stamp, .. } = restoration;
    let prepared = PreparedRestore { stamp: stamp.clone(), owner: member.owner };
    let title = format!("give etcd the data of snapshot {}", record.name);
    let step = host_step(
        &member.node,
        "etcd/restore",
        title,
        "asked for",
        Action::Change(vec![Change::RestoreSnapshot(prepared)]),
    );
    let kept = format!("the old data is kept: {}", replaced_data(stamp));
    Step { details: vec![kept], ..step }
}

fn discard(stamp: &str, member: &SnapshotMember) -> Step {
    let action = Action::Change(vec![Change::DiscardRestore(stamp.to_owned())]);
    host_step(&member.node, "etcd/discard", "take away what the restore has prepared".into(), "it is given up", action)
}

fn peer(node: &Node) -> (String, String) {
    (node.name.to_string(), crate::desired::etcd_peer_url(node))
}

fn start_etcd(member: &SnapshotMember, reason: &str) -> Step {
    let action = Action::Change(vec![Change::ResumeContainer("etcd".into())]);
    let step = host_step(&member.node, "etcd/start", "start etcd".into(), reason, action);
    Step { log: Some(LogSource::Container("etcd".into())), ..step }
}

/// The apiserver, and once it is ready those that work through it.
fn start_clients(node: &NodeName, reason: &str, etcd: &[StepId], steps: &mut Vec<Step>) {
    let api = [host_id(node, "api")];
    for component in CLIENTS.into_iter().rev() {
        let [start, wait] = start_client(node, component, reason);
        let before = if component == Component::KubeApiserver { etcd } else { &api };
        let started = vec![start.id.clone()];
        steps.push(Step { after: before.to_vec(), ..start });
        steps.push(Step { after: started, ..wait });
    }
}

/// The step that starts a component of the control plane that was stopped for a restore, and the wait for it.
pub(super) fn start_client(node: &NodeName, component: Component, reason: &str) -> [Step; 2] {
    let log = Some(LogSource::Container(component.as_str().to_owned()));
    let action = Action::Change(vec![Change::ResumeContainer(component.as_str().to_owned())]);
    let title = format!("start {component}");
    let start = host_step(node, &format!("{component}/start"), title, reason, action);
    let (id, title, condition) = if component == Component::KubeApiserver {
        (host_id(node, "api"), "wait for the API".into(), Condition::ApiReady(node.clone()))
    } else {
        let healthy = Condition::ComponentHealthy(node.clone(), component);
        (host_id(node, &format!("healthy/{component}")), format!("wait for {component} to listen"), healthy)
    };
    let wait = wait(id, Some(node.clone()), title, condition);
    [Step { log: log.clone(), ..start }, Step { log, ..wait }]
}

/// kubelet registers its node only when it starts. Its pods go on. What the first step comes after is the caller's to add;
/// `before` is put before the names of the waits.
pub(super) fn register(cluster: &Cluster, node: &NodeName, before: &str) -> Vec<Step> {
    let log = Some(LogSource::Unit("kubelet.service".into()));
    let action = Action::StartUnit { name: "kubelet.service".into(), restart: true };
    let reason = "the snapshot may not know this node";
    let restart = host_step(node, "kubelet/restart", "restart kubelet".into(), reason, action);
    let id = host_id(node, &format!("{before}registered"));
    let title = "wait for the node to register".into();
    let registered = wait(id.clone(), Some(node.clone()), title, Condition::NodeRegistered(node.clone()));
    let mut steps = vec![
        Step { log: log.clone(), ..restart.clone() },
        Step { after: vec![restart.id], log: log.clone(), ..registered },
    ];
    // Without a network plugin of ours only the operator knows when a node gets Ready.
    if cluster.network.plugin != NetworkPlugin::None {
        let condition = Condition::NodeReady { node: node.clone(), network: Vec::new() };
        let ready = host_id(node, &format!("{before}ready"));
        let ready = wait(ready, Some(node.clone()), "wait for the node to be Ready".into(), condition);
        steps.push(Step { after: vec![id], log, ..ready });
    }
    steps
}

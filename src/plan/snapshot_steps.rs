//! Steps that take, verify and restore snapshots of etcd.

use crate::base::{NodeName, StepId};
use crate::cluster::{Cluster, NetworkPlugin, Node};
use crate::host::{Change, LogSource, SnapshotRestore};
use crate::state::{Component, ImageIdentity, Owner, SnapshotCluster, SnapshotName, SnapshotRecord};

use super::cluster_steps::{host_id, wait};
use super::step::{Action, Condition, Plan, Step};

/// A snapshot to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// Its name.
    pub name: SnapshotName,
    /// Whether the time is put behind the name, so that the same step can be done again later.
    pub stamped: bool,
    /// Which cluster it is of.
    pub cluster: SnapshotCluster,
    /// Every etcd host. The first that can takes it; all keep it.
    pub members: Vec<SnapshotMember>,
}

/// An etcd host, as far as snapshots need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotMember {
    /// The node, whose name is the member's.
    pub node: NodeName,
    /// The image that the member runs.
    pub image: ImageIdentity,
    /// The member's account.
    pub owner: Owner,
}

/// The step that takes a snapshot. When it is done, every etcd host has it and has verified it.
pub fn snapshot_step(spec: SnapshotSpec, reason: &str) -> Step {
    let hosts: Vec<&str> = spec.members.iter().map(|member| member.node.as_str()).collect();
    Step {
        id: StepId(format!("cluster/snapshot/{}", spec.name)),
        host: None,
        title: format!("take etcd snapshot {}", spec.name),
        reason: reason.to_owned(),
        details: vec![format!("kept on {}", hosts.join(", "))],
        action: Action::SaveSnapshot(Box::new(spec)),
        after: Vec::new(),
        log: None,
        contained: false,
    }
}

/// What a restore is made from.
#[derive(Debug)]
pub struct RestoreInput<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The snapshot.
    pub record: &'a SnapshotRecord,
    /// Names this restore and no other.
    pub stamp: &'a str,
    /// Every etcd host.
    pub members: &'a [SnapshotMember],
    /// The etcd host from which those take the snapshot that have no whole one.
    pub holder: &'a NodeName,
    /// Etcd hosts that have no whole one.
    pub lacking: &'a [NodeName],
    /// Nodes that are reached: their kubelets register again where the snapshot does not know them.
    pub reached: &'a [NodeName],
}

/// Components that must not run while etcd's past is put in the place of its present, in the order of stopping.
const CLIENTS: [Component; 3] = [Component::KubeControllerManager, Component::KubeScheduler, Component::KubeApiserver];

/// All of etcd and of the control plane goes back to a snapshot. Nothing starts, a reboot included, between the first stop
/// and the moment in which every member has its data.
pub fn restore_snapshot(input: &RestoreInput<'_>) -> Plan {
    let mut steps: Vec<Step> = input.lacking.iter().map(|node| copy(input, node)).collect();
    let copied = ids(&steps);
    let stops: Vec<Step> = input.cluster.control_planes().map(|node| stop_clients(node, &copied)).collect();
    let stopped = ids(&stops);
    steps.extend(stops);
    let members: Vec<Step> = input.members.iter().map(|member| stop_etcd(member, &stopped)).collect();
    let stopped = ids(&members);
    steps.extend(members);
    let restores: Vec<Step> = input.members.iter().map(|member| restore(input, member, &stopped)).collect();
    let restored = ids(&restores);
    steps.extend(restores);
    let starts: Vec<Step> = input.members.iter().map(|member| start_etcd(member, &restored)).collect();
    let started = ids(&starts);
    steps.extend(starts);
    let names = input.members.iter().map(|member| member.node.clone()).collect();
    let etcd = StepId("cluster/etcd".into());
    let healthy = wait(etcd.clone(), None, "wait for etcd".into(), Condition::EtcdHealthy(names));
    steps.push(Step { after: started, log: Some(LogSource::Container("etcd".into())), ..healthy });
    for node in input.cluster.control_planes() {
        start_clients(&node.name, &etcd, &mut steps);
    }
    let first = input.cluster.control_planes().next().map(|node| host_id(&node.name, "api"));
    for node in input.reached {
        register(input, node, first.as_ref(), &mut steps);
    }
    Plan { steps, ..Plan::default() }
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

fn copy(input: &RestoreInput<'_>, node: &NodeName) -> Step {
    let (name, from) = (&input.record.name, input.holder);
    let action = Action::CopySnapshot { from: from.clone(), record: Box::new(input.record.clone()) };
    let title = format!("bring etcd snapshot {name} from {from}");
    host_step(node, &format!("snapshot/{name}/copy"), title, "the host has no whole one", action)
}

fn stop_clients(node: &Node, after: &[StepId]) -> Step {
    let changes = CLIENTS.map(|component| Change::SuspendContainer(component.as_str().to_owned())).into();
    let title = "stop the control plane".to_owned();
    let step = host_step(&node.name, "control-plane/stop", title, "nothing may write to etcd", Action::Change(changes));
    Step { details: CLIENTS.map(|component| format!("container {component}")).into(), after: after.to_vec(), ..step }
}

fn stop_etcd(member: &SnapshotMember, after: &[StepId]) -> Step {
    let action = Action::Change(vec![Change::SuspendContainer("etcd".into())]);
    let step = host_step(&member.node, "etcd/stop", "stop etcd".into(), "its data is replaced", action);
    Step { after: after.to_vec(), ..step }
}

fn restore(input: &RestoreInput<'_>, member: &SnapshotMember, after: &[StepId]) -> Step {
    let urls: Vec<(String, String)> = input.cluster.etcd_members().map(peer).collect();
    let own = urls.iter().find(|(name, _)| name == member.node.as_str());
    let all: Vec<String> = urls.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let record = input.record;
    let restore = SnapshotRestore {
        name: record.name.clone(),
        size: record.etcd.size,
        sha256: record.etcd.sha256.clone(),
        image: member.image.clone(),
        owner: member.owner,
        stamp: input.stamp.to_owned(),
        member: member.node.to_string(),
        peer_url: own.map(|(_, url)| url.clone()).unwrap_or_default(),
        initial_cluster: all.join(","),
        token: record.cluster.token.clone(),
    };
    let title = format!("give etcd the data of snapshot {}", record.name);
    let action = Action::Change(vec![Change::RestoreSnapshot(Box::new(restore))]);
    let step = host_step(&member.node, "etcd/restore", title, "asked for", action);
    let kept = format!("the old data is kept: /var/lib/etcd/before-restore-{}", input.stamp);
    Step { details: vec![kept], after: after.to_vec(), ..step }
}

fn peer(node: &Node) -> (String, String) {
    (node.name.to_string(), crate::desired::etcd_peer_url(node))
}

fn start_etcd(member: &SnapshotMember, after: &[StepId]) -> Step {
    let action = Action::Change(vec![Change::ResumeContainer("etcd".into())]);
    let step = host_step(&member.node, "etcd/start", "start etcd".into(), "every member has its data", action);
    Step { after: after.to_vec(), log: Some(LogSource::Container("etcd".into())), ..step }
}

/// The apiserver, and once it is ready those that work through it.
fn start_clients(node: &NodeName, etcd: &StepId, steps: &mut Vec<Step>) {
    let resume = |component: Component| Action::Change(vec![Change::ResumeContainer(component.as_str().to_owned())]);
    for component in CLIENTS.into_iter().rev() {
        let is_api = component == Component::KubeApiserver;
        let log = Some(LogSource::Container(component.as_str().to_owned()));
        let start = host_id(node, &format!("{component}/start"));
        let title = format!("start {component}");
        let step = host_step(node, &format!("{component}/start"), title, "etcd holds the snapshot", resume(component));
        let before = if is_api { etcd.clone() } else { host_id(node, "api") };
        steps.push(Step { after: vec![before], log: log.clone(), ..step });
        let (id, title, condition) = if is_api {
            (host_id(node, "api"), "wait for the API".into(), Condition::ApiReady(node.clone()))
        } else {
            let healthy = Condition::ComponentHealthy(node.clone(), component);
            (host_id(node, &format!("healthy/{component}")), format!("wait for {component} to listen"), healthy)
        };
        steps.push(Step { after: vec![start], log, ..wait(id, Some(node.clone()), title, condition) });
    }
}

/// kubelet registers its node only when it starts. Its pods go on.
fn register(input: &RestoreInput<'_>, node: &NodeName, api: Option<&StepId>, steps: &mut Vec<Step>) {
    let log = Some(LogSource::Unit("kubelet.service".into()));
    let action = Action::StartUnit { name: "kubelet.service".into(), restart: true };
    let reason = "the snapshot may not know this node";
    let step = host_step(node, "kubelet/restart", "restart kubelet".into(), reason, action);
    let restart = step.id.clone();
    steps.push(Step { after: api.cloned().into_iter().collect(), log: log.clone(), ..step });
    let (id, title) = (host_id(node, "registered"), "wait for the node to register".into());
    let registered = wait(id.clone(), Some(node.clone()), title, Condition::NodeRegistered(node.clone()));
    steps.push(Step { after: vec![restart], log: log.clone(), ..registered });
    // Without a network plugin of ours only the operator knows when a node gets Ready.
    if input.cluster.network.plugin != NetworkPlugin::None {
        let condition = Condition::NodeReady { node: node.clone(), network: Vec::new() };
        let ready = wait(host_id(node, "ready"), Some(node.clone()), "wait for the node to be Ready".into(), condition);
        steps.push(Step { after: vec![id], log, ..ready });
    }
}

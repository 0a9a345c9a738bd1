//! Steps that take, verify and restore snapshots of etcd.

use crate::base::{KubernetesVersion, NodeName, StepId};
use crate::cluster::{Cluster, NetworkPlugin, Node};
use crate::host::{Change, LogSource, SnapshotRestore};
use crate::state::{Component, ImageIdentity, Owner, SnapshotCluster, SnapshotName, SnapshotRecord};

use super::cluster_steps::{host_id, wait};
use super::snapshot_retention::KEPT_SNAPSHOTS;
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
    /// Number and version of every generation: what a rollback to one of them needs is kept when older ones go.
    pub generations: Vec<(u32, KubernetesVersion)>,
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
    let mut details = vec![format!("kept on {}", hosts.join(", "))];
    if spec.stamped {
        details.push(format!(
            "of those that were taken like this {KEPT_SNAPSHOTS} are kept, and each that a rollback needs"
        ));
    }
    Step {
        id: StepId(format!("cluster/snapshot/{}", spec.name)),
        host: None,
        title: format!("take etcd snapshot {}", spec.name),
        reason: reason.to_owned(),
        details,
        action: Action::SaveSnapshot(Box::new(spec)),
        after: Vec::new(),
        log: None,
        contained: false,
    }
}

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
    let mut before: Vec<StepId> = Vec::new();
    for group in data_steps(input.cluster, input.restoration) {
        let done = ids(&group);
        steps.extend(group.into_iter().map(|step| Step { after: before.clone(), ..step }));
        before = done;
    }
    for node in input.cluster.control_planes() {
        start_clients(&node.name, &before, &mut steps);
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
    Plan { steps, ..Plan::default() }
}

/// From the copies of the snapshot to an etcd that serves it: groups of steps, each after all of the group before it. Nothing
/// of the control plane runs at their end.
pub(super) fn data_steps(cluster: &Cluster, restoration: &Restoration) -> Vec<Vec<Step>> {
    let members = &restoration.members;
    let names = members.iter().map(|member| member.node.clone()).collect();
    let healthy =
        wait(StepId("cluster/etcd-restored".into()), None, "wait for etcd".into(), Condition::EtcdHealthy(names));
    let groups = [
        restoration.lacking.iter().map(|node| copy(restoration, node)).collect(),
        cluster.control_planes().map(stop_clients).collect(),
        members.iter().map(stop_etcd).collect(),
        members.iter().map(|member| restore(cluster, restoration, member)).collect(),
        members.iter().map(start_etcd).collect(),
        vec![Step { log: Some(LogSource::Container("etcd".into())), ..healthy }],
    ];
    groups.into_iter().filter(|group: &Vec<Step>| !group.is_empty()).collect()
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

fn restore(cluster: &Cluster, restoration: &Restoration, member: &SnapshotMember) -> Step {
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
    let title = format!("give etcd the data of snapshot {}", record.name);
    let action = Action::Change(vec![Change::RestoreSnapshot(Box::new(restore))]);
    let step = host_step(&member.node, "etcd/restore", title, "asked for", action);
    let kept = format!("the old data is kept: /var/lib/etcd/before-restore-{stamp}");
    Step { details: vec![kept], ..step }
}

fn peer(node: &Node) -> (String, String) {
    (node.name.to_string(), crate::desired::etcd_peer_url(node))
}

fn start_etcd(member: &SnapshotMember) -> Step {
    let action = Action::Change(vec![Change::ResumeContainer("etcd".into())]);
    let step = host_step(&member.node, "etcd/start", "start etcd".into(), "every member has its data", action);
    Step { log: Some(LogSource::Container("etcd".into())), ..step }
}

/// The apiserver, and once it is ready those that work through it.
fn start_clients(node: &NodeName, etcd: &[StepId], steps: &mut Vec<Step>) {
    let api = [host_id(node, "api")];
    for component in CLIENTS.into_iter().rev() {
        let [start, wait] = start_client(node, component);
        let before = if component == Component::KubeApiserver { etcd } else { &api };
        let started = vec![start.id.clone()];
        steps.push(Step { after: before.to_vec(), ..start });
        steps.push(Step { after: started, ..wait });
    }
}

/// The step that starts a component of the control plane that was stopped for a restore, and the wait for it.
pub(super) fn start_client(node: &NodeName, component: Component) -> [Step; 2] {
    let log = Some(LogSource::Container(component.as_str().to_owned()));
    let action = Action::Change(vec![Change::ResumeContainer(component.as_str().to_owned())]);
    let title = format!("start {component}");
    let start = host_step(node, &format!("{component}/start"), title, "etcd holds the snapshot", action);
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

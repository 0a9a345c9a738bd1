//! Who leads: it is replaced last, and nobody is evicted before somebody leads again.

use serde_json::Value;

use crate::base::{NodeName, StepId};
use crate::plan::Input;
use crate::plan::cluster_steps::{live, wait};
use crate::plan::step::{Condition, Plan, Step};
use crate::state::{Component, ObjectKey};

use super::{Edges, Phase};

/// Id of the wait before nodes are emptied.
pub(super) const BEFORE_NODES: &str = "cluster/leaders";
/// Id of the wait after a way back.
pub(super) const AFTER_ALL: &str = "cluster/leaders/new";

/// A controller-manager does not give its lease back when it ends. Until another one holds it, nobody counts the pods that a
/// drain evicts, and none of them is made anew.
pub(super) fn wait_for(id: &str, drained: &[NodeName], plan: &mut Plan, edges: &mut Edges) {
    if drained.is_empty() {
        return;
    }
    let title = "wait until a controller-manager and a scheduler lead".to_owned();
    let step = wait(StepId(id.into()), None, title, Condition::Led);
    plan.steps.push(Step { reason: "pods that are evicted need both".into(), ..step });
    edges.follow(vec![StepId(id.into())]);
}

/// The node whose instance leads those that are replaced in a phase; none where it is not known.
pub(super) fn leader<'a>(input: &Input<'a>, phase: Phase) -> Option<&'a NodeName> {
    let leads = |node: &NodeName| match phase {
        Phase::Etcd => input.observed.etcd_members.get(node.as_str()).is_some_and(|member| member.leads),
        Phase::Controllers => holder(input).is_some_and(|holder| is_called(input, node, holder)),
        _ => false,
    };
    input.cluster.nodes.iter().map(|node| &node.name).find(|node| leads(node))
}

/// The name of the host whose controller-manager holds the lease: in its identity a random id follows it (Kubernetes'
/// `controllermanager.go`). The scheduler is replaced together with the controller-manager beside it.
fn holder<'a>(input: &Input<'a>) -> Option<&'a str> {
    let lease = live(input, &ObjectKey::leader_lease(Component::KubeControllerManager.as_str()))?;
    let identity = lease.pointer("/spec/holderIdentity").and_then(Value::as_str)?;
    identity.rsplit_once('_').map(|(host, _)| host)
}

/// A host may have another name than its node.
fn is_called(input: &Input<'_>, node: &NodeName, name: &str) -> bool {
    input.snapshot(node).is_some_and(|host| host.facts.hostname == name)
}

//! What the phases of nodes owe to pods, and to apiservers: which nodes are emptied, and that no kubelet is newer than an
//! apiserver.

use crate::base::{KubernetesVersion, Minor, NodeName, StepId};
use crate::cluster::Node;
use crate::plan::Input;
use crate::plan::cluster_steps::{host_id, live};
use crate::plan::drain::{drain_steps, uncordon_step};
use crate::plan::step::Plan;
use crate::state::ObjectKey;

use super::{Move, RUNTIME};

/// Last part of the id of the step that replaces kubelet, or starts it.
pub(super) const UNIT: &str = "unit/kubelet.service";

/// Nodes that are emptied first: where kubelet becomes another minor, or the runtime is restarted, unless the file says
/// otherwise; then the plan warns of it.
pub(super) fn drained(input: &Input<'_>, plan: &mut Plan, moves: &[Move]) -> Vec<NodeName> {
    let draining = input.cluster.upgrade.draining;
    let (mut drained, mut warned) = (Vec::new(), Vec::new());
    for node in &input.cluster.nodes {
        let has_runtime = plan.has(&host_id(&node.name, RUNTIME));
        let has_kubelet = moves.iter().any(|step| step.host == node.name && step.id.0.contains("/unit/"));
        if !has_kubelet && !has_runtime {
            continue;
        }
        let pods_see_it = has_runtime || minor_of_kubelet(input, &node.name) != Some(input.cluster.version.minor());
        if draining.drains(pods_see_it) {
            drained.push(node.name.clone());
        } else if pods_see_it {
            warned.push(node.name.as_str());
        }
    }
    if let Some(warning) = draining.warning().filter(|_| !warned.is_empty()) {
        plan.warnings.push(format!("{warning}: {}", warned.join(", ")));
    }
    drained
}

/// The steps that take a node out of service and put it back. Where kubelet is dead, no pod of its node would ever end: it only
/// gets no new ones, if the API knows the node at all.
pub(super) fn empty(input: &Input<'_>, node: &NodeName, plan: &mut Plan) {
    let [cordon, drain] = drain_steps(node, &input.cluster.upgrade.drain_options);
    let unit = host_id(node, UNIT);
    let is_dead = input.snapshot(node).is_some_and(|host| !host.has_active_kubelet());
    if !is_dead {
        plan.steps.extend([cordon, drain]);
    } else if live(input, &ObjectKey::node(node)).is_some() {
        let told = "kubelet does not run, so that no pod could end: they are not evicted before".to_owned();
        plan.steps.iter_mut().filter(|step| step.id == unit).for_each(|step| step.details.push(told.clone()));
        plan.steps.push(cordon);
    } else {
        return;
    }
    plan.steps.push(uncordon_step(node));
}

/// Kubelets of another minor that are started where none was: neither are they newer than an apiserver.
pub(super) fn newcomers(input: &Input<'_>, plan: &Plan, moves: &[Move]) -> Vec<StepId> {
    let of_another_minor =
        |node: &&Node| minor_of_kubelet(input, &node.name).is_some_and(|minor| minor != input.cluster.version.minor());
    let starts = input.cluster.nodes.iter().filter(of_another_minor).map(|node| host_id(&node.name, UNIT));
    starts.filter(|id| plan.has(id) && !moves.iter().any(|step| step.id == *id)).collect()
}

fn minor_of_kubelet(input: &Input<'_>, node: &NodeName) -> Option<Minor> {
    let Some(live) = live(input, &ObjectKey::node(node)) else {
        // Without an API it is what the last completed run left, unless that is what is taken back.
        return input.history.completed.as_ref().filter(|_| !input.history.goes_back).map(|was| was.version.minor());
    };
    let text = live.pointer("/status/nodeInfo/kubeletVersion")?.as_str()?;
    KubernetesVersion::parse(text).ok().map(|version| version.minor())
}

//! The way back with a snapshot: between the last thing that the newer version does and the first that the older one does,
//! etcd gets the data of then.

use crate::plan::cluster_steps::host_id;
use crate::plan::restore_steps::{CLIENTS, data_steps, preparation, register, start_client};
use crate::plan::step::{Action, Plan, Step};
use crate::plan::{Input, Restoration};
use crate::state::ObservedHost;

use super::{Edges, Move, Phase};

/// Makes the data of then on every etcd host, beside what it has: where that fails, nothing was touched.
pub(super) fn prepare(input: &Input<'_>, restoration: &Restoration, plan: &mut Plan, edges: &mut Edges) {
    for group in preparation(input.cluster, restoration) {
        edges.follow(group.iter().map(|step| step.id.clone()).collect());
        plan.steps.extend(group);
    }
}

/// Stops the control plane, replaces etcd's data, and lets all components start again that are not replaced anyway.
pub(super) fn data(
    input: &Input<'_>,
    restoration: &Restoration,
    plan: &mut Plan,
    moves: &mut Vec<Move>,
    edges: &mut Edges,
) {
    // What was made since then is not there after it, and what is there has other marks.
    plan.steps.retain(|step| !matches!(step.action, Action::Delete(_)));
    for group in data_steps(input.cluster, restoration) {
        edges.follow(group.iter().map(|step| step.id.clone()).collect());
        plan.steps.extend(group);
    }
    for node in input.cluster.control_planes() {
        for component in CLIENTS {
            if plan.has(&host_id(&node.name, &format!("container/{component}"))) {
                continue;
            }
            let [start, wait] = start_client(&node.name, component, "etcd holds the snapshot");
            let (id, host, phase) = (start.id.clone(), node.name.clone(), Phase::of(component.as_str()));
            moves.push(Move { id: id.clone(), host, phase, is_proven: false });
            plan.steps.push(start);
            match plan.steps.iter_mut().find(|step| step.id == wait.id) {
                Some(planned) => planned.after.push(id),
                None => plan.steps.push(Step { after: vec![id], ..wait }),
            }
        }
    }
}

/// Lets kubelets that are not replaced after this register again.
pub(super) fn kubelets(input: &Input<'_>, plan: &mut Plan, (moves, nodes_first): (&[Move], bool), edges: &Edges) {
    if input.restoration.is_none() {
        return;
    }
    for node in &input.cluster.nodes {
        let unit = host_id(&node.name, "unit/kubelet.service");
        let comes_later = !nodes_first && moves.iter().any(|step| step.id == unit);
        let is_reached = matches!(input.observed.hosts.get(&node.name), Some(ObservedHost::Reached(_)));
        if comes_later || !is_reached {
            continue;
        }
        let mut steps = register(input.cluster, &node.name, "restored/");
        if let Some(restart) = steps.first_mut() {
            restart.after.extend(edges.before.iter().cloned());
        }
        plan.steps.extend(steps);
    }
}

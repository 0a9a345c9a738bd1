//! What is brought to the hosts of a living cluster before anything on them is replaced.

use std::collections::BTreeMap;

use crate::base::{NodeName, StepId};

use super::Input;
use super::cluster_steps::ETCD_DATA;
use super::step::{Plan, Step};

/// Images, programs and files; and a look at the data of members, which touches nothing either.
const BROUGHT: [&str; 6] = [ETCD_DATA, "file", "image/", "kernel", "packages", "runtime"];
/// What is large: images, and files that have a step of their own.
const LARGE: [&str; 2] = ["image/", "file/"];

/// Everything that is brought before the first replacement.
pub(super) fn all(plan: &Plan) -> Vec<StepId> {
    plan.steps.iter().filter(|step| is_one_of(step, &BROUGHT)).map(|step| step.id.clone()).collect()
}

/// Brings large things one after another: a host that unpacks five images at once has neither processor nor disk left for what
/// it serves, and where all control planes do so, the API answers nobody in time. So one thing at a time is brought to a host,
/// and to one host at a time of those that run the control plane or etcd. Plain workers do not wait for one another.
pub(super) fn gently(input: &Input<'_>, plan: &mut Plan) {
    let mut last: BTreeMap<Option<NodeName>, StepId> = BTreeMap::new();
    for step in plan.steps.iter_mut().filter(|step| is_one_of(step, &LARGE)) {
        let queue = step.host.clone().filter(|host| !runs_the_cluster(input, host));
        if let Some(before) = last.insert(queue, step.id.clone()) {
            step.after.push(before);
        }
    }
}

fn runs_the_cluster(input: &Input<'_>, host: &NodeName) -> bool {
    input.cluster.node(host).is_some_and(|node| node.roles.control_plane || node.roles.etcd)
}

fn is_one_of(step: &Step, kinds: &[&str]) -> bool {
    let Some(host) = &step.host else { return false };
    let rest = step.id.0.strip_prefix(&format!("{host}/")).unwrap_or_default();
    kinds.iter().any(|kind| rest.starts_with(kind))
}

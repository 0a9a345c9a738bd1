//! Changes that are wanted and not possible yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{NodeName, StepId};
use crate::state::{ObjectKey, ObservedApi, Resource, ResourceKind};

use super::{Input, Plan, Step, addon_steps};

/// A wanted change that this version does not make, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Host, or none for the whole cluster.
    pub host: Option<NodeName>,
    /// What would have to change.
    pub subject: String,
    /// Why it is not done.
    pub reason: String,
    /// What the operator can do.
    pub hint: String,
    /// What differs, one line each.
    pub details: Vec<String>,
}

/// Steps that wait for each other would let a run end half-way, with nothing that failed. No input is known to make a plan that
/// holds some; one that does is refused before anything is touched.
pub(super) fn circles(plan: &mut Plan) {
    let mut followers: BTreeMap<&StepId, Vec<&Step>> = BTreeMap::new();
    let mut waits_for: BTreeMap<&StepId, usize> = BTreeMap::new();
    for step in &plan.steps {
        waits_for.insert(&step.id, step.after.len());
        for id in &step.after {
            followers.entry(id).or_default().push(step);
        }
    }
    let mut ready: Vec<&StepId> = plan.steps.iter().filter(|step| step.after.is_empty()).map(|step| &step.id).collect();
    while let Some(id) = ready.pop() {
        waits_for.remove(id);
        for step in followers.get(id).into_iter().flatten() {
            let Some(count) = waits_for.get_mut(&step.id) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                ready.push(&step.id);
            }
        }
    }
    let left: Vec<String> = waits_for.keys().map(ToString::to_string).collect();
    if left.is_empty() {
        return;
    }
    let refusal = Refusal {
        host: None,
        subject: "these steps".into(),
        reason: "they would wait for each other for ever, which is a fault of this tool".into(),
        hint: "please report it, with cluster.yml; a smaller change may work meanwhile".into(),
        details: left,
    };
    plan.refusals.push(refusal);
}

/// Nodes and roles that came or went on a living cluster.
pub(super) fn topology(input: &Input<'_>, plan: &mut Plan) {
    if !input.history.is_living() {
        return;
    }
    for node in input.history.completed.iter().flat_map(|cluster| &cluster.nodes) {
        if input.cluster.node(&node.name).is_none() {
            plan.refusals.push(removed_node(input, &node.name));
        }
    }
    for node in &input.cluster.nodes {
        let known = input.history.has_node(&node.name);
        if !known && (node.roles.etcd || node.roles.control_plane) {
            plan.refusals.push(added_member(input, &node.name));
        }
    }
    unknown_nodes(input, plan);
}

fn removed_node(input: &Input<'_>, name: &NodeName) -> Refusal {
    let (reason, hint) = if input.history.goes_back {
        ("the generation that is gone back to does not have it; removing nodes is not supported yet", HAS_THE_NODES)
    } else {
        (
            "the last applied configuration has it and cluster.yml no longer does; removing nodes is not supported yet",
            "put the node back into cluster.yml",
        )
    };
    Refusal {
        host: Some(name.clone()),
        subject: format!("remove node {name}"),
        reason: reason.into(),
        hint: hint.into(),
        details: Vec::new(),
    }
}

/// On the way back the configuration is that of then, so that nothing in `cluster.yml` helps.
const HAS_THE_NODES: &str =
    "go back to a generation that has the same nodes: `provision history` lists them, `provision diff` compares two";

fn added_member(input: &Input<'_>, name: &NodeName) -> Refusal {
    let hint = || format!("give {name} the role worker only, or take it out of cluster.yml");
    Refusal {
        host: Some(name.clone()),
        subject: format!("add node {name} with role controlplane or etcd"),
        reason:
            "only workers can join a cluster that runs; adding etcd members and control planes is not supported yet"
                .into(),
        hint: if input.history.goes_back { HAS_THE_NODES.into() } else { hint() },
        details: Vec::new(),
    }
}

/// Kinds of the operator's add-ons that neither the cluster serves nor an add-on defines. Of a cluster that cannot be asked
/// now nothing is said.
pub(super) fn kinds(input: &Input<'_>, plan: &mut Plan) {
    let others = input.desired.objects.iter().skip(addon_steps::own_objects(input));
    let defined: BTreeSet<ResourceKind> = input
        .desired
        .objects
        .iter()
        .flat_map(|object| Resource::defined_by(&object.body))
        .map(|(kind, _)| kind)
        .collect();
    let is_served = |kind: &ResourceKind| match &input.observed.api {
        ObservedApi::Reached { served, .. } => served.contains_key(kind),
        ObservedApi::Unreachable(_) => Resource::built_in(kind).is_some() || input.history.is_living(),
    };
    let mut missing: BTreeMap<ResourceKind, Vec<String>> = BTreeMap::new();
    for object in others {
        let kind = object.key.resource_kind();
        if !defined.contains(&kind) && !is_served(&kind) {
            missing.entry(kind).or_default().push(format!("{} of add-on {}", object.key, object.addon));
        }
    }
    plan.refusals.extend(missing.into_iter().map(|(kind, objects)| {
        Refusal {
            host: None,
            subject: format!("objects of kind {kind}"),
            reason: "the cluster serves no such kind, and no add-on defines it".into(),
            hint:
                "add its CustomResourceDefinition to the add-ons, or check apiVersion and kind: kubectl api-resources"
                    .into(),
            details: objects,
        }
    }));
}

fn unknown_nodes(input: &Input<'_>, plan: &mut Plan) {
    let ObservedApi::Reached { objects, .. } = &input.observed.api else { return };
    let strangers = objects.keys().filter(|key| is_node(key)).filter(|key| {
        let mut known = input.history.completed.iter().flat_map(|cluster| &cluster.nodes).chain(&input.cluster.nodes);
        !known.any(|node| node.name.as_str() == key.name)
    });
    for key in strangers {
        plan.refusals.push(Refusal {
            host: None,
            subject: format!("node {} of the API", key.name),
            reason: stranger_reason(input).into(),
            hint: stranger_hint(input, &key.name),
            details: Vec::new(),
        });
    }
}

fn stranger_reason(input: &Input<'_>) -> &'static str {
    if input.history.goes_back {
        "it is registered with the cluster, and the generation that is gone back to does not have it"
    } else {
        "it is registered with the cluster and not in cluster.yml"
    }
}

fn stranger_hint(input: &Input<'_>, name: &str) -> String {
    let delete = format!("delete it: kubectl delete node {name}");
    if input.history.goes_back { delete } else { format!("add it to cluster.yml, or {delete}") }
}

fn is_node(key: &ObjectKey) -> bool {
    key.kind == "Node"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Condition};

    fn plan(edges: &[(&str, &[&str])]) -> Plan {
        let step = |(id, after): &(&str, &[&str])| Step {
            id: StepId((*id).into()),
            host: None,
            title: String::new(),
            reason: String::new(),
            details: Vec::new(),
            action: Action::Wait(Condition::Led),
            after: after.iter().map(|id| StepId((*id).into())).collect(),
            log: None,
            contained: false,
        };
        Plan { steps: edges.iter().map(step).collect(), ..Plan::default() }
    }

    #[test]
    fn steps_that_wait_for_each_other_are_refused_by_name() {
        let mut straight = plan(&[("c", &["a", "b", "b"]), ("a", &[]), ("b", &["a"])]);
        circles(&mut straight);
        assert_eq!(straight.refusals, []);
        let mut round = plan(&[("a", &[]), ("b", &["a", "d"]), ("c", &["b"]), ("d", &["c"])]);
        circles(&mut round);
        assert_eq!(round.refusals[0].details, ["b", "c", "d"]);
    }
}

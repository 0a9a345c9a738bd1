//! Changes that are wanted and not possible yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::NodeName;
use crate::state::{ObjectKey, ObservedApi, Resource, ResourceKind};

use super::{Input, Plan, addon_steps};

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

/// Nodes and roles that came or went on a living cluster.
pub(super) fn topology(input: &Input<'_>, plan: &mut Plan) {
    if !input.history.is_living() {
        return;
    }
    for node in input.history.completed.iter().flat_map(|cluster| &cluster.nodes) {
        if input.cluster.node(&node.name).is_none() {
            plan.refusals.push(removed_node(&node.name));
        }
    }
    for node in &input.cluster.nodes {
        let known = input.history.has_node(&node.name);
        if !known && (node.roles.etcd || node.roles.control_plane) {
            plan.refusals.push(added_member(&node.name));
        }
    }
    unknown_nodes(input, plan);
}

fn removed_node(name: &NodeName) -> Refusal {
    Refusal {
        host: Some(name.clone()),
        subject: format!("remove node {name}"),
        reason:
            "the last applied configuration has it and cluster.yml no longer does; removing nodes is not supported yet"
                .into(),
        hint: "put the node back into cluster.yml".into(),
        details: Vec::new(),
    }
}

fn added_member(name: &NodeName) -> Refusal {
    Refusal {
        host: Some(name.clone()),
        subject: format!("add node {name} with role controlplane or etcd"),
        reason:
            "only workers can join a cluster that runs; adding etcd members and control planes is not supported yet"
                .into(),
        hint: format!("give {name} the role worker only, or take it out of cluster.yml"),
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
            reason: "it is registered with the cluster and not in cluster.yml".into(),
            hint: format!("add it to cluster.yml, or delete it: kubectl delete node {}", key.name),
            details: Vec::new(),
        });
    }
}

fn is_node(key: &ObjectKey) -> bool {
    key.kind == "Node"
}

//! What the file says about the pods of an add-on, written into its Deployment.

use serde_json::{Value, json};

use crate::cluster::{Amount, Node, Placement, UpdateStrategy};

/// Taints of nodes without workloads, Kubernetes' words and RKE's: add-ons that the cluster needs may run there.
pub(super) const TOLERATED: [&str; 3] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/controlplane", "node-role.kubernetes.io/etcd"];

/// Workers on which a pod of an add-on may lie. A replica that no node can take would never be ready.
pub(super) fn places<'a>(nodes: impl IntoIterator<Item = &'a Node>, placement: &Placement) -> u64 {
    let takes = |node: &&Node| node.roles.worker && placement.admits(node, &TOLERATED);
    nodes.into_iter().filter(takes).count() as u64
}

/// Adds labels that a node must have, and taints that are borne, to a Deployment's pods.
pub(super) fn place(deployment: &mut Value, placement: &Placement, priority_class: Option<&str>) {
    let pod = &mut deployment["spec"]["template"]["spec"];
    for (key, value) in &placement.node_selector {
        pod["nodeSelector"][key] = value.as_str().into();
    }
    if let Value::Array(tolerations) = &mut pod["tolerations"] {
        tolerations.extend(placement.tolerations.iter().map(|toleration| json!(toleration)));
    }
    if let Some(class) = priority_class {
        pod["priorityClassName"] = class.into();
    }
}

/// Replaces the way in which a Deployment's pods are replaced, as far as the file says something.
pub(super) fn set_strategy(deployment: &mut Value, strategy: Option<UpdateStrategy>) {
    let place = &mut deployment["spec"]["strategy"];
    match strategy {
        None => {}
        Some(UpdateStrategy::Recreate) => *place = json!({ "type": "Recreate" }),
        Some(UpdateStrategy::Rolling { max_unavailable, max_surge }) => {
            for (field, amount) in [("maxUnavailable", max_unavailable), ("maxSurge", max_surge)] {
                if let Some(amount) = amount {
                    place["rollingUpdate"][field] = value(amount);
                }
            }
        }
    }
}

/// A number, or a text with its percent sign.
pub(super) fn value(amount: Amount) -> Value {
    match amount {
        Amount::Count(count) => count.into(),
        Amount::Percent(_) => amount.to_string().into(),
    }
}

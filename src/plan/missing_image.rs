//! Images of pods that nobody has, where the operator wants to go on without them.

use std::fmt;

use serde_json::Value;

use super::Input;
use super::addon_steps::own_objects;
use super::step::Plan;
use crate::base::NodeName;
use crate::desired::NETWORK;
use crate::state::{ImageReference, Object, ObjectKey};

/// An image for which pods will wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImage {
    /// Its name.
    pub image: ImageReference,
    /// Whose pods wait for it.
    pub addon: String,
    /// The workload that they belong to.
    pub workload: ObjectKey,
    /// The nodes that lack it.
    pub nodes: Vec<NodeName>,
}

impl fmt::Display for MissingImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, addon, workload, nodes } = self;
        let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
        write!(formatter, "add-on {addon} ({workload}) waits for image {image} on {}", nodes.join(", "))
    }
}

/// Notes that a node lacks an image. Whether it may: an image that no pod of ours runs is the runtime's own.
pub(super) fn note(input: &Input<'_>, image: &ImageReference, node: &NodeName, plan: &mut Plan) -> bool {
    let users: Vec<&Object> = own(input).filter(|object| images(&object.body).any(|name| name == image.0)).collect();
    for object in &users {
        let is_it = |missing: &&mut MissingImage| missing.image == *image && missing.workload == object.key;
        match plan.missing_images.iter_mut().find(is_it) {
            Some(missing) => missing.nodes.push(node.clone()),
            None => plan.missing_images.push(MissingImage {
                image: image.clone(),
                addon: object.addon.clone(),
                workload: object.key.clone(),
                nodes: vec![node.clone()],
            }),
        }
    }
    !users.is_empty()
}

fn own<'a>(input: &Input<'a>) -> impl Iterator<Item = &'a Object> {
    input.desired.objects.iter().take(own_objects(input))
}

/// Images of a workload's pods.
fn images(body: &Value) -> impl Iterator<Item = &str> {
    let lists = ["/spec/template/spec/initContainers", "/spec/template/spec/containers"];
    let containers = lists.into_iter().filter_map(|list| body.pointer(list)?.as_array()).flatten();
    containers.filter_map(|container| container["image"].as_str())
}

impl Plan {
    /// The missing images of a workload.
    pub(super) fn missing_of(&self, workload: &ObjectKey) -> Vec<String> {
        let missing = self.missing_images.iter().filter(|missing| missing.workload == *workload);
        missing.map(|missing| missing.image.0.clone()).collect()
    }

    /// Whether a node has no network until somebody brings an image.
    pub(super) fn is_without_network(&self, node: &NodeName) -> bool {
        self.missing_images.iter().any(|missing| missing.addon == NETWORK && missing.nodes.contains(node))
    }
}

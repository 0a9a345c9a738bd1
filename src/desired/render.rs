//! All components as a table, and the walk over it.

use std::collections::BTreeMap;

use serde_json::json;

use super::host::{Desired, DesiredHost, NodeMetadata};
use super::input::{Input, Site};
use super::part::{Part, ROOT, yaml};
use super::{
    DesiredError, api_proxy, base, cni, etcd, images, kernel, kube_apiserver, kube_controller_manager, kube_proxy,
    kube_scheduler, kubelet, objects, registries, runtime,
};
use crate::cluster::{Node, Roles};
use crate::state::{Component, ContainerSpec, Content, FileSpec, Owner};

/// One component: on which nodes it is, and what it consists of there.
struct Row {
    component: Component,
    runs_on: fn(Roles) -> bool,
    part: fn(&Site<'_>) -> Result<Part, DesiredError>,
}

const fn row(
    component: Component,
    runs_on: fn(Roles) -> bool,
    part: fn(&Site<'_>) -> Result<Part, DesiredError>,
) -> Row {
    Row { component, runs_on, part }
}

fn everywhere(_: Roles) -> bool {
    true
}

fn on_etcd(roles: Roles) -> bool {
    roles.etcd
}

fn on_control_plane(roles: Roles) -> bool {
    roles.control_plane
}

/// In the order in which a node is built up; what comes later lies in folders of what comes earlier.
const ROWS: [Row; 12] = [
    row(Component::Runtime, everywhere, runtime::part),
    row(Component::Runtime, everywhere, registries::part),
    row(Component::Kernel, everywhere, kernel::part),
    row(Component::Base, everywhere, base::part),
    row(Component::Etcd, on_etcd, etcd::part),
    row(Component::KubeApiserver, on_control_plane, kube_apiserver::part),
    row(Component::KubeControllerManager, on_control_plane, kube_controller_manager::part),
    row(Component::KubeScheduler, on_control_plane, kube_scheduler::part),
    row(Component::ApiProxy, everywhere, api_proxy::part),
    row(Component::Kubelet, everywhere, kubelet::part),
    row(Component::KubeProxy, everywhere, kube_proxy::part),
    row(Component::Cni, everywhere, cni::part),
];

/// Renders everything that shall be. Hosts without facts were not reached and are left out; objects and node metadata
/// are always complete.
///
/// # Errors
///
/// Bytes that nobody knows, all named at once; everything else is a fault of this program.
pub fn render(input: &Input<'_>) -> Result<Desired, DesiredError> {
    input.pins.require(input.cluster, input.release)?;
    let mut hosts = BTreeMap::new();
    for node in &input.cluster.nodes {
        if let Some(facts) = input.facts.get(&node.name) {
            hosts.insert(node.name.clone(), host(&Site::new(input, node, facts)?)?);
        }
    }
    let mut objects = objects::objects(input.cluster, input.release)?;
    objects::fit_to_cores(&mut objects, input.cluster, cores(input));
    objects::certify(&mut objects, input.bundle);
    objects::stamp(&mut objects);
    Ok(Desired { hosts, objects, nodes: input.cluster.nodes.iter().map(metadata).collect() })
}

/// CPU cores of all nodes. A host that was not reached counts like the largest of the others: it has not gone.
fn cores(input: &Input<'_>) -> u64 {
    let largest = input.facts.values().map(|facts| facts.cores).max().unwrap_or_default();
    let of = |node: &Node| u64::from(input.facts.get(&node.name).map_or(largest, |facts| facts.cores));
    input.cluster.nodes.iter().map(of).sum()
}

fn host(site: &Site<'_>) -> Result<DesiredHost, DesiredError> {
    let mut host = empty();
    host.images = images::of(site);
    for row in ROWS.iter().filter(|row| (row.runs_on)(site.node.roles)) {
        add(&mut host, row.component, (row.part)(site)?)?;
    }
    Ok(host)
}

fn empty() -> DesiredHost {
    DesiredHost {
        packages: Vec::new(),
        merged_files: Vec::new(),
        users: Vec::new(),
        modules: Vec::new(),
        sysctls: BTreeMap::new(),
        images: Vec::new(),
        directories: Vec::new(),
        files: Vec::new(),
        links: Vec::new(),
        containers: Vec::new(),
        units: Vec::new(),
    }
}

fn add(host: &mut DesiredHost, component: Component, part: Part) -> Result<(), DesiredError> {
    host.packages.extend(part.packages);
    host.merged_files.extend(part.merged_files);
    host.users.extend(part.users);
    host.modules.extend(part.modules);
    host.sysctls.extend(part.sysctls);
    host.directories.extend(part.directories);
    host.files.extend(part.files);
    host.links.extend(part.links);
    host.units.extend(part.units);
    if let Some(spec) = part.container {
        host.files.push(record(component, &spec)?);
        host.containers.push((component, spec));
    }
    Ok(())
}

/// What runs, for people and for CIS 1.1.1 to 1.1.8. No pod: kubelet reads no folder. Without what counts only at a first
/// start, because that changes when members of etcd come and go.
fn record(component: Component, spec: &ContainerSpec) -> Result<FileSpec, DesiredError> {
    let path = format!("{ROOT}/manifests/{component}.yaml");
    let mut lasting = spec.clone();
    lasting.first_start_arguments.clear();
    let text = yaml(&path, &json!({ "digest": spec.digest(), "container": lasting }))?;
    Ok(FileSpec { path, component, owner: Owner::ROOT, mode: 0o600, content: Content::Text(text) })
}

fn metadata(node: &Node) -> NodeMetadata {
    let mut taints = node.taints.clone();
    for taint in kubelet::role_taints(node.roles) {
        if !taints.contains(&taint) {
            taints.push(taint);
        }
    }
    NodeMetadata { name: node.name.clone(), labels: node.all_labels(), taints }
}

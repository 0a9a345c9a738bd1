//! Steps that replace what runs on one host: with proof of the new one, and with the way back.

use crate::desired::UnitSpec;
use crate::host::{Change, ClientFiles, LogSource, Probe, Proof, Replacement, Swap};
use crate::state::{Component, ContainerSpec, FileSpec};

use super::file_steps;
use super::host_steps::HostInput;
use super::step::{Action, Step};

/// Certificates with which every host may ask an apiserver whether it is ready, and nothing else.
const PROBE_AUTHORITY: &str = "/etc/kubernetes/ssl/api-proxy/ca.crt";
const PROBE_CLIENT: &str = "/etc/kubernetes/ssl/api-proxy/client.pem";
/// kubelet's own, with which it may read its Node.
const KUBELET: &str = "/etc/kubernetes/ssl/kubelet";
/// Seconds for the first sign of health: three times the slowest start that was seen on two busy cores.
const PATIENCE: u32 = 90;
/// Seconds without a restart after which a container is believed.
const CONTAINER_STAYS: u32 = 2;
/// The same of kubelet, which may live for ten seconds before it finds what ends it.
const KUBELET_STAYS: u32 = 12;

/// The step that replaces a container which serves a living cluster.
pub(super) fn swap_container(
    host: &HostInput<'_>,
    component: Component,
    spec: &ContainerSpec,
    differences: Vec<String>,
) -> Step {
    let new = Box::new(spec.clone());
    let replacement = match component {
        // Nothing on the node may be without a way to the API, not even for a moment.
        Component::ApiProxy => Replacement::BesideOld(new),
        _ => Replacement::Container(new),
    };
    let (files, lines) = copies(host, component);
    let proof = Proof { probes: vec![probe(component)], stays_seconds: CONTAINER_STAYS };
    let reads = reads(host, component);
    let change = Change::Swap(Box::new(Swap { replacement, reads, files, proof, patience_seconds: PATIENCE }));
    let title = format!("replace container {}", spec.name);
    let reason = summary(&differences);
    let step = host.step(&format!("container/{}", spec.name), title, reason, Action::Change(vec![change]));
    Step { details: differences.into_iter().chain(lines).collect(), ..step }
}

/// The step that starts a container anew with other files where there is no API that could be lost.
pub(super) fn mend_container(
    host: &HostInput<'_>,
    component: Component,
    spec: &ContainerSpec,
    differences: Vec<String>,
) -> Step {
    let files = reads(host, component);
    // Whoever is cut off in the middle leaves one that is stopped, which the next run starts with its files.
    let changes = vec![
        Change::StopContainer(spec.name.clone()),
        Change::Write { directories: Vec::new(), files, links: Vec::new() },
        Change::StartContainer(spec.name.clone()),
    ];
    let title = format!("start container {} anew", spec.name);
    let reason = summary(&differences);
    let step = host.step(&format!("container/{}", spec.name), title, reason, Action::Change(changes));
    Step { details: differences, ..step }
}

/// What of a component shows on its host that it works.
fn probe(component: Component) -> Probe {
    let path = |path: &str| path.to_owned();
    match component {
        Component::Etcd => Probe::Http { port: 2381, path: path("/health") },
        Component::KubeApiserver => ready(6443),
        Component::ApiProxy => ready(6444),
        Component::KubeControllerManager | Component::KubeScheduler => Probe::Https {
            port: component.health_port().unwrap_or_default(),
            path: path("/healthz"),
            authority: None,
            client: None,
        },
        _ => Probe::Http { port: component.health_port().unwrap_or(10248), path: path("/healthz") },
    }
}

fn ready(port: u16) -> Probe {
    let client = ClientFiles { certificate: PROBE_CLIENT.into(), key: PROBE_CLIENT.into() };
    Probe::Https { port, path: "/readyz".into(), authority: Some(PROBE_AUTHORITY.into()), client: Some(client) }
}

/// The step that replaces kubelet, where its unit or its program is another.
pub(super) fn swap_kubelet(host: &HostInput<'_>, unit: &UnitSpec) -> Option<Step> {
    if !kubelet_is_swapped(host) {
        return None;
    }
    let is_unit = |file: &&FileSpec| file.component == Component::Kubelet && file.path.ends_with(&unit.name);
    let unit_file = host.wanted.files.iter().find(is_unit)?.clone();
    let links = host.wanted.links.iter().filter(|link| link.component == Component::Kubelet).cloned().collect();
    let (files, copies) = copies(host, Component::Kubelet);
    let client = ClientFiles { certificate: format!("{KUBELET}/client.crt"), key: format!("{KUBELET}/client.key") };
    let node = Probe::Node {
        name: host.name.to_string(),
        version: host.input.cluster.version.to_string(),
        authority: format!("{KUBELET}/ca.crt"),
        client,
    };
    let proof = Proof { probes: vec![probe(Component::Kubelet), node], stays_seconds: KUBELET_STAYS };
    let mut details = file_steps::differences(host, Component::Kubelet);
    details.extend(file_steps::read_anew(host, Component::Kubelet).into_iter().map(|(_, line)| line));
    details.extend(copies);
    let replacement = Replacement::Unit { name: unit.name.clone(), unit_file, links };
    let reads = reads(host, Component::Kubelet);
    let change = Change::Swap(Box::new(Swap { replacement, reads, files, proof, patience_seconds: PATIENCE }));
    let title = format!("replace {}", unit.name);
    let reason = summary(&details);
    let step = host.step(&format!("unit/{}", unit.name), title, reason, Action::Change(vec![change]));
    Some(Step { details, log: Some(LogSource::Unit(unit.name.clone())), ..step })
}

/// Whether kubelet belongs to a living cluster and shall run otherwise.
pub(super) fn kubelet_is_swapped(host: &HostInput<'_>) -> bool {
    let differs = || !file_steps::differences(host, Component::Kubelet).is_empty();
    host.has_kubelet() && (differs() || !file_steps::read_anew(host, Component::Kubelet).is_empty())
}

fn reads(host: &HostInput<'_>, component: Component) -> Vec<FileSpec> {
    file_steps::read_anew(host, component).into_iter().map(|(file, _)| file.clone()).collect()
}

/// Files that only tell people what runs: they change with it.
fn copies(host: &HostInput<'_>, component: Component) -> (Vec<FileSpec>, Vec<String>) {
    file_steps::changed(host, component)
        .filter(|(file, _)| is_copy(&file.path))
        .map(|(file, line)| (file.clone(), line))
        .unzip()
}

/// Copies lie directly in the tool's folder and in that of the records; what components read lies deeper.
pub(super) fn is_copy(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/etc/kubernetes/") else { return false };
    !rest.contains('/') || rest.starts_with("manifests/")
}

fn summary(differences: &[String]) -> String {
    match differences {
        [] => "it runs otherwise than it shall".into(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    }
}

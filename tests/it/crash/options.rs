//! What a changed option replaces on a cluster that runs: the components that it is about, and no others.

use std::collections::BTreeSet;

use provision::host::Change;
use provision::plan::{Action, Plan, Step};

use super::{Case, Desk};

const BEFORE: Case =
    Case { name: "a control plane and a worker", before: Some((1, 1)), nodes: (1, 1), rest: ("", ""), calls: 0 };

/// What is replaced, by host and component, and whether the nodes are emptied for it.
struct Effect {
    option: &'static str,
    control_plane: &'static [&'static str],
    worker: &'static [&'static str],
    drains: bool,
}

const fn on_control_plane(option: &'static str, control_plane: &'static [&'static str]) -> Effect {
    Effect { option, control_plane, worker: &[], drains: false }
}

const fn on_all(option: &'static str, components: &'static [&'static str]) -> Effect {
    Effect { option, control_plane: components, worker: components, drains: false }
}

const EFFECTS: [Effect; 17] = [
    on_control_plane("system_images: {etcd: 'example.org/etcd:3.6.4-0'}", &["etcd"]),
    on_control_plane("system_images: {kube_apiserver: 'example.org/kube-apiserver:v1.34.1'}", &["kube-apiserver"]),
    on_control_plane(
        "system_images: {kube_controller_manager: 'example.org/kube-controller-manager:v1.34.1'}",
        &["kube-controller-manager"],
    ),
    on_control_plane("system_images: {kube_scheduler: 'example.org/kube-scheduler:v1.34.1'}", &["kube-scheduler"]),
    on_all("system_images: {kube_proxy: 'example.org/kube-proxy:v1.34.1'}", &["kube-proxy"]),
    on_all("system_images: {api_proxy: 'example.org/haproxy:3.0.11'}", &["api-proxy"]),
    Effect {
        drains: true,
        ..on_all("system_images: {pod_infra_container: 'example.org/pause:3.10.1'}", &["containerd"])
    },
    on_control_plane("services: {kube-api: {service_node_port_range: 30000-31000}}", &["kube-apiserver"]),
    on_control_plane("authentication: {strategy: x509, sans: [api.example.org]}", &["kube-apiserver"]),
    on_control_plane("pod_security: baseline", &["kube-apiserver"]),
    on_all("services: {kubelet: {config: {maxPods: 50}}}", &["kubelet"]),
    on_all("services: {kubelet: {fail_swap_on: false}}", &["kubelet"]),
    Effect {
        drains: true,
        ..on_all("services: {kubelet: {config: {maxPods: 50}}}\nupgrade_strategy: {drain: true}", &["kubelet"])
    },
    on_all("services: {kubeproxy: {config: {minSyncPeriod: 2s}}}", &["kube-proxy"]),
    // None of these is any component's on a host.
    on_all("dns: {stubdomains: {corp.example: [10.0.0.53]}}", &[]),
    on_all("monitoring: {replicas: 2}", &[]),
    on_all("system_images: {coredns: 'example.org/coredns:v1.12.1'}", &[]),
];

fn replaced(step: &Step) -> Option<(String, String)> {
    let Action::Change(changes) = &step.action else { return None };
    let host = step.host.as_ref()?.to_string();
    let swap = |change: &Change| match change {
        Change::Swap(swap) => Some(swap.replacement.name().to_owned()),
        _ => None,
    };
    let name = changes.iter().find_map(swap);
    Some((host, name?))
}

/// Components that a plan does anything to, whatever it is.
fn touched(plan: &Plan) -> BTreeSet<(String, String)> {
    plan.steps.iter().filter_map(replaced).collect()
}

#[test]
fn an_option_replaces_the_components_that_it_is_about_and_empties_nodes_only_where_pods_see_it() {
    for Effect { option, control_plane, worker, drains } in EFFECTS {
        let option = format!("{option}\n");
        let desk = Desk::for_option(&option);
        let (stage, _) = BEFORE.stage(&desk);
        let plan = stage.plan(&desk.load_with(1, 1, &option));
        let of = |host: &str, names: &[&str]| -> Vec<(String, String)> {
            names.iter().map(|name| (host.to_owned(), (*name).to_owned())).collect()
        };
        let wanted: BTreeSet<_> = of("h1", control_plane).into_iter().chain(of("h2", worker)).collect();
        assert_eq!(touched(&plan), wanted, "{option}{plan}");
        let drained: Vec<&str> =
            plan.steps.iter().filter(|step| step.id.0.ends_with("/drain")).map(|step| step.id.0.as_str()).collect();
        assert_eq!(drained, if drains { vec!["h1/drain", "h2/drain"] } else { Vec::new() }, "{option}{plan}");
    }
}

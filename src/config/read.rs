//! The honoured keys of a tree, typed.

use std::sync::Arc;

use super::findings::Finding;
use super::tree::{Entry, Node};
use super::{
    At, Config, Dns, Downloads, EngineProxy, Etcd, Field, FreeMap, KubeApi, KubeController, Kubelet, Monitoring,
    Network, NodeDrainInput, NodeEntry, OverlayEntry, Placement, Position, RegistryEntry, Scaling, Services, Source,
    TaintEntry, TextMap, TextsMap, TolerationEntry, UpdateStrategy, UpgradeStrategy,
};
use super::{document::quoted, json};
use crate::base::Secret;

/// Takes every honoured key out of the tree. Values of a wrong type are among the findings already; they become `Bad`.
pub(super) fn config(root: &Node, source: Source, findings: &mut Vec<Finding>) -> Config {
    let top = Map::of(root, root.at);
    let (network, services) = (top.section("network"), top.section("services"));
    Config {
        source,
        cluster_name: top.text("cluster_name"),
        kubernetes_version: top.text("kubernetes_version"),
        nodes: top.sections("nodes", node),
        ssh_key_path: top.text("ssh_key_path"),
        ssh_agent_auth: top.flag("ssh_agent_auth"),
        ignore_docker_version: top.flag("ignore_docker_version"),
        pod_security: top.text("pod_security"),
        sans: top.section("authentication").texts("sans"),
        network: self::network(&network),
        services: self::services(&services, findings),
        private_registries: top.sections("private_registries", registry),
        system_images: top.text_map("system_images"),
        downloads: downloads(&top.section("downloads")),
        engine_proxy: engine_proxy(&top.section("engine_proxy")),
        dns: dns(&top.section("dns")),
        monitoring: monitoring(&top.section("monitoring")),
        addons: top.text("addons"),
        addons_include: top.texts("addons_include"),
        upgrade_strategy: upgrade_strategy(&top.section("upgrade_strategy")),
    }
}

fn upgrade_strategy(map: &Map<'_>) -> UpgradeStrategy {
    let drain = map.section("node_drain_input");
    UpgradeStrategy {
        max_unavailable_worker: map.text("max_unavailable_worker"),
        max_unavailable_controlplane: map.text("max_unavailable_controlplane"),
        drain: map.flag("drain"),
        node_drain_input: NodeDrainInput {
            force: drain.flag("force"),
            ignore_daemonsets: drain.flag("ignore_daemonsets"),
            delete_local_data: drain.flag("delete_local_data"),
            grace_period: drain.integer("grace_period"),
            timeout: drain.integer("timeout"),
        },
        canary: map.integer("canary"),
        soak: map.text("soak"),
        on_failure: map.text("on_failure"),
    }
}

fn dns(map: &Map<'_>) -> Dns {
    let scaling = map.section("linear_autoscaler_params");
    Dns {
        provider: map.text("provider"),
        priority_class: map.section("options").text("coredns_priority_class_name"),
        upstream: map.texts("upstreamnameservers"),
        reverse: map.texts("reversecidrs"),
        stub_domains: map.texts_map("stubdomains"),
        placement: placement(map),
        update_strategy: update_strategy(&map.section("update_strategy")),
        scaling: Scaling {
            cores_per_replica: scaling.text("cores_per_replica"),
            nodes_per_replica: scaling.text("nodes_per_replica"),
            min: scaling.integer("min"),
            max: scaling.integer("max"),
            prevent_single_point_failure: scaling.flag("prevent_single_point_failure"),
        },
    }
}

fn monitoring(map: &Map<'_>) -> Monitoring {
    Monitoring {
        provider: map.text("provider"),
        options: map.text_map("options"),
        placement: placement(map),
        update_strategy: update_strategy(&map.section("update_strategy")),
        replicas: map.integer("replicas"),
        priority_class: map.text("metrics_server_priority_class_name"),
    }
}

fn placement(map: &Map<'_>) -> Placement {
    Placement { node_selector: map.text_map("node_selector"), tolerations: map.sections("tolerations", toleration) }
}

fn toleration(map: &Map<'_>) -> TolerationEntry {
    TolerationEntry {
        at: map.at,
        key: map.text("key"),
        operator: map.text("operator"),
        value: map.text("value"),
        effect: map.text("effect"),
        seconds: map.integer("tolerationSeconds"),
    }
}

fn update_strategy(map: &Map<'_>) -> UpdateStrategy {
    let rolling = map.section("rollingUpdate");
    UpdateStrategy {
        at: map.at,
        strategy: map.text("strategy"),
        max_unavailable: rolling.text("maxUnavailable"),
        max_surge: rolling.text("maxSurge"),
    }
}

fn registry(map: &Map<'_>) -> RegistryEntry {
    RegistryEntry {
        at: map.at,
        url: map.text("url"),
        user: map.text("user"),
        password: map.field("password", |node| node.text().map(Secret::new)),
        is_default: map.flag("is_default"),
        mirrors: map.texts("mirrors"),
        ca_file: map.text("ca_file"),
        plain_http: map.flag("plain_http"),
    }
}

fn downloads(map: &Map<'_>) -> Downloads {
    Downloads {
        kubernetes: map.text("kubernetes"),
        cni: map.text("cni"),
        ca_file: map.text("ca_file"),
        timeout: map.integer("timeout"),
    }
}

fn engine_proxy(map: &Map<'_>) -> EngineProxy {
    EngineProxy {
        http_proxy: map.text("http_proxy"),
        https_proxy: map.text("https_proxy"),
        no_proxy: map.texts("no_proxy"),
    }
}

fn network(map: &Map<'_>) -> Network {
    let update = map.section("update_strategy");
    Network {
        at: map.at,
        plugin: map.text("plugin"),
        mtu: map.integer("mtu"),
        canal: overlay(map, "canal", "canal_flannel", "canal"),
        flannel: overlay(map, "flannel", "flannel", "kube_flannel"),
        placement: placement(map),
        update_strategy: update.text("strategy"),
        max_unavailable: update.section("rollingUpdate").text("maxUnavailable"),
    }
}

/// The options of a plugin, whose names begin in three ways.
fn overlay(map: &Map<'_>, plugin: &str, backend: &str, pods: &str) -> OverlayEntry {
    let options = map.section("options");
    OverlayEntry {
        interface: options.text(&format!("{plugin}_iface")),
        provider_interface: map.section(&format!("{plugin}_network_provider")).text("iface"),
        backend_type: options.text(&format!("{backend}_backend_type")),
        backend_port: options.text(&format!("{backend}_backend_port")),
        backend_vni: options.text(&format!("{backend}_backend_vni")),
        priority_class: options.text(&format!("{pods}_priority_class_name")),
    }
}

fn services(map: &Map<'_>, findings: &mut Vec<Finding>) -> Services {
    let (etcd, api) = (map.section("etcd"), map.section("kube-api"));
    let (controller, kubelet) = (map.section("kube-controller"), map.section("kubelet"));
    Services {
        etcd: Etcd { uid: etcd.integer("uid"), gid: etcd.integer("gid") },
        kube_api: KubeApi {
            service_cluster_ip_range: api.text("service_cluster_ip_range"),
            service_node_port_range: api.text("service_node_port_range"),
        },
        kube_controller: KubeController {
            cluster_cidr: controller.text("cluster_cidr"),
            service_cluster_ip_range: controller.text("service_cluster_ip_range"),
        },
        kubelet: Kubelet {
            cluster_domain: kubelet.text("cluster_domain"),
            cluster_dns_server: kubelet.text("cluster_dns_server"),
            fail_swap_on: kubelet.flag("fail_swap_on"),
            config: kubelet.free_map("config", findings),
        },
        kube_proxy: map.section("kubeproxy").free_map("config", findings),
    }
}

fn node(map: &Map<'_>) -> NodeEntry {
    NodeEntry {
        at: map.at,
        address: map.text("address"),
        port: map.text("port"),
        internal_address: map.text("internal_address"),
        role: map.texts("role"),
        user: map.text("user"),
        hostname_override: map.text("hostname_override"),
        ssh_key_path: map.text("ssh_key_path"),
        ssh_agent_auth: map.flag("ssh_agent_auth"),
        labels: map.text_map("labels"),
        taints: map.sections("taints", taint),
    }
}

fn taint(map: &Map<'_>) -> TaintEntry {
    TaintEntry { at: map.at, key: map.text("key"), value: map.text("value"), effect: map.text("effect") }
}

/// A map being read.
struct Map<'a> {
    /// None if something else stands there, which is among the findings already.
    entries: Option<&'a [Entry]>,
    at: Position,
}

impl<'a> Map<'a> {
    /// An empty text counts as nothing, as it does for values.
    fn of(node: &'a Node, at: Position) -> Self {
        let nothing = node.text() == Some("");
        Self { entries: node.mapping().or(nothing.then_some(&[])), at }
    }

    fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries?.iter().find(|entry| entry.key.value == name && !entry.value.is_null())
    }

    fn field<T>(&self, name: &str, read: impl Fn(&'a Node) -> Option<T>) -> Field<T> {
        let Some(entry) = self.entry(name) else {
            return if self.entries.is_some() { Field::Missing } else { Field::Bad };
        };
        if entry.value.text() == Some("") {
            return Field::Missing;
        }
        match read(&entry.value) {
            Some(value) => Field::Written(At { value, at: place(entry) }),
            None => Field::Bad,
        }
    }

    fn text(&self, name: &str) -> Field<String> {
        self.field(name, |node| node.text().map(str::to_owned))
    }

    fn flag(&self, name: &str) -> Field<bool> {
        self.field(name, Node::flag)
    }

    fn integer(&self, name: &str) -> Field<i64> {
        self.field(name, Node::integer)
    }

    fn texts(&self, name: &str) -> Field<Vec<At<String>>> {
        self.field(name, |node| {
            let text = |item: &Arc<Node>| item.text().map(|text| At { value: text.to_owned(), at: item.at });
            node.sequence()?.iter().map(text).collect()
        })
    }

    fn text_map(&self, name: &str) -> TextMap {
        self.field(name, |node| {
            let text = |entry: &Entry| match entry.value.text() {
                Some(text) => Some((entry.key.clone(), At { value: text.to_owned(), at: entry.value.at })),
                None => {
                    entry.value.is_null().then(|| (entry.key.clone(), At { value: String::new(), at: entry.key.at }))
                }
            };
            node.mapping()?.iter().map(text).collect()
        })
    }

    fn texts_map(&self, name: &str) -> TextsMap {
        self.field(name, |node| {
            let text = |item: &Arc<Node>| item.text().map(|text| At { value: text.to_owned(), at: item.at });
            let texts = |entry: &Entry| match entry.value.sequence() {
                Some(items) => Some((entry.key.clone(), items.iter().map(text).collect::<Option<Vec<_>>>()?)),
                None => entry.value.is_null().then(|| (entry.key.clone(), Vec::new())),
            };
            node.mapping()?.iter().map(texts).collect()
        })
    }

    fn sections<T>(&self, name: &str, read: fn(&Map<'_>) -> T) -> Field<Vec<T>> {
        self.field(name, |node| {
            let item = |item: &Arc<Node>| item.mapping().map(|_| read(&Map::of(item, item.at)));
            node.sequence()?.iter().map(item).collect()
        })
    }

    fn section(&self, name: &str) -> Map<'a> {
        match self.entry(name) {
            Some(entry) => Map::of(&entry.value, entry.key.at),
            None => Map { entries: self.entries.map(|_| &[][..]), at: Position::START },
        }
    }

    fn free_map(&self, name: &str, findings: &mut Vec<Finding>) -> FreeMap {
        let Some(entries) = self.entry(name).and_then(|entry| entry.value.mapping()) else { return FreeMap::default() };
        let keys = entries.iter().map(|entry| entry.key.clone()).collect();
        FreeMap { keys, value: json::object(entries, findings) }
    }
}

/// A finding about a scalar points at it; one about a list or map at its key, because it begins in another line.
fn place(entry: &Entry) -> Position {
    if entry.value.text().is_some() { entry.value.at } else { entry.key.at }
}

/// A value of the file for a message.
pub(crate) fn shown(value: &At<String>) -> String {
    quoted(&value.value)
}

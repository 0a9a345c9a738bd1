//! Add-ons.

use crate::config::schema::Shape::{Any, Flag, Integer, Section, Sections, Text, TextMap, Texts, TextsMap};
use crate::config::schema::{Key, honoured, later, left_out, part, section};

pub(super) const INGRESS: &[Key] = &[
    part("provider", Text).harmless(&["none"]),
    part("options", TextMap),
    part("node_selector", TextMap),
    part("extra_args", TextMap),
    part("dns_policy", Text),
    part("extra_envs", Any),
    part("extra_volumes", Any),
    part("extra_volume_mounts", Any),
    part("update_strategy", Any),
    part("network_mode", Text),
    part("http_port", Integer),
    part("https_port", Integer),
    part("tolerations", Any),
    part("default_backend", Flag),
    part("default_ingress_class", Flag).harmless(&["true"]),
    part("default_http_backend_priority_class_name", Text),
    part("nginx_ingress_controller_priority_class_name", Text),
];

pub(super) const MONITORING: &[Key] = &[
    honoured("provider", Text, "`metrics-server`", "`metrics-server`, or `none`: no metrics of nodes and pods."),
    honoured(
        "options",
        TextMap,
        "none",
        "More flags of metrics-server, without dashes: `metric-resolution: 30s`. Flags that decide whom it trusts are provision's own.",
    ),
    honoured("node_selector", TextMap, "none", "Labels that a node of metrics-server must have."),
    honoured("tolerations", Sections(TOLERATION), "none", "Tolerations of metrics-server besides provision's own."),
    section("update_strategy", UPDATE_STRATEGY),
    honoured("replicas", Integer, "`1`", "Number of replicas, 1 to 10."),
    honoured(
        "metrics_server_priority_class_name",
        Text,
        "`system-cluster-critical`",
        "Priority class of metrics-server's pods.",
    ),
];

pub(super) const DNS: &[Key] = &[
    honoured("provider", Text, "`coredns`", "`coredns`, or `none`: you install a name server at `cluster_dns_server`."),
    section("options", DNS_OPTIONS),
    honoured(
        "upstreamnameservers",
        Texts,
        "those of the node",
        "Name servers for names outside of the cluster: addresses, each with a port if it is not 53; at most 15.",
    ),
    honoured(
        "reversecidrs",
        Texts,
        "`in-addr.arpa`, `ip6.arpa`",
        "Ranges or reverse zones whose addresses CoreDNS looks up in the cluster before it asks others.",
    ),
    honoured("stubdomains", TextsMap, "none", "Domains with name servers of their own: `corp.example: [10.0.0.53]`."),
    honoured("node_selector", TextMap, "none", "Labels that a node of CoreDNS must have."),
    honoured("tolerations", Sections(TOLERATION), "none", "Tolerations of CoreDNS besides provision's own."),
    later("nodelocal", Section(NODELOCAL), "leave it out: pods ask CoreDNS itself"),
    section("update_strategy", UPDATE_STRATEGY),
    section("linear_autoscaler_params", AUTOSCALER),
];

const NO_AUTOSCALER: &str = "the number of replicas is worked out by `provision`, not by a pod";
const NO_KUBE_DNS: &str = "cluster DNS is CoreDNS";

const DNS_OPTIONS: &[Key] = &[
    honoured("coredns_priority_class_name", Text, "`system-cluster-critical`", "Priority class of CoreDNS' pods."),
    left_out("coredns_autoscaler_priority_class_name", Text, NO_AUTOSCALER),
    left_out("kube_dns_priority_class_name", Text, NO_KUBE_DNS),
    left_out("kube_dns_autoscaler_priority_class_name", Text, NO_KUBE_DNS),
];

pub(super) const TOLERATION: &[Key] = &[
    honoured("key", Text, "every key", "Key of the taint."),
    honoured("operator", Text, "`Equal`", "`Equal`, or `Exists`: any value."),
    honoured("value", Text, "empty", "Value of the taint."),
    honoured("effect", Text, "every effect", "`NoSchedule`, `PreferNoSchedule` or `NoExecute`."),
    honoured("tolerationSeconds", Integer, "for ever", "How long a taint with `NoExecute` is borne."),
];

const UPDATE_STRATEGY: &[Key] = &[
    honoured("strategy", Text, "`RollingUpdate`", "`RollingUpdate` or `Recreate`."),
    section("rollingUpdate", ROLLING_UPDATE),
];

const ROLLING_UPDATE: &[Key] = &[
    honoured("maxUnavailable", Text, "provision's own", "Replicas that may be away, a number or a percentage."),
    honoured("maxSurge", Text, "provision's own", "Replicas that there may be too many, a number or a percentage."),
];

const NODELOCAL: &[Key] = &[
    part("ip_address", Text),
    part("update_strategy", Any),
    part("node_selector", TextMap),
    part("node_local_dns_priority_class_name", Text),
];

const AUTOSCALER: &[Key] = &[
    honoured("cores_per_replica", Text, "`128`", "CPU cores of all nodes together for each replica."),
    honoured("nodes_per_replica", Text, "`4`", "Nodes for each replica; what gives more replicas counts."),
    honoured("min", Integer, "`1`", "Replicas at least."),
    honoured("max", Integer, "`0`: no limit", "Replicas at most."),
    honoured("prevent_single_point_failure", Flag, "`true`", "Two replicas at least where there are two nodes."),
];

//! Add-ons and the order of upgrades.

use crate::config::schema::Shape::{Any, Flag, Integer, Section, Text, TextMap, Texts};
use crate::config::schema::{Key, part};

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
    part("provider", Text).harmless(&["none"]),
    part("options", TextMap),
    part("node_selector", TextMap),
    part("tolerations", Any),
    part("update_strategy", Any),
    part("replicas", Integer).harmless(&["1"]),
    part("metrics_server_priority_class_name", Text),
];

pub(super) const DNS: &[Key] = &[
    part("provider", Text).harmless(&["coredns"]),
    part("options", TextMap),
    part("upstreamnameservers", Texts),
    part("reversecidrs", Texts),
    part("stubdomains", Any),
    part("node_selector", TextMap),
    part("tolerations", Any),
    part("nodelocal", Section(NODELOCAL)),
    part("update_strategy", Any),
    part("linear_autoscaler_params", Section(AUTOSCALER)),
];

const NODELOCAL: &[Key] = &[
    part("ip_address", Text),
    part("update_strategy", Any),
    part("node_selector", TextMap),
    part("node_local_dns_priority_class_name", Text),
];

const AUTOSCALER: &[Key] = &[
    part("cores_per_replica", Any),
    part("nodes_per_replica", Any),
    part("min", Integer),
    part("max", Integer),
    part("prevent_single_point_failure", Flag),
];

pub(super) const UPGRADE_STRATEGY: &[Key] = &[
    part("max_unavailable_worker", Text).harmless(&["10%"]),
    part("max_unavailable_controlplane", Text).harmless(&["1"]),
    part("drain", Flag),
    part("node_drain_input", Section(DRAIN)),
];

const DRAIN: &[Key] = &[
    part("force", Flag),
    part("ignore_daemonsets", Flag).harmless(&["true"]),
    part("delete_local_data", Flag),
    part("grace_period", Integer).harmless(&["-1"]),
    part("timeout", Integer).harmless(&["120"]),
];

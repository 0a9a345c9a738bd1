//! `services`: the components.

use crate::config::schema::Shape::{Any, Flag, FreeMap, Integer, Section, Text, TextMap, Texts};
use crate::config::schema::{Key, honoured, later, left_out, ours, part, section};

const IMAGE: Key = left_out("image", Text, "RKE does not look at it either; the release catalog names the images");
const WINDOWS: &str = "there are no Windows nodes";
const NO_ARGUMENTS_YET: &str = "leave it out: arguments of components cannot be changed yet";

const EXTRA_ARGS: Key = later("extra_args", TextMap, NO_ARGUMENTS_YET);
const EXTRA_ARGS_ARRAY: Key = later("extra_args_array", Any, NO_ARGUMENTS_YET);
const EXTRA_BINDS: Key = later("extra_binds", Texts, "leave it out: mounts of components cannot be changed yet");
const EXTRA_ENV: Key = later("extra_env", Texts, "leave it out: the environment of components cannot be changed yet");
const WIN_EXTRA_ARGS: Key = left_out("win_extra_args", TextMap, WINDOWS);
const WIN_EXTRA_ARGS_ARRAY: Key = left_out("win_extra_args_array", Any, WINDOWS);
const WIN_EXTRA_BINDS: Key = left_out("win_extra_binds", Texts, WINDOWS);
const WIN_EXTRA_ENV: Key = left_out("win_extra_env", Texts, WINDOWS);

pub(super) const SERVICES: &[Key] = &[
    section("etcd", ETCD),
    section("kube-api", KUBE_API),
    section("kube-controller", KUBE_CONTROLLER),
    section("scheduler", SCHEDULER),
    section("kubelet", KUBELET),
    section("kubeproxy", KUBEPROXY),
];

const NO_EXTERNAL_ETCD: &str = "leave it out, and give nodes the role `etcd`";
const NO_SNAPSHOTS_YET: &str = "leave it out, and save snapshots with etcdctl until then";

const ETCD: &[Key] = &[
    IMAGE,
    EXTRA_ARGS,
    EXTRA_ARGS_ARRAY,
    EXTRA_BINDS,
    EXTRA_ENV,
    WIN_EXTRA_ARGS,
    WIN_EXTRA_ARGS_ARRAY,
    WIN_EXTRA_BINDS,
    WIN_EXTRA_ENV,
    later("external_urls", Texts, NO_EXTERNAL_ETCD),
    later("ca_cert", Text, NO_EXTERNAL_ETCD),
    later("cert", Text, NO_EXTERNAL_ETCD),
    later("key", Text, NO_EXTERNAL_ETCD),
    later("path", Text, NO_EXTERNAL_ETCD),
    honoured("uid", Integer, "`52034`", "User that etcd runs as; `0` means the default. Only together with `gid`."),
    honoured("gid", Integer, "`52034`", "Group that etcd runs as; `0` means the default. Only together with `uid`."),
    later("snapshot", Flag, NO_SNAPSHOTS_YET),
    later("creation", Text, NO_SNAPSHOTS_YET).harmless(&["12h"]),
    later("retention", Text, NO_SNAPSHOTS_YET).harmless(&["72h"]),
    later("backup_config", Section(BACKUP), NO_SNAPSHOTS_YET),
];

const BACKUP: &[Key] = &[
    part("enabled", Flag),
    part("interval_hours", Integer).harmless(&["12"]),
    part("retention", Integer).harmless(&["6"]),
    part(
        "s3backupconfig",
        Section(&[
            part("access_key", Text),
            part("secret_key", Text),
            part("bucket_name", Text),
            part("endpoint", Text),
            part("region", Text),
            part("folder", Text),
            part("custom_ca", Text),
        ]),
    ),
    part("safe_timestamp", Flag),
    part("timeout", Integer).harmless(&["300"]),
];

const USE_POD_SECURITY: &str =
    "use `pod_security` at the top of the file: `restricted` (the default), `baseline` or `privileged`";
const OWN_AUDIT_LOG: &str = "leave it out: the audit log is on, with a policy and limits of its own";

const KUBE_API: &[Key] = &[
    IMAGE,
    EXTRA_ARGS,
    EXTRA_ARGS_ARRAY,
    EXTRA_BINDS,
    EXTRA_ENV,
    WIN_EXTRA_ARGS,
    WIN_EXTRA_ARGS_ARRAY,
    WIN_EXTRA_BINDS,
    WIN_EXTRA_ENV,
    honoured("service_cluster_ip_range", Text, "`10.43.0.0/16`", "Addresses of Services: one IPv4 range, /12 to /28."),
    honoured("service_node_port_range", Text, "`30000-32767`", "Ports of NodePort Services, `low-high`."),
    later("pod_security_policy", Flag, USE_POD_SECURITY),
    later("pod_security_configuration", Text, USE_POD_SECURITY),
    later("always_pull_images", Flag, "leave it out"),
    left_out(
        "secrets_encryption_config",
        Section(ENCRYPTION),
        "Secrets are always encrypted at rest, with keys that `provision` makes",
    ),
    later("audit_log", Section(AUDIT_LOG), OWN_AUDIT_LOG),
    later("admission_configuration", Any, "leave it out; `pod_security` sets the level of Pod Security admission"),
    later("event_rate_limit", Section(EVENT_RATE_LIMIT), "leave it out"),
];

const ENCRYPTION: &[Key] = &[part("enabled", Flag).harmless(&["true"]), part("custom_config", Any)];

const AUDIT_LOG: &[Key] = &[
    part("enabled", Flag).harmless(&["true"]),
    part(
        "configuration",
        Section(&[
            part("max_age", Integer).harmless(&["30"]),
            part("max_backup", Integer).harmless(&["10"]),
            part("max_size", Integer).harmless(&["100"]),
            part("path", Text).harmless(&["/var/log/kube-audit/audit-log.json"]),
            part("format", Text).harmless(&["json"]),
            part("policy", Any),
        ]),
    ),
];

const EVENT_RATE_LIMIT: &[Key] = &[part("enabled", Flag), part("configuration", Any)];

const KUBE_CONTROLLER: &[Key] = &[
    IMAGE,
    EXTRA_ARGS,
    EXTRA_ARGS_ARRAY,
    EXTRA_BINDS,
    EXTRA_ENV,
    WIN_EXTRA_ARGS,
    WIN_EXTRA_ARGS_ARRAY,
    WIN_EXTRA_BINDS,
    WIN_EXTRA_ENV,
    honoured(
        "cluster_cidr",
        Text,
        "`10.42.0.0/16`",
        "Addresses of pods: one IPv4 range; every node takes a /24 of it.",
    ),
    honoured("service_cluster_ip_range", Text, "that of `kube-api`", "The same range as in `kube-api`."),
];

const SCHEDULER: &[Key] = &[
    IMAGE,
    EXTRA_ARGS,
    EXTRA_ARGS_ARRAY,
    EXTRA_BINDS,
    EXTRA_ENV,
    WIN_EXTRA_ARGS,
    WIN_EXTRA_ARGS_ARRAY,
    WIN_EXTRA_BINDS,
    WIN_EXTRA_ENV,
];

const KUBELET: &[Key] = &[
    IMAGE,
    EXTRA_ARGS,
    EXTRA_ARGS_ARRAY,
    EXTRA_BINDS,
    EXTRA_ENV,
    WIN_EXTRA_ARGS,
    WIN_EXTRA_ARGS_ARRAY,
    WIN_EXTRA_BINDS,
    WIN_EXTRA_ENV,
    honoured("cluster_domain", Text, "`cluster.local`", "DNS domain of the cluster."),
    honoured(
        "cluster_dns_server",
        Text,
        "the tenth of the service range, `10.43.0.10`",
        "Address of the DNS Service; lies in the service range.",
    ),
    later("infra_container_image", Text, "leave it out: the release catalog names the pause image"),
    honoured("fail_swap_on", Flag, "`true` (RKE: `false`)", "Whether a host with swap is refused."),
    left_out(
        "generate_serving_certificate",
        Flag,
        "every kubelet always has a serving certificate that the apiserver verifies",
    )
    .harmless(&["true"]),
    ours(
        "config",
        FreeMap,
        "none",
        "Fields of `KubeletConfiguration` (kubelet.config.k8s.io/v1beta1), merged into those that `provision` writes.",
    ),
];

const KUBEPROXY: &[Key] = &[
    IMAGE,
    EXTRA_ARGS,
    EXTRA_ARGS_ARRAY,
    EXTRA_BINDS,
    EXTRA_ENV,
    WIN_EXTRA_ARGS,
    WIN_EXTRA_ARGS_ARRAY,
    WIN_EXTRA_BINDS,
    WIN_EXTRA_ENV,
    ours(
        "config",
        FreeMap,
        "none",
        "Fields of `KubeProxyConfiguration` (kubeproxy.config.k8s.io/v1alpha1), merged into those that `provision` writes.",
    ),
];

//! Every key of RKE's `cluster.yml` (v1.6) and ours, by name: one table.

mod addons;
mod cloud;
mod network;
mod services;
mod sources;
mod upgrade;

use super::schema::Shape::{Any, Flag, Integer, Section, Sections, Text, TextMap, Texts};
use super::schema::{Key, honoured, later, left_out, our_section, ours, part, section};

const NO_CERTIFICATES_YET: &str =
    "leave it out, and log in with a key file (`ssh_key_path`) or an agent (`ssh_agent_auth: true`)";
const NO_INLINE_KEY_YET: &str = "write the key to a file with mode 0600 and name it with `ssh_key_path`";
const CONTAINERD: &str =
    "pods run in the containerd that Docker brings, for every version; there is no shim between them";
const INTERNAL: &str = "RKE and Rancher write it for themselves; it is no setting";

/// The keys at the top of the file.
pub const ROOT: &[Key] = &[
    honoured("nodes", Sections(NODE), "required", "The hosts."),
    section("services", services::SERVICES),
    section("network", network::NETWORK),
    section("authentication", AUTHENTICATION),
    left_out("authorization", Section(AUTHORIZATION), "RBAC and the node authorizer are always on"),
    honoured(
        "addons",
        Text,
        "none",
        "Objects of your own, applied after everything else: YAML with `---` between them, as a block (`addons: |`).",
    ),
    honoured(
        "addons_include",
        Texts,
        "none",
        "More of them: files, relative to the folder of this file, and addresses with a checksum, `https://example.org/a.yaml#sha256=HEX`.",
    ),
    section("system_images", sources::SYSTEM_IMAGES),
    honoured(
        "ssh_key_path",
        Text,
        "`~/.ssh/id_rsa`, none with an agent",
        "Private key file for all nodes. `~` is your home folder; other paths are relative to the folder of this file.",
    ),
    later("ssh_cert_path", Text, NO_CERTIFICATES_YET),
    honoured("ssh_agent_auth", Flag, "`false`", "Use the keys of the SSH agent (`SSH_AUTH_SOCK`)."),
    honoured(
        "ignore_docker_version",
        Flag,
        "`false`",
        "Accept a Docker version that the release catalog does not name for this Kubernetes version.",
    ),
    left_out("enable_cri_dockerd", Flag, CONTAINERD).harmless(&["true"]),
    honoured(
        "kubernetes_version",
        Text,
        "the newest of the catalog",
        "Kubernetes version: `v1.34.1`, `v1.34` (the catalog's patch of that minor), or RKE's spelling `v1.34.1-rancher1-1`. Write it: without it a newer `provision` means a newer cluster.",
    ),
    honoured("private_registries", Sections(sources::PRIVATE_REGISTRY), "none", "Registries of your own."),
    later(
        "ingress",
        Section(addons::INGRESS),
        "leave it out or write `provider: none`, and install a controller when the cluster is up",
    ),
    honoured(
        "cluster_name",
        Text,
        "`local`",
        "Name of the cluster in kubeconfigs and certificates: letters, digits, `-`, `_` and `.`, at most 63.",
    ),
    later(
        "cloud_provider",
        Section(cloud::CLOUD_PROVIDER),
        "leave it out: clusters with a cloud provider are not installed yet",
    ),
    left_out("prefix_path", Text, "paths on hosts are fixed, so that the CIS benchmark and every tool find them")
        .harmless(&["/"]),
    left_out("win_prefix_path", Text, "there are no Windows nodes").harmless(&["c:/", "c:\\"]),
    left_out(
        "addon_job_timeout",
        Integer,
        "manifests are applied through the API, not by a job that can run out of time",
    )
    .harmless(&["45"]),
    later("bastion_host", Section(BASTION), "leave it out, and run `provision` where the hosts can be reached"),
    section("monitoring", addons::MONITORING),
    section("dns", addons::DNS),
    section("upgrade_strategy", upgrade::UPGRADE_STRATEGY),
    left_out("restore", Section(RESTORE), INTERNAL),
    left_out("rotate_certificates", Section(ROTATE_CERTIFICATES), INTERNAL),
    left_out("rotate_encryption_key", Flag, INTERNAL),
    left_out("cri_dockerd_stream_server_address", Text, CONTAINERD),
    left_out("cri_dockerd_stream_server_port", Text, CONTAINERD),
    ours(
        "pod_security",
        Text,
        "`restricted`",
        "Pod security level of namespaces that say nothing themselves: `restricted`, `baseline` or `privileged`. `kube-system` is exempt.",
    ),
    our_section("downloads", sources::DOWNLOADS),
    our_section("engine_proxy", sources::ENGINE_PROXY),
];

/// The keys of a node.
const NODE: &[Key] = &[
    honoured("address", Text, "required", "Where SSH reaches the host: an IPv4 address or a DNS name."),
    honoured("port", Text, "`22`", "SSH port."),
    honoured(
        "internal_address",
        Text,
        "`address`",
        "IPv4 address at which the other nodes reach it. Needed where `address` is a name.",
    ),
    honoured("role", Texts, "required", "What it does, one or more of: `controlplane`, `etcd`, `worker`."),
    honoured("user", Text, "required", "Who logs in: root, or a user with sudo without password."),
    honoured(
        "hostname_override",
        Text,
        "`address` in lower case",
        "Name of the node in Kubernetes: a DNS name in lower case, at most 63 characters.",
    ),
    left_out("docker_socket", Text, "the socket of the Docker that `provision` installs is where Docker has it")
        .harmless(&["/var/run/docker.sock", "/run/docker.sock"]),
    later("ssh_key", Text, NO_INLINE_KEY_YET),
    honoured("ssh_key_path", Text, "that of the cluster", "Private key file for this node."),
    later("ssh_cert", Text, NO_CERTIFICATES_YET),
    later("ssh_cert_path", Text, NO_CERTIFICATES_YET),
    honoured(
        "ssh_agent_auth",
        Flag,
        "that of the cluster",
        "Use the agent for this node (RKE does not look at it here).",
    ),
    honoured("labels", TextMap, "none", "Labels of the Kubernetes node."),
    honoured("taints", Sections(TAINT), "none", "Taints of the Kubernetes node."),
    left_out("nodeName", Text, INTERNAL),
];

const TAINT: &[Key] = &[
    honoured("key", Text, "required", "Key of the taint."),
    honoured("value", Text, "empty", "Its value."),
    honoured("effect", Text, "required", "`NoSchedule`, `PreferNoSchedule` or `NoExecute`."),
    left_out("timeAdded", Text, "Kubernetes writes it itself"),
];

const AUTHENTICATION: &[Key] = &[
    left_out("strategy", Text, "the API takes client certificates and service account tokens").harmless(&["x509"]),
    honoured(
        "sans",
        Texts,
        "none",
        "More names and addresses of the API: DNS names (`*.` at the front is allowed) and IP addresses. They are added to the apiserver's certificate.",
    ),
    later(
        "webhook",
        Section(&[part("config_file", Text), part("cache_timeout", Text).harmless(&["5s"])]),
        "leave it out",
    ),
];

const AUTHORIZATION: &[Key] = &[part("mode", Text).harmless(&["rbac"]), part("options", Any)];

const BASTION: &[Key] = &[
    part("address", Text),
    part("port", Text).harmless(&["22"]),
    part("user", Text),
    part("ssh_key", Text),
    part("ssh_key_path", Text).harmless(&["~/.ssh/id_rsa"]),
    part("ssh_cert", Text),
    part("ssh_cert_path", Text),
    part("ssh_agent_auth", Flag),
    part("ignore_proxy_env_vars", Flag),
];

const RESTORE: &[Key] = &[part("restore", Flag), part("snapshot_name", Text)];

const ROTATE_CERTIFICATES: &[Key] = &[part("CACertificates", Flag), part("Services", Any)];

//! Where images and files come from.

use crate::config::schema::Shape::{Flag, Integer, Section, Text, Texts};
use crate::config::schema::{Key, honoured, later, left_out, ours, part};

const CATALOG: &str = "that of the release catalog";
const HYPERKUBE: &str = "one image of all components is no longer published; name `kube_apiserver`, `kube_controller_manager`, `kube_scheduler` and `kube_proxy`";
const RKE_TOOLS: &str = "there are no helper containers";
const API_PROXY: &str = "the API proxy of every node is HAProxy: `api_proxy`";
const KUBE_DNS: &str = "cluster DNS is CoreDNS";
const CALICO_ALONE: &str =
    "Calico alone is not installed; images of Canal are `canal_node`, `canal_cni` and `canal_flannel`";
const NOT_IN_CANAL: &str = "Canal runs without it";
const NO_ADDON_YET: &str = "leave it out: the add-on is not supported yet";
const NO_AUTOSCALER: &str = "the number of replicas is worked out by `provision`, not by a pod";
const WEAVE: &str = "Weave is no longer maintained";
const ACI: &str = "ACI is not supported";

const fn image(name: &'static str, meaning: &'static str) -> Key {
    honoured(name, Text, CATALOG, meaning)
}

const fn our_image(name: &'static str, meaning: &'static str) -> Key {
    ours(name, Text, CATALOG, meaning)
}

/// One key an image: the catalog's names where RKE has no word of its own.
pub(super) const SYSTEM_IMAGES: &[Key] = &[
    image("etcd", "Image of etcd, with its tag, as all of these."),
    our_image("kube_apiserver", "Image of kube-apiserver."),
    our_image("kube_controller_manager", "Image of kube-controller-manager."),
    our_image("kube_scheduler", "Image of kube-scheduler."),
    our_image("kube_proxy", "Image of kube-proxy."),
    our_image("api_proxy", "Image of HAProxy, every node's way to the API."),
    image("pod_infra_container", "The sandbox (`pause`) of pods."),
    image("coredns", "Image of CoreDNS."),
    image("canal_node", "Image of calico-node, which enforces network policy, with `plugin: canal`."),
    image("canal_cni", "The image that brings Calico's CNI plugin, with `plugin: canal`."),
    image("canal_flannel", "Image of flannel's daemon, with `plugin: canal`."),
    image("flannel", "Image of flannel's daemon, with `plugin: flannel`."),
    image("metrics_server", "Image of metrics-server."),
    image("flannel_cni", "The image that brings flannel's CNI plugin."),
    image("network_check", "What the test pods of `provision check network` run: agnhost."),
    left_out("kubernetes", Text, HYPERKUBE),
    left_out("alpine", Text, RKE_TOOLS),
    left_out("nginx_proxy", Text, API_PROXY),
    left_out("cert_downloader", Text, RKE_TOOLS),
    left_out("kubernetes_services_sidecar", Text, RKE_TOOLS),
    left_out("kubedns", Text, KUBE_DNS),
    left_out("dnsmasq", Text, KUBE_DNS),
    left_out("kubedns_sidecar", Text, KUBE_DNS),
    left_out("kubedns_autoscaler", Text, KUBE_DNS),
    left_out("coredns_autoscaler", Text, NO_AUTOSCALER),
    later("nodelocal", Text, NO_ADDON_YET),
    left_out("calico_node", Text, CALICO_ALONE),
    left_out("calico_cni", Text, CALICO_ALONE),
    left_out("calico_controllers", Text, CALICO_ALONE),
    left_out("calico_ctl", Text, CALICO_ALONE),
    left_out("calico_flexvol", Text, CALICO_ALONE),
    left_out("canal_controllers", Text, NOT_IN_CANAL),
    left_out("canal_flexvol", Text, NOT_IN_CANAL),
    left_out("weave_node", Text, WEAVE),
    left_out("weave_cni", Text, WEAVE),
    later("ingress", Text, NO_ADDON_YET),
    later("ingress_backend", Text, NO_ADDON_YET),
    later("ingress_webhook", Text, NO_ADDON_YET),
    left_out("windows_pod_infra_container", Text, "there are no Windows nodes"),
    left_out("aci_cni_deploy_container", Text, ACI),
    left_out("aci_host_container", Text, ACI),
    left_out("aci_opflex_container", Text, ACI),
    left_out("aci_mcast_container", Text, ACI),
    left_out("aci_ovs_container", Text, ACI),
    left_out("aci_controller_container", Text, ACI),
    left_out("aci_gbp_server_container", Text, ACI),
    left_out("aci_opflex_server_container", Text, ACI),
];

pub(super) const PRIVATE_REGISTRY: &[Key] = &[
    honoured(
        "url",
        Text,
        "`docker.io`",
        "Host of the registry, with port and path if it has them: `registry.example:5000/team`.",
    ),
    honoured("user", Text, "none", "User name, with `password`."),
    honoured("password", Text, "none", "Password, with `user`."),
    honoured(
        "is_default",
        Flag,
        "`false`",
        "Every system image comes from this registry, under its own path: `registry.k8s.io/pause:3.10` as `registry.example:5000/team/pause:3.10`. One registry at most.",
    ),
    ours(
        "mirrors",
        Texts,
        "none",
        "Registries in whose place pods' images are pulled from this one, such as `docker.io`. There is no way back to them: a mirror that lacks an image is an error.",
    ),
    ours("ca_file", Text, "those of the system", "File with the PEM certificates that signed the registry's own."),
    ours(
        "plain_http",
        Flag,
        "`false`",
        "Talk to it without TLS. Passwords and images can then be read and changed on the way.",
    ),
    later(
        "ecr_credential_plugin",
        Section(&[
            part("aws_access_key_id", Text),
            part("aws_secret_access_key", Text),
            part("aws_session_token", Text),
        ]),
        "leave it out, and write a user and a password",
    ),
];

pub(super) const DOWNLOADS: &[Key] = &[
    ours(
        "kubernetes",
        Text,
        "`https://dl.k8s.io/release`",
        "Site of Kubernetes' programs: `<site>/v1.34.1/bin/linux/amd64/kubelet`, and `.sha256` beside it.",
    ),
    ours(
        "cni",
        Text,
        "`https://github.com/containernetworking/plugins/releases/download`",
        "Site of the CNI plugins: `<site>/v1.6.2/cni-plugins-linux-amd64-v1.6.2.tgz`, and `.sha256` beside it.",
    ),
    ours(
        "ca_file",
        Text,
        "those of the system",
        "File with the PEM certificates that signed the sites' own, or a proxy's.",
    ),
    ours(
        "timeout",
        Integer,
        "`30`",
        "Seconds without a single byte after which a site or a registry counts as silent, from 1 to 3600.",
    ),
];

pub(super) const ENGINE_PROXY: &[Key] = &[
    ours("http_proxy", Text, "none", "Proxy through which the hosts' engines pull over HTTP."),
    ours("https_proxy", Text, "none", "Proxy through which the hosts' engines pull over HTTPS."),
    ours("no_proxy", Texts, "none", "Names, addresses and ranges to which they go straight."),
];

//! Canal: flannel between nodes, Calico's network policy.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::DesiredError;
use super::vxlan::{API_PROXY_PORT, arguments, network_configuration, placed};
use crate::base::Digest;
use crate::cluster::{Cluster, NetworkPlugin};
use crate::desired::template::Template;
use crate::release::{AccessRule, CalicoKind, CanalLine, Release};
use crate::state::Object;

const CRDS: Template = Template { name: "canal/crds.yaml", text: include_str!("../../../templates/canal/crds.yaml") };
const ACCESS: Template =
    Template { name: "canal/access.yaml", text: include_str!("../../../templates/canal/access.yaml") };
const CANAL: Template =
    Template { name: "canal/canal.yaml", text: include_str!("../../../templates/canal/canal.yaml") };
/// Felix' own port for probes, on loopback.
const HEALTH_PORT: u16 = 9099;
/// What calico-node is told in every line. Sources: node/pkg/lifecycle/startup and felix/docs/config-params.md in
/// projectcalico/calico.
const ENVIRONMENT: [(&str, &str); 16] = [
    ("DATASTORE_TYPE", "kubernetes"),
    ("WAIT_FOR_DATASTORE", "true"),
    // The node's own proxy: the network must not wait for kube-proxy. It also gets into the plugin's kubeconfig.
    ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
    ("KUBERNETES_SERVICE_PORT", API_PROXY_PORT),
    // Whose token the plugin gets.
    ("CALICO_CNI_SERVICE_ACCOUNT", "calico-cni-plugin"),
    // flannel is the way between nodes, and addresses come from the node's range.
    ("CALICO_NETWORKING_BACKEND", "none"),
    ("USE_POD_CIDR", "true"),
    ("NO_DEFAULT_POOLS", "true"),
    ("CLUSTER_TYPE", "k8s,canal"),
    ("CALICO_DISABLE_FILE_LOGGING", "true"),
    ("FELIX_IPV6SUPPORT", "false"),
    ("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT"),
    ("FELIX_IPTABLESREFRESHINTERVAL", "60"),
    ("FELIX_HEALTHENABLED", "true"),
    ("FELIX_HEALTHHOST", "127.0.0.1"),
    // It would tell Calico's makers about the cluster.
    ("FELIX_USAGEREPORTINGENABLED", "false"),
];

pub(super) fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    let NetworkPlugin::Canal(overlay) = &cluster.network.plugin else { return Ok(Vec::new()) };
    let network_configuration = network_configuration(&cluster.network, overlay);
    let cni_configuration = cni_configuration();
    let digest = Digest::of(format!("{network_configuration}\n{cni_configuration}").as_bytes());
    let values = json!({
        "node_image": release.images.calico_node.0,
        "cni_image": release.images.calico_cni.0,
        "flannel_image": release.images.canal_flannel.0,
        "network_configuration": network_configuration,
        "cni_configuration": cni_configuration,
        "configuration_digest": digest.to_string(),
        "environment": environment(&release.canal),
        "health_port": HEALTH_PORT,
        "arguments": arguments(overlay.interface.as_deref()),
        "api_port": API_PROXY_PORT,
    });
    let mut objects = CRDS.objects(&json!({ "kinds": kinds(&release.canal) }))?;
    objects.extend(ACCESS.objects(&access(&release.canal))?);
    objects.extend(placed(CANAL.objects(&values)?, &overlay.pods));
    Ok(objects)
}

/// By name, as the API keeps them in the order in which they come.
fn environment(line: &CanalLine) -> Value {
    let of_line = line.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: BTreeMap<&str, &str> = ENVIRONMENT.into_iter().chain(of_line).collect();
    all.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn kinds(line: &CanalLine) -> Value {
    line.kinds.iter().map(kind).collect()
}

fn kind(kind: &CalicoKind) -> Value {
    json!({
        "resource": format!("{}.{}", kind.name, kind.group),
        "group": kind.group,
        "version": kind.version,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "kind": kind.kind,
        "list_kind": format!("{}List", kind.kind),
        "plural": kind.name,
        "singular": kind.kind.to_lowercase(),
        "short_names": kind.short_names,
        "approval": kind.approval,
        "status": kind.status,
        "defaults": kind.defaults.iter().map(|(name, value)| default(name, value)).collect::<Vec<_>>(),
    })
}

fn default(name: &str, value: &Value) -> Value {
    let kind = if value.is_string() { "string" } else { "integer" };
    json!({ "name": name, "type": kind, "value": value })
}

/// Kinds with which the same is done stand in one rule.
fn access(line: &CanalLine) -> Value {
    let mut rules: BTreeMap<(&str, &[String]), Vec<&str>> = BTreeMap::new();
    for kind in line.kinds.iter().filter(|kind| !kind.verbs.is_empty()) {
        rules.entry((&kind.group, &kind.verbs)).or_default().push(&kind.name);
    }
    let of_kinds = rules.into_iter().map(|((group, verbs), resources)| rule(group, &resources, verbs));
    let others = line.rules.iter().map(|AccessRule { group, resources, verbs }| rule(group, resources, verbs));
    json!({ "rules": of_kinds.chain(others).collect::<Vec<_>>(), "config_maps": line.config_maps })
}

fn rule(group: &str, resources: &[impl serde::Serialize], verbs: &[String]) -> Value {
    json!({ "group": group, "resources": resources, "verbs": verbs })
}

/// What the runtime reads, once the node's name and the MTU that flannel has found are filled in. Addresses come from the
/// range of the node, whose interfaces are no bridge's ports, so that policy sees every packet.
fn cni_configuration() -> String {
    let configuration = json!({
        "name": "k8s-pod-network",
        "cniVersion": "0.3.1",
        "plugins": [
            {
                "type": "calico",
                "datastore_type": "kubernetes",
                "nodename": "__NODE_NAME__",
                "mtu": "__CNI_MTU__",
                "ipam": { "type": "host-local", "subnet": "usePodCidr" },
                "policy": { "type": "k8s" },
                "kubernetes": { "kubeconfig": "/etc/cni/net.d/calico-kubeconfig" },
                "log_level": "info",
                "log_file_path": "/var/log/calico/cni/cni.log",
            },
            { "type": "portmap", "snat": true, "capabilities": { "portMappings": true } },
            { "type": "bandwidth", "capabilities": { "bandwidth": true } },
        ],
    });
    // The MTU is a number, which a place for one is not.
    format!("{configuration:#}\n").replace("\"__CNI_MTU__\"", "__CNI_MTU__")
}

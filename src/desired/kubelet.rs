//! kubelet: a service of systemd, its program chosen by a link, its files by digest.

use serde_json::{Map, Value, json};

use super::DesiredError;
use super::host::UnitSpec;
use super::input::Site;
use super::kubeconfig::Kubeconfig;
use super::overlay::overlay;
use super::part::{CIPHER_SUITES, PROXY_URL, Part, ROOT, certificate, pair, yaml};
use super::runtime::predicted_cgroup_driver;
use super::template::Template;
use crate::base::KubernetesVersion;
use crate::cluster::{Roles, Taint};
use crate::state::{Component, Content, Owner};

const UNIT: Template =
    Template { name: "kubelet/kubelet.service", text: include_str!("../../templates/kubelet/kubelet.service") };
const SERVICE_ROUTE: &str = include_str!("../../templates/kubelet/service-route.sh");
const UNIT_PATH: &str = "/etc/systemd/system/kubelet.service";
/// A folder a version.
const PROGRAMS: &str = "/opt/provision/kubelet";
const RESOLVED_UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::Kubelet);
    program(site, &mut part)?;
    let mut files = vec![("ca.crt", certificate(&site.bundle.cluster_authority))];
    files.extend(pair(["client.crt", "client.key"], &site.identities.kubelet_client));
    files.extend(pair(["server.crt", "server.key"], &site.identities.kubelet_server));
    let certificates = part.certificates(files);
    let kubeconfig = Kubeconfig {
        path: "/etc/kubernetes/kubelet.conf",
        user: "system:node",
        server: PROXY_URL,
        certificates: &certificates,
    };
    let kubeconfig = kubeconfig.text()?;
    let configuration = configuration(site, &certificates)?;
    let folder = part.sealed(vec![
        ("config.yaml", configuration.clone()),
        ("kubeconfig", kubeconfig.clone()),
        ("service-route.sh", SERVICE_ROUTE.to_owned()),
    ]);
    part.copy("kubelet.conf", Content::Text(kubeconfig));
    part.copy("kubelet-config.yaml", Content::Text(configuration));
    let values = json!({ "program": format!("{PROGRAMS}/current/kubelet"), "arguments": arguments(site, &folder), "service_route": service_route(site, &folder) });
    // 0600: CIS 4.1.1 from Kubernetes 1.24 on.
    part.file(UNIT_PATH, Owner::ROOT, 0o600, Content::Text(UNIT.render(&values)?));
    part.units.push(UnitSpec { name: "kubelet.service".into(), component: Component::Kubelet });
    Ok(part)
}

/// What runs before kubelet, at each boot: a way for the service range where the host has no default route.
fn service_route(site: &Site<'_>, folder: &str) -> String {
    format!("{folder}/service-route.sh {} {}", site.cluster.network.service_cidr, site.node.internal_address)
}

/// Where kubelet's program of a version lies on a host.
pub fn kubelet_path(version: &KubernetesVersion) -> String {
    format!("{PROGRAMS}/{version}/kubelet")
}

fn program(site: &Site<'_>, part: &mut Part) -> Result<(), DesiredError> {
    let version = site.release.version.to_string();
    let pin = site.pins.file("kubelet")?;
    part.directory(PROGRAMS, Owner::ROOT, 0o755);
    part.directory(format!("{PROGRAMS}/{version}"), Owner::ROOT, 0o755);
    let content = Content::Payload { digest: pin.digest.clone(), size: pin.size };
    part.file(kubelet_path(&site.release.version), Owner::ROOT, 0o755, content);
    part.link(format!("{PROGRAMS}/current"), version);
    Ok(())
}

/// What cannot stand in the configuration.
fn arguments(site: &Site<'_>, folder: &str) -> Vec<String> {
    let mut arguments = vec![
        format!("--config={folder}/config.yaml"),
        format!("--kubeconfig={folder}/kubeconfig"),
        format!("--node-ip={}", site.node.internal_address),
    ];
    // CIS 4.2.8 wants it absent, so it is written only where the host has another name than the node.
    if site.facts.hostname != site.node.name.as_str() {
        arguments.push(format!("--hostname-override={}", site.node.name));
    }
    site.release.arguments.kubelet.apply(arguments)
}

fn configuration(site: &Site<'_>, certificates: &str) -> Result<String, DesiredError> {
    let mut wanted = site.release.configuration.kubelet.clone();
    overlay(&mut wanted, &base(site, certificates));
    overlay(&mut wanted, &site.cluster.kubelet_config);
    yaml(&format!("{ROOT}/kubelet-config.yaml"), &wanted)
}

/// CIS 4.2. No `staticPodPath`: whoever can write a file shall not get a privileged pod. No
/// `rotateCertificates`: nobody in the cluster signs; `provision` renews what it has signed.
fn base(site: &Site<'_>, certificates: &str) -> Map<String, Value> {
    let network = &site.cluster.network;
    let mut fields = vec![
        ("kind", json!("KubeletConfiguration")),
        ("address", json!("0.0.0.0")),
        ("authentication", authentication(certificates)),
        ("authorization", json!({ "mode": "Webhook" })),
        ("cgroupDriver", json!(predicted_cgroup_driver(site.facts))),
        ("clusterDNS", json!([network.dns_ip.to_string()])),
        ("clusterDomain", json!(network.domain)),
        ("containerLogMaxFiles", json!(5)),
        ("containerLogMaxSize", json!("50Mi")),
        ("enableDebugFlagsHandler", json!(false)),
        ("enableProfilingHandler", json!(false)),
        ("eventRecordQPS", json!(50)),
        ("failSwapOn", json!(site.cluster.fail_swap_on)),
        ("healthzBindAddress", json!("127.0.0.1")),
        ("healthzPort", json!(10248)),
        ("makeIPTablesUtilChains", json!(true)),
        ("podPidsLimit", json!(4096)),
        ("port", json!(10250)),
        ("protectKernelDefaults", json!(true)),
        ("readOnlyPort", json!(0)),
        ("resolvConf", json!(resolv_conf(site))),
        ("streamingConnectionIdleTimeout", json!("5m0s")),
        ("systemReserved", system_reserved(site.node.roles)),
        ("tlsCertFile", json!(format!("{certificates}/server.crt"))),
        ("tlsCipherSuites", json!(CIPHER_SUITES)),
        ("tlsMinVersion", json!("VersionTLS12")),
        ("tlsPrivateKeyFile", json!(format!("{certificates}/server.key"))),
    ];
    let taints = role_taints(site.node.roles);
    if !taints.is_empty() {
        fields.push(("registerWithTaints", taints.iter().map(taint).collect()));
    }
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn authentication(certificates: &str) -> Value {
    json!({
        "anonymous": { "enabled": false },
        "webhook": { "enabled": true },
        "x509": { "clientCAFile": format!("{certificates}/ca.crt") },
    })
}

fn taint(taint: &Taint) -> Value {
    json!({ "key": taint.key, "value": taint.value, "effect": taint.effect })
}

/// Pods that resolve through the node, CoreDNS first of all, would ask themselves if a loopback server stood there.
fn resolv_conf(site: &Site<'_>) -> &'static str {
    let loopback = |address: &String| address.starts_with("127.") || address == "::1";
    let itself = site.facts.resolvers.iter().any(loopback);
    if itself && !site.facts.upstream_resolvers.is_empty() { RESOLVED_UPSTREAM } else { "/etc/resolv.conf" }
}

/// What the host keeps for what runs outside of pods, by role: millicores and MiB of systemd, Docker, containerd,
/// kubelet and the proxies; of the control plane; of an etcd member.
fn system_reserved(roles: Roles) -> Value {
    let shares = [(true, 100, 256), (roles.control_plane, 200, 768), (roles.etcd, 100, 256)];
    let held = shares.iter().filter(|(held, _, _)| *held);
    let (cpu, memory) = held.fold((0, 0), |sum, (_, cpu, memory)| (sum.0 + cpu, sum.1 + memory));
    json!({ "cpu": format!("{cpu}m"), "memory": format!("{memory}Mi") })
}

/// Taints of nodes that take no workloads, in the words that RKE's users have in their tolerations.
pub(super) fn role_taints(roles: Roles) -> Vec<Taint> {
    if roles.worker {
        return Vec::new();
    }
    let taint = |key: &str, effect: &str| Taint { key: key.into(), value: "true".into(), effect: effect.into() };
    let mut taints = Vec::new();
    if roles.control_plane {
        taints.push(taint("node-role.kubernetes.io/controlplane", "NoSchedule"));
    }
    if roles.etcd {
        taints.push(taint("node-role.kubernetes.io/etcd", "NoExecute"));
    }
    taints
}

//! The controls of level `baseline`.

use serde_json::Value;

use super::control::Control;
use super::pod::{Pod, items, texts};
use crate::base::Minor;
use crate::cluster::PodSecurity;

const EVER: Minor = Minor(0);
const LEVEL: PodSecurity = PodSecurity::Baseline;
/// Capabilities that the common runtimes give by default.
pub(super) const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Settings of the kernel that only the pod feels, and since when they count as such.
const SYSCTLS: [(&str, Minor); 12] = [
    ("kernel.shm_rmid_forced", EVER),
    ("net.ipv4.ip_local_port_range", EVER),
    ("net.ipv4.ip_unprivileged_port_start", EVER),
    ("net.ipv4.ping_group_range", EVER),
    ("net.ipv4.tcp_syncookies", EVER),
    ("net.ipv4.ip_local_reserved_ports", Minor(27)),
    ("net.ipv4.tcp_fin_timeout", Minor(29)),
    ("net.ipv4.tcp_keepalive_intvl", Minor(29)),
    ("net.ipv4.tcp_keepalive_probes", Minor(29)),
    ("net.ipv4.tcp_keepalive_time", Minor(29)),
    ("net.ipv4.tcp_rmem", Minor(32)),
    ("net.ipv4.tcp_wmem", Minor(32)),
];
/// Types of SELinux that confine, and since when they count as such.
const SELINUX_TYPES: [(&str, Minor); 4] =
    [("container_t", EVER), ("container_init_t", EVER), ("container_kvm_t", EVER), ("container_engine_t", Minor(31))];
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) const BASELINE: &[Control] = &[
    Control {
        name: "HostProcess",
        level: LEVEL,
        since: EVER,
        fields: &[
            "spec.securityContext.windowsOptions.hostProcess",
            "spec.*.securityContext.windowsOptions.hostProcess",
        ],
        allowed: "nothing, false",
        check: host_process,
    },
    Control {
        name: "Host Namespaces",
        level: LEVEL,
        since: EVER,
        fields: &["spec.hostNetwork", "spec.hostPID", "spec.hostIPC"],
        allowed: "nothing, false",
        check: host_namespaces,
    },
    Control {
        name: "Privileged Containers",
        level: LEVEL,
        since: EVER,
        fields: &["spec.*.securityContext.privileged"],
        allowed: "nothing, false",
        check: privileged,
    },
    Control {
        name: "Capabilities",
        level: LEVEL,
        since: EVER,
        fields: &["spec.*.securityContext.capabilities.add"],
        allowed: "nothing, AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, \
                  SETGID, SETPCAP, SETUID, SYS_CHROOT",
        check: capabilities,
    },
    Control {
        name: "HostPath Volumes",
        level: LEVEL,
        since: EVER,
        fields: &["spec.volumes[*].hostPath"],
        allowed: "nothing",
        check: host_paths,
    },
    Control {
        name: "Host Ports",
        level: LEVEL,
        since: EVER,
        fields: &["spec.*.ports[*].hostPort"],
        allowed: "nothing, 0",
        check: host_ports,
    },
    Control {
        name: "Host Probes / Lifecycle Hooks",
        level: LEVEL,
        since: Minor(34),
        fields: &[
            "spec.*.livenessProbe.{httpGet,tcpSocket}.host",
            "spec.*.readinessProbe.{httpGet,tcpSocket}.host",
            "spec.*.startupProbe.{httpGet,tcpSocket}.host",
            "spec.*.lifecycle.{postStart,preStop}.{httpGet,tcpSocket}.host",
        ],
        allowed: "nothing, an empty text",
        check: probe_hosts,
    },
    Control {
        name: "AppArmor",
        level: LEVEL,
        since: EVER,
        fields: &[
            "metadata.annotations[\"container.apparmor.security.beta.kubernetes.io/*\"]",
            "spec.securityContext.appArmorProfile.type",
            "spec.*.securityContext.appArmorProfile.type",
        ],
        allowed: "nothing, runtime/default, localhost/*; RuntimeDefault, Localhost",
        check: app_armor,
    },
    Control {
        name: "SELinux",
        level: LEVEL,
        since: EVER,
        fields: &["spec.securityContext.seLinuxOptions", "spec.*.securityContext.seLinuxOptions"],
        allowed: "no user, no role; type: nothing, container_t, container_init_t, container_kvm_t, from 1.31 \
                  container_engine_t",
        check: se_linux,
    },
    Control {
        name: "/proc Mount Type",
        level: LEVEL,
        since: EVER,
        fields: &["spec.*.securityContext.procMount"],
        allowed: "nothing, Default; from 1.35 anything where spec.hostUsers is false",
        check: proc_mount_baseline,
    },
    Control {
        name: "Seccomp",
        level: LEVEL,
        since: Minor(19),
        fields: &["spec.securityContext.seccompProfile.type", "spec.*.securityContext.seccompProfile.type"],
        allowed: "nothing, RuntimeDefault, Localhost",
        check: seccomp,
    },
    Control {
        name: "Sysctls",
        level: LEVEL,
        since: EVER,
        fields: &["spec.securityContext.sysctls[*].name"],
        allowed: "those that only the pod feels: kernel.shm_rmid_forced and some of net.ipv4, more with each minor",
        check: sysctls,
    },
];

fn is_true(context: &Value, pointer: &str) -> bool {
    context.pointer(pointer) == Some(&Value::Bool(true))
}

fn host_process(pod: &Pod<'_>) -> Vec<String> {
    pod.each_context(|context| {
        is_true(context, "/windowsOptions/hostProcess")
            .then(|| "securityContext.windowsOptions.hostProcess is true".to_owned())
    })
}

fn host_namespaces(pod: &Pod<'_>) -> Vec<String> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.spec[*field] == true);
    shared.map(|field| format!("pod: {field} is true")).collect()
}

fn privileged(pod: &Pod<'_>) -> Vec<String> {
    pod.each(|container| {
        is_true(container.security(), "/privileged").then(|| "securityContext.privileged is true".into())
    })
}

fn capabilities(pod: &Pod<'_>) -> Vec<String> {
    pod.each(|container| {
        let added = texts(&container.security()["capabilities"]["add"]).filter(|name| !CAPABILITIES.contains(name));
        let added: Vec<&str> = added.collect();
        (!added.is_empty()).then(|| format!("securityContext.capabilities.add has {}", added.join(", ")))
    })
}

fn host_paths(pod: &Pod<'_>) -> Vec<String> {
    let of_host = items(&pod.spec["volumes"]).iter().filter(|volume| !volume["hostPath"].is_null());
    let path = |volume: &Value| volume["hostPath"]["path"].as_str().unwrap_or_default().to_owned();
    of_host
        .map(|volume| {
            format!("volume {} is the hostPath {}", volume["name"].as_str().unwrap_or_default(), path(volume))
        })
        .collect()
}

fn host_ports(pod: &Pod<'_>) -> Vec<String> {
    pod.each(|container| {
        let ports = items(&container.value["ports"]).iter().filter_map(|port| port["hostPort"].as_i64());
        let ports: Vec<String> = ports.filter(|port| *port != 0).map(|port| port.to_string()).collect();
        (!ports.is_empty()).then(|| format!("hostPort {}", ports.join(", ")))
    })
}

fn probe_hosts(pod: &Pod<'_>) -> Vec<String> {
    const HANDLERS: [&str; 5] =
        ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
    pod.each(|container| {
        let handlers = HANDLERS.iter().filter_map(|handler| container.value.pointer(handler));
        let hosts = handlers.flat_map(|handler| [&handler["httpGet"]["host"], &handler["tcpSocket"]["host"]]);
        let hosts: Vec<&str> = hosts.filter_map(Value::as_str).filter(|host| !host.is_empty()).collect();
        (!hosts.is_empty()).then(|| format!("a probe or lifecycle handler names the host {}", hosts.join(", ")))
    })
}

fn app_armor(pod: &Pod<'_>) -> Vec<String> {
    let is_allowed = |profile: &str| matches!(profile, "" | "runtime/default") || profile.starts_with("localhost/");
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let profiles = annotations.filter_map(|(key, value)| Some((key.strip_prefix(APPARMOR)?, value.as_str()?)));
    let refused = profiles.filter(|(_, profile)| !is_allowed(profile));
    let mut lines: Vec<String> =
        refused.map(|(name, profile)| format!("container {name}: its annotation for AppArmor is {profile}")).collect();
    lines.extend(pod.each_context(|context| other_type(context, "appArmorProfile")));
    lines
}

/// The type of a profile that is neither the runtime's nor one of the node's.
fn other_type(context: &Value, profile: &str) -> Option<String> {
    let kind = context[profile]["type"].as_str()?;
    let allowed = matches!(kind, "RuntimeDefault" | "Localhost");
    (!allowed).then(|| format!("securityContext.{profile}.type is {kind}"))
}

fn se_linux(pod: &Pod<'_>) -> Vec<String> {
    pod.each_context(|context| {
        let options = &context["seLinuxOptions"];
        let set = |field: &str| options[field].as_str().filter(|text| !text.is_empty());
        let known = |kind: &&str| SELINUX_TYPES.iter().any(|(name, since)| name == kind && *since <= pod.minor);
        let mut wrong: Vec<String> =
            ["user", "role"].into_iter().filter_map(|field| Some(format!("{field} {}", set(field)?))).collect();
        wrong.extend(set("type").filter(|kind| !known(kind)).map(|kind| format!("type {kind}")));
        (!wrong.is_empty()).then(|| format!("securityContext.seLinuxOptions has {}", wrong.join(", ")))
    })
}

fn proc_mount_baseline(pod: &Pod<'_>) -> Vec<String> {
    let users_of_its_own = pod.minor >= Minor(35) && pod.spec["hostUsers"] == false;
    if users_of_its_own { Vec::new() } else { proc_mount(pod) }
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Vec<String> {
    pod.each(|container| {
        let kind = container.security()["procMount"].as_str().filter(|kind| *kind != "Default")?;
        Some(format!("securityContext.procMount is {kind}"))
    })
}

fn seccomp(pod: &Pod<'_>) -> Vec<String> {
    pod.each_context(|context| other_type(context, "seccompProfile"))
}

fn sysctls(pod: &Pod<'_>) -> Vec<String> {
    let safe = |name: &&str| SYSCTLS.iter().any(|(known, since)| known == name && *since <= pod.minor);
    let names = items(&pod.security()["sysctls"]).iter().filter_map(|sysctl| sysctl["name"].as_str());
    names.filter(|name| !safe(name)).map(|name| format!("pod: sets the sysctl {name}")).collect()
}

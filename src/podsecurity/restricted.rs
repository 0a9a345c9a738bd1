//! The controls that level `restricted` has besides those of `baseline`.

use serde_json::Value;

use super::baseline::{CAPABILITIES, proc_mount};
use super::control::Control;
use super::pod::{Pod, items, texts};
use crate::base::Minor;
use crate::cluster::PodSecurity;

const LEVEL: PodSecurity = PodSecurity::Restricted;
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// What is said of a container for which no seccomp profile is named.
pub const WITHOUT_SECCOMP: &str = "has no securityContext.seccompProfile, nor has the pod";

pub(super) const RESTRICTED: &[Control] = &[
    Control {
        name: "Volume Types",
        level: LEVEL,
        since: Minor(0),
        fields: &["spec.volumes[*]"],
        allowed: "configMap, csi, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret",
        check: volumes,
    },
    Control {
        name: "Privilege Escalation",
        level: LEVEL,
        since: Minor(8),
        fields: &["spec.*.securityContext.allowPrivilegeEscalation"],
        allowed: "false; anything for Windows from 1.25 on",
        check: escalation,
    },
    Control {
        name: "Running as Non-root",
        level: LEVEL,
        since: Minor(0),
        fields: &["spec.securityContext.runAsNonRoot", "spec.*.securityContext.runAsNonRoot"],
        allowed: "true; nothing in a container where the pod says true",
        check: non_root,
    },
    Control {
        name: "Running as Non-root user",
        level: LEVEL,
        since: Minor(23),
        fields: &["spec.securityContext.runAsUser", "spec.*.securityContext.runAsUser"],
        allowed: "nothing, not 0",
        check: user,
    },
    Control {
        name: "Seccomp",
        level: LEVEL,
        since: Minor(19),
        fields: &["spec.securityContext.seccompProfile.type", "spec.*.securityContext.seccompProfile.type"],
        allowed: "RuntimeDefault, Localhost; nothing in a container where the pod has one; anything for Windows from 1.25 \
                  on",
        check: seccomp,
    },
    Control {
        name: "Capabilities",
        level: LEVEL,
        since: Minor(22),
        fields: &["spec.*.securityContext.capabilities.drop", "spec.*.securityContext.capabilities.add"],
        allowed: "drop has ALL; add: nothing, NET_BIND_SERVICE; anything for Windows from 1.25 on",
        check: capabilities,
    },
    Control {
        name: "/proc Mount Type",
        level: LEVEL,
        since: Minor(0),
        fields: &["spec.*.securityContext.procMount"],
        allowed: "nothing, Default",
        check: proc_mount,
    },
];

/// Folders of the host are found by `baseline`'s control.
fn volumes(pod: &Pod<'_>) -> Vec<String> {
    let line = |volume: &Value| {
        let fields = volume.as_object()?;
        if !volume["hostPath"].is_null() {
            return None;
        }
        if VOLUMES.iter().any(|kind| fields.get(*kind).is_some_and(|value| !value.is_null())) {
            return None;
        }
        let kind = fields.keys().find(|key| *key != "name").map_or("of no kind", String::as_str);
        Some(format!("volume {} is {kind}", volume["name"].as_str().unwrap_or_default()))
    };
    items(&pod.spec["volumes"]).iter().filter_map(line).collect()
}

fn escalation(pod: &Pod<'_>) -> Vec<String> {
    if pod.is_windows() {
        return Vec::new();
    }
    pod.each(|container| {
        let allowed = &container.security()["allowPrivilegeEscalation"];
        (*allowed != false).then(|| "securityContext.allowPrivilegeEscalation is not false".into())
    })
}

fn non_root(pod: &Pod<'_>) -> Vec<String> {
    let own = pod.security()["runAsNonRoot"].as_bool();
    let mut lines = Vec::new();
    if own == Some(false) {
        lines.push("pod: securityContext.runAsNonRoot is false".into());
    }
    lines.extend(pod.each(|container| match container.security()["runAsNonRoot"].as_bool() {
        Some(true) => None,
        Some(false) => Some("securityContext.runAsNonRoot is false".into()),
        None if own.is_some() => None,
        None => Some("securityContext.runAsNonRoot is not true, nor is the pod's".into()),
    }));
    lines
}

fn user(pod: &Pod<'_>) -> Vec<String> {
    pod.each_context(|context| (context["runAsUser"] == 0).then(|| "securityContext.runAsUser is 0".into()))
}

/// Profiles that are set to something else are found by `baseline`'s control.
fn seccomp(pod: &Pod<'_>) -> Vec<String> {
    if pod.is_windows() || pod.security()["seccompProfile"]["type"].is_string() {
        return Vec::new();
    }
    pod.each(|container| {
        let kind = &container.security()["seccompProfile"]["type"];
        (!kind.is_string()).then(|| WITHOUT_SECCOMP.to_owned())
    })
}

/// Others are found by `baseline`'s control.
fn is_only_baseline(name: &&str) -> bool {
    *name != "NET_BIND_SERVICE" && CAPABILITIES.contains(name)
}

fn capabilities(pod: &Pod<'_>) -> Vec<String> {
    if pod.is_windows() {
        return Vec::new();
    }
    let mut lines = pod.each(|container| {
        let drops_all = texts(&container.security()["capabilities"]["drop"]).any(|name| name == "ALL");
        (!drops_all).then(|| "securityContext.capabilities.drop has not ALL".into())
    });
    lines.extend(pod.each(|container| {
        let added: Vec<&str> = texts(&container.security()["capabilities"]["add"]).filter(is_only_baseline).collect();
        (!added.is_empty()).then(|| format!("securityContext.capabilities.add has {}", added.join(", ")))
    }));
    lines
}

//! Our own defaults that a newer minor's row turns round.

use serde::Serialize;
use serde_json::{Value, json};

use super::audit::who;
use super::report::CrossingInput;
use crate::podsecurity::{WITHOUT_SECCOMP, level_of, template_of};
use crate::release::Release;

/// A default that changes with the upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// What is given to the component from now on.
    pub setting: &'static str,
    /// What it means for those who relied on the old one.
    pub meaning: &'static str,
    /// Who that is, one line each; empty where nobody was found.
    pub affected: Vec<String>,
    /// The text of a catalog that keeps the old one, to be given with `--catalog` from then on.
    pub keep: String,
}

/// One row for each default that is known to turn.
struct Row {
    setting: &'static str,
    meaning: &'static str,
    is_set: fn(&Release) -> bool,
    affected: fn(&CrossingInput<'_>) -> Vec<String>,
    /// What keeps the old one, as part of the target's row.
    keep: fn(&Release) -> Value,
}

const TOKENS: &str = "--service-account-extend-token-expiration=false";
const EXTERNAL_IPS: &str = "DenyServiceExternalIPs";

const ROWS: [Row; 3] = [
    Row {
        setting: "kube-apiserver --service-account-extend-token-expiration=false",
        meaning: "tokens of pods are valid for an hour: programs that read theirs only once lose access",
        is_set: |release| release.arguments.kube_apiserver.added.iter().any(|argument| argument == TOKENS),
        affected: stale_tokens,
        keep: |release| {
            let added = without(&release.arguments.kube_apiserver.added, TOKENS);
            json!({ "arguments": { "kube_apiserver": { "added": added } } })
        },
    },
    Row {
        setting: "kube-apiserver admission plugin DenyServiceExternalIPs",
        meaning: "Services get no new spec.externalIPs; those that have some keep them until they are changed",
        is_set: |release| release.admission_plugins.iter().any(|plugin| plugin == EXTERNAL_IPS),
        affected: external_ips,
        keep: |release| json!({ "admission_plugins": without(&release.admission_plugins, EXTERNAL_IPS) }),
    },
    Row {
        setting: "kubelet seccompDefault: true",
        meaning: "containers that name no seccomp profile get the runtime's instead of none",
        is_set: |release| release.configuration.kubelet.get("seccompDefault") == Some(&Value::Bool(true)),
        affected: without_seccomp,
        keep: |_| json!({ "configuration": { "kubelet": { "seccompDefault": false } } }),
    },
];

fn without<'a>(list: &'a [String], item: &str) -> Vec<&'a String> {
    list.iter().filter(|other| *other != item).collect()
}

/// Those that the target's row sets and the current one does not.
pub(super) fn flips(input: &CrossingInput<'_>) -> Vec<Flip> {
    let turned = ROWS.iter().filter(|row| (row.is_set)(input.target) && !(row.is_set)(input.current));
    let flip = |row: &Row| {
        let Row { setting, meaning, affected, keep, .. } = row;
        let keep = json!({ "releases": { (input.target.minor.to_string()): keep(input.target) } }).to_string();
        Flip { setting, meaning, affected: affected(input), keep }
    };
    turned.map(flip).collect()
}

fn stale_tokens(input: &CrossingInput<'_>) -> Vec<String> {
    who(input.control_planes.values().flat_map(|facts| &facts.stale_tokens), input.now)
}

fn external_ips(input: &CrossingInput<'_>) -> Vec<String> {
    let with_some = input.services.iter().filter(|service| {
        service.pointer("/spec/externalIPs").and_then(Value::as_array).is_some_and(|addresses| !addresses.is_empty())
    });
    let mut lines: Vec<String> = with_some.map(|service| format!("Service {}", place(service))).collect();
    lines.sort();
    lines
}

/// Workloads that others made are theirs.
fn without_seccomp(input: &CrossingInput<'_>) -> Vec<String> {
    let made = |object: &&Value| {
        object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|owner| owner["controller"] == true)
    };
    let lacks = |object: &&Value| {
        let Some(template) = template_of(object) else { return false };
        let violations = level_of(template, input.target.minor).violations;
        violations.iter().any(|violation| violation.reason.ends_with(WITHOUT_SECCOMP))
    };
    let objects = input.workloads.iter().filter(|object| !made(object) && lacks(object));
    let mut lines: Vec<String> =
        objects.map(|object| format!("{} {}", object["kind"].as_str().unwrap_or_default(), place(object))).collect();
    lines.sort();
    lines
}

fn place(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

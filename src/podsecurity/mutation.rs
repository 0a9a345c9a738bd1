//! What our PodSecurityPolicies fill in where a pod says nothing (`templates/pod-security/policies.yaml`).

use serde_json::{Map, Value, json};

use super::pod::{CONTAINERS, texts};
use crate::cluster::PodSecurity;

/// A template as its pods are once the policy of a level has filled in what they leave out. What it would refuse is left as
/// it is.
///
/// Source: the admission plugin of Kubernetes 1.24 (`pkg/security/podsecuritypolicy`). The default seccomp profile is an
/// annotation there, which the apiserver makes the pod's field.
pub fn as_mutated(template: &Value, policy: PodSecurity) -> Value {
    let mut pod = template.clone();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return pod };
    if policy != PodSecurity::Privileged {
        change(spec, "securityContext", |security| {
            fill(security, "seccompProfile", || json!({ "type": "RuntimeDefault" }));
        });
    }
    if policy == PodSecurity::Restricted {
        let named = spec["securityContext"].clone();
        let containers = CONTAINERS.iter().filter_map(|place| spec.get(*place).is_some().then_some(*place));
        for place in containers.collect::<Vec<_>>() {
            for container in spec.get_mut(place).and_then(Value::as_array_mut).into_iter().flatten() {
                restrict(container, &named);
            }
        }
    }
    pod
}

/// What the restricted policy fills into a container; `pod` is what the pod says for all of them.
fn restrict(container: &mut Value, pod: &Value) {
    let Some(container) = container.as_object_mut() else { return };
    change(container, "securityContext", |security| {
        fill(security, "allowPrivilegeEscalation", || Value::Bool(false));
        let says = |field: &str| security.get(field).is_some_and(|value| !value.is_null()) || !pod[field].is_null();
        // A pod that names its user is believed, and gets no `runAsNonRoot`: that is where Pod Security admission wants more.
        if !says("runAsNonRoot") && !says("runAsUser") {
            fill(security, "runAsNonRoot", || Value::Bool(true));
        }
        change(security, "capabilities", drop_all);
    });
}

fn drop_all(capabilities: &mut Map<String, Value>) {
    let dropped = capabilities.get("drop").unwrap_or(&Value::Null);
    if !texts(dropped).any(|name| name == "ALL") {
        let mut names: Vec<Value> = dropped.as_array().cloned().unwrap_or_default();
        names.push("ALL".into());
        capabilities.insert("drop".into(), Value::Array(names));
    }
}

/// Changes the map at a key, which is made where there is none.
fn change(parent: &mut Map<String, Value>, key: &str, act: impl FnOnce(&mut Map<String, Value>)) {
    let mut map = match parent.get_mut(key).map(Value::take) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    act(&mut map);
    parent.insert(key.to_owned(), Value::Object(map));
}

fn fill(map: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.to_owned(), value());
    }
}

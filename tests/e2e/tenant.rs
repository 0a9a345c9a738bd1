//! A cluster as those see it who only run workloads in it.

use serde_json::{Value, json};

use crate::harness::{AGNHOST, Kubectl, Lab, SECOND, V1_34, until};

#[test]
fn an_ordinary_identity_runs_restricted_workloads_and_no_others() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    lab.load_workload_image();
    let operator = Kubectl::operator(&lab);
    let tenant = operator.tenant("tenant");
    restricted_deployment_runs(&tenant);
    privileged_pod_is_refused(&lab, &tenant, "PodSecurity");

    tenant.apply(&deployment("plain", json!({}), json!({}), AGNHOST)).succeeded();
    until("an event that tells the refusal", 60 * SECOND, || {
        let events = tenant.run(&["get", "events", "--field-selector", "reason=FailedCreate"]).result()?;
        let is_readable = events.has("ReplicaSet/plain") || events.has("replicaset/plain");
        let why = ["violates PodSecurity \"restricted", "allowPrivilegeEscalation", "runAsNonRoot"];
        if is_readable && why.iter().all(|text| events.has(text)) { Ok(()) } else { Err(events.to_string()) }
    });
    let pods = tenant.json(&["get", "pods", "-l", "app=plain"]);
    assert_eq!(pods["items"], json!([]), "a pod without the restricted settings was made");
    tenant.run(&["get", "secrets", "-n", "kube-system"]).failed().says("Forbidden");
}

#[test]
fn a_secret_read_straight_from_etcd_is_not_readable() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    let operator = Kubectl::operator(&lab);
    let text = "a-text-that-nobody-may-find";
    operator.run(&["create", "secret", "generic", "hidden", &format!("--from-literal=key={text}")]).succeeded();
    operator.run(&["create", "configmap", "open", &format!("--from-literal=key={text}")]).succeeded();

    // The same way of reading finds the text where it is not encrypted.
    assert!(etcd_value(&lab, "/registry/configmaps/default/open").contains(text));
    let stored = etcd_value(&lab, "/registry/secrets/default/hidden");
    assert!(stored.starts_with("k8s:enc:"), "stored as {stored:?}");
    assert!(!stored.contains(text), "stored as {stored:?}");
    let list = operator.json(&["get", "secret", "hidden"]);
    assert!(list["data"]["key"].is_string(), "the API still reads it: {list}");
}

/// A key's value as etcd has it on its disk.
fn etcd_value(lab: &Lab, key: &str) -> String {
    lab.etcdctl("h1", &format!("get '{key}' --print-value-only")).succeeded().stdout
}

/// A Deployment whose pods declare what `restricted` asks for runs.
pub fn restricted_deployment_runs(tenant: &Kubectl) {
    let pod = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    let container = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    tenant.apply(&deployment("restricted", pod, container, AGNHOST)).succeeded();
    tenant.await_pods("tenant", "app=restricted", 1);
}

/// A privileged pod is refused with a reason, and the audit log tells who asked for it.
pub fn privileged_pod_is_refused(lab: &Lab, tenant: &Kubectl, policy: &str) {
    let mut pod = deployment("privileged", json!({}), json!({"privileged": true}), AGNHOST)["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("privileged");
    pod["metadata"]["namespace"] = json!("tenant");
    tenant.apply(&pod).failed().says("orbidden").says("rivileged");
    until("the refusal in the audit log", 30 * SECOND, || {
        let records = lab.script("h1", "cat /var/log/kube-audit/audit.log");
        let of_ours = |record: &Value| {
            record["user"]["username"] == "system:serviceaccount:tenant:dev"
                && record["verb"] == "create"
                && record["objectRef"]["resource"] == "pods"
                && record["responseStatus"]["code"] == 403
        };
        let found = records.lines().filter_map(|line| serde_json::from_str(line).ok()).find(of_ours);
        let message = found.map(|record| record["responseStatus"]["message"].to_string());
        message
            .filter(|text| text.contains(policy))
            .ok_or_else(|| format!("none with {policy} in {} bytes", records.len()))
    });
}

/// One replica in namespace `tenant` with these security settings of pod and container.
pub fn deployment(name: &str, pod: Value, container: Value, image: &str) -> Value {
    let mut container =
        json!({"name": "main", "image": image, "imagePullPolicy": "Never", "securityContext": container});
    if image == AGNHOST {
        container["args"] = json!(["pause"]);
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "tenant"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"securityContext": pod, "terminationGracePeriodSeconds": 0, "containers": [container]},
            },
        },
    })
}

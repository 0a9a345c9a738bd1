//! An upgrade that was used, and is taken back.

use serde_json::json;

use crate::harness::{Kubectl, Lab, V1_24, V1_25};

/// The name in "... goes back with snapshot NAME; ...".
#[track_caller]
fn offered(text: &str) -> String {
    let (_, rest) = text.split_once("goes back with snapshot ").unwrap_or_else(|| panic!("no snapshot in {text}"));
    rest.split(';').next().unwrap_or_default().to_owned()
}

#[test]
#[ignore = "four minutes; its halves, an upgrade of one node and a restored snapshot, are cases of their own"]
fn what_the_older_version_would_misread_goes_back_with_the_snapshot_alone() {
    let lab = Lab::prepared("1", V1_24);
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1"]);
    kubectl.run(&["create", "configmap", "kept", "--from-literal=a=b"]).succeeded();
    lab.edit_config(V1_24, V1_25);
    let tool = lab.tool().with_bundle(&lab.bundle(V1_25));
    tool.up().succeeded();
    kubectl.run(&["delete", "configmap", "kept"]).succeeded();
    kubectl.run(&["create", "configmap", "later", "--from-literal=a=b"]).succeeded();
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}});
    let report = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report", "namespace": "default"},
        "spec": {
            "schedule": "0 6 * * *", "timeZone": "Europe/Berlin", "suspend": true,
            "jobTemplate": {"spec": {"template": template}},
        },
    });
    kubectl.apply(&report).succeeded();

    // etcd tells it while no apiserver answers, too.
    lab.script("h1", "docker stop kube-apiserver");
    let refused = tool.run(&["rollback", "--yes"]).expect(4);
    lab.script("h1", "docker start kube-apiserver");
    for text in ["back to Kubernetes 1.24: CronJob spec.timeZone", "default/report", "--restore-snapshot"] {
        assert!(refused.has(text), "{text:?} is not in {refused}");
    }
    let name = offered(&refused.to_string());
    kubectl.await_nodes(&["h1"]);
    tool.run(&["rollback", "--restore-snapshot"]).expect(4).says(&format!("--accept-loss-since {name}"));
    tool.run(&["rollback", "--restore-snapshot", "--accept-loss-since", "other"]).expect(4).says("would be restored");
    assert!(kubectl.run(&["version", "-o", "json"]).has(&format!("\"gitVersion\": \"{V1_25}\"")));

    tool.run(&["rollback", "--restore-snapshot", "--accept-loss-since", &name])
        .succeeded()
        .says("is back at generation");
    kubectl.await_nodes(&["h1"]);
    assert!(kubectl.run(&["version", "-o", "json"]).has(&format!("\"gitVersion\": \"{V1_24}\"")));
    assert_eq!(kubectl.json(&["get", "node", "h1"])["status"]["nodeInfo"]["kubeletVersion"], V1_24);
    kubectl.run(&["get", "configmap", "kept"]).succeeded();
    kubectl.run(&["get", "configmap", "later"]).failed().says("NotFound");
    kubectl.run(&["get", "cronjob", "report"]).failed().says("NotFound");
    let namespace = kubectl.json(&["get", "namespace", "default"]);
    assert!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].is_null(), "{namespace}");
    let images = lab.script("h1", "docker ps -a --format '{{.Names}} {{.Image}} {{.State}}'");
    assert!(images.lines().all(|line| line.ends_with(" running") && !line.contains(V1_25)), "{images}");
    lab.edit_config(V1_25, V1_24);
    tool.finds_nothing_to_do();
}

//! Kubernetes 1.24, the last with PodSecurityPolicy.

use serde_json::json;

use crate::harness::{Kubectl, Lab, Picture, V1_24};
use crate::tenant::{deployment, privileged_pod_is_refused, restricted_deployment_runs};

#[test]
fn kubernetes_1_24_runs_and_its_policy_fills_in_what_a_pod_leaves_out() {
    let lab = Lab::prepared("1", V1_24);
    lab.tool().up().succeeded();
    lab.load_workload_image();
    let operator = Kubectl::operator(&lab);
    operator.await_nodes(&["h1"]);
    operator.await_pods("kube-system", "k8s-app=kube-dns", 1);
    let before = Picture::of_host(&lab, "h1").and(Picture::of_objects(&operator));
    lab.tool().finds_nothing_to_do();
    Picture::of_host(&lab, "h1").and(Picture::of_objects(&operator)).is_as(&before);

    let tenant = operator.tenant("tenant");
    restricted_deployment_runs(&tenant);
    privileged_pod_is_refused(&lab, &tenant, "PodSecurityPolicy");

    // The sandbox image has a numeric user, and every host has it.
    tenant.apply(&deployment("plain", json!({}), json!({}), "registry.k8s.io/pause:3.7")).succeeded();
    let pods = tenant.await_pods("tenant", "app=plain", 1);
    let container = &pods[0]["spec"]["containers"][0]["securityContext"];
    assert_eq!(container["allowPrivilegeEscalation"], false, "{container}");
    assert_eq!(container["capabilities"]["drop"], json!(["ALL"]), "{container}");
    assert_eq!(container["runAsNonRoot"], true, "{container}");
    let policy = &pods[0]["metadata"]["annotations"]["kubernetes.io/psp"];
    assert!(policy.as_str().is_some_and(|name| name.contains("restricted")), "{policy}");
}

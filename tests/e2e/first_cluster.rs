//! One node from nothing.

use crate::harness::{Kubectl, Lab, Picture, SECOND, V1_34, prepared, until};

#[test]
fn an_empty_host_becomes_a_ready_node_and_a_second_up_changes_nothing_at_all() {
    let lab = Lab::empty("1", V1_34);
    let tool = lab.tool();
    nothing_happens_without_consent(&lab);

    tool.up().succeeded().says("Pod security is `restricted`");
    let kubectl = Kubectl::operator(&lab);
    let coredns = kubectl.json(&["-n", "kube-system", "get", "deployment", "coredns"]);
    let mut conditions = coredns["status"]["conditions"].as_array().into_iter().flatten();
    let was_whole = conditions.any(|one| one["type"] == "Progressing" && one["reason"] == "NewReplicaSetAvailable");
    assert!(was_whole, "up ended before CoreDNS was ready: {coredns}");
    kubectl.await_nodes(&["h1"]);
    kubectl.await_pods("kube-system", "k8s-app=kube-dns", 1);
    let groups = kubectl.json(&["auth", "whoami"])["status"]["userInfo"]["groups"].to_string();
    assert!(!groups.contains("system:masters"), "the operator's kubeconfig is in {groups}");

    // A run that waits once more is written down.
    until("an empty plan", 120 * SECOND, || tool.plans_nothing());
    let before = Picture::of_host(&lab, "h1").and(Picture::of_objects(&kubectl)).and(Picture::of_state(&lab.state()));
    tool.finds_nothing_to_do();
    tool.plan().expect(0).says("Nothing to do.");
    tool.run(&["status"]).expect(0).says("h1");
    let after = Picture::of_host(&lab, "h1").and(Picture::of_objects(&kubectl)).and(Picture::of_state(&lab.state()));
    after.is_as(&before);

    // Scenarios that come later start from this host.
    prepared::keep(&lab);
}

/// Without `--yes` and without a terminal there is nobody to ask: the plan is shown and nothing is done.
fn nothing_happens_without_consent(lab: &Lab) {
    let before = Picture::of_host(lab, "h1");
    lab.tool()
        .plan()
        .expect(2)
        .says("docker.io")
        .says("/etc/kubernetes")
        .says("container etcd")
        .says("node to register");
    lab.tool().run(&["up"]).expect(4).says("start container kube-apiserver").says("--yes");
    Picture::of_host(lab, "h1").is_as(&before);
    assert!(!lab.state().join("keys").exists(), "a run that nobody agreed to made keys");
}

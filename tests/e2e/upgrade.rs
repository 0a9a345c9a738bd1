//! A cluster that becomes another version, and what runs on its hosts afterwards.

use serde_json::{Value, json};

use crate::harness::{Jobs, Kubectl, Lab, Picture, SECOND, V1_24, V1_25, until};
use crate::tenant::deployment;

/// Seconds of work of Jobs whose pods go with the others, and of one whose pod is waited for.
const JOBS: [u32; 2] = [15, 180];
const KEPT: [u32; 1] = [40];

#[test]
#[ignore = "eight minutes; `upgrade_served` upgrades four nodes and takes it back, and `heal` reboots"]
fn one_node_becomes_the_next_minor_stays_it_after_a_reboot_and_goes_back() {
    let lab = Lab::prepared("1", V1_24);
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    lab.edit_config(V1_24, V1_25);
    let tool = lab.tool().with_bundle(&lab.bundle(V1_25));
    tool.plan().expect(2).says("replace container kube-apiserver").says("drain h1").says("replace kubelet.service");
    kubectl.await_nodes(&["h1"]);
    let tenant = kubectl.tenant("tenant");
    tenant.apply(&deployment("plain", json!({}), json!({}), "registry.k8s.io/pause:3.7")).succeeded();
    tenant.await_pods("tenant", "app=plain", 1);
    let jobs = Jobs::begin(&lab, &kubectl, "there", &JOBS, &KEPT);
    tool.up().succeeded();
    runs_only(&lab, &kubectl, &["h1"], V1_25);
    tool.run(&["diff", "1", "2"]).succeeded().says(V1_24).says(V1_25);
    // It lives on what PodSecurityPolicy has filled in: its namespace has a level that lets its pods be made anew.
    assert_eq!(level(&kubectl), "baseline");
    tenant.run(&["rollout", "restart", "deployment/plain"]).succeeded();
    until("its new pod", 90 * SECOND, || {
        tenant.run(&["rollout", "status", "deployment/plain", "--timeout=5s"]).result()
    });
    tool.finds_nothing_to_do();
    // Their node was emptied while some were at work.
    assert!(jobs.have_ended_once(120 * SECOND) > 0);

    lab.command(&["reboot", "h1"]).succeeded();
    until("an empty plan after the reboot", 120 * SECOND, || tool.plans_nothing());
    kubectl.await_nodes(&["h1"]);
    runs_only(&lab, &kubectl, &["h1"], V1_25);

    let jobs = Jobs::begin(&lab, &kubectl, "back", &JOBS, &KEPT);
    tool.run(&["rollback", "--yes"]).succeeded().says("back at generation 0001");
    runs_only(&lab, &kubectl, &["h1"], V1_24);
    assert!(jobs.have_ended_once(120 * SECOND) > 0);
    assert!(level(&kubectl).is_null(), "what was labelled on the way there has its label still");
    lab.edit_config(V1_25, V1_24);
    tool.finds_nothing_to_do();
}

/// What Pod Security admission enforces in the tenant's namespace.
fn level(kubectl: &Kubectl) -> Value {
    kubectl.json(&["get", "namespace", "tenant"])["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].clone()
}

#[test]
#[ignore = "three minutes; a rollback is tried against fakes wherever an upgrade has ended and without an API"]
fn a_half_done_upgrade_is_taken_back_while_its_api_is_down() {
    let lab = Lab::prepared("1", V1_24);
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1"]);
    lab.edit_config(V1_24, V1_25);
    let tool = lab.tool().with_bundle(&lab.bundle(V1_25));
    let mut running = tool.start_up();
    running.read_until(&["\"step-started\"", "h1/unit/kubelet.service\""]);
    running.kill();
    let ended = "[ -z \"$(find /var/lib/provision/swap -name intent)\" ]";
    until("the host has ended what was begun", 120 * SECOND, || lab.try_script("h1", ended).result());
    lab.script("h1", "docker stop kube-apiserver");
    tool.run(&["rollback", "--yes"]).succeeded().says("back at generation 0001");
    kubectl.await_nodes(&["h1"]);
    runs_only(&lab, &kubectl, &["h1"], V1_24);
    lab.command(&["reboot", "h1"]).succeeded();
    until("the API after the reboot", 120 * SECOND, || kubectl.run(&["get", "nodes"]).result());
    kubectl.await_nodes(&["h1"]);
    runs_only(&lab, &kubectl, &["h1"], V1_24);
    lab.edit_config(V1_25, V1_24);
    until("an empty plan after the reboot", 120 * SECOND, || tool.plans_nothing());
    tool.finds_nothing_to_do();
}

/// Containers, kubelet, the records and the API all say this version, nothing is left of another, and no node is cordoned.
#[track_caller]
pub fn runs_only(lab: &Lab, kubectl: &Kubectl, hosts: &[&str], version: &str) {
    let number = version.trim_start_matches('v');
    for host in hosts {
        let runs = |line: &str| line.ends_with(" running");
        // One of these that had no API for some seconds has ended, and is started again by Docker.
        let has_lease = |line: &str| Picture::has_lease(line.split(' ').next().unwrap_or_default());
        let images = until(&format!("the components with a lease on {host}"), 60 * SECOND, || {
            let list = "docker ps -a --format '{{.Names}} {{.Image}} {{.State}}' | sort";
            let images = lab.try_script(host, list).result()?.stdout;
            if images.lines().all(|line| runs(line) || !has_lease(line)) { Ok(images) } else { Err(images) }
        });
        let kubernetes = images.lines().filter(|line| line.contains("/kube-"));
        for line in kubernetes {
            assert!(line.contains(&format!(":{version} running")), "{images}");
        }
        assert!(!images.contains(".next") && images.lines().all(runs), "{images}");
        assert!(lab.script(host, "/opt/provision/kubelet/current/kubelet --version").contains(number));
        assert!(lab.script(host, "cat /etc/kubernetes/manifests/kube-proxy.yaml").contains(version));
        assert_eq!(lab.script(host, "find /var/lib/provision/swap -name intent").trim(), "", "{host}");
        let node = kubectl.json(&["get", "node", host]);
        assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], version);
        assert!(node["spec"]["unschedulable"].is_null(), "{node}");
    }
    assert!(kubectl.run(&["version", "-o", "json"]).has(&format!("\"gitVersion\": \"{version}\"")));
}

//! An upgrade and the way back, under requests that never stop.

use crate::harness::probes::{self, Counted, Probes, Target};
use crate::harness::{Kubectl, Lab, Ran, SECOND, V1_24, V1_25, until};
use crate::upgrade::runs_only;

const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];
const TARGETS: [Target; 3] = [Target::Proxy, Target::Account, Target::Workload];

#[test]
fn api_and_workload_answer_every_request_while_four_nodes_are_upgraded_and_rolled_back() {
    let lab = Lab::prepared("3+1", V1_24);
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&HOSTS);
    probes::prepare(&kubectl);
    let tool = lab.tool().with_bundle(&lab.bundle(V1_25));

    lab.edit_config(V1_24, V1_25);
    let there = under_probes(&lab, &kubectl, || tool.up());
    runs_only(&lab, &kubectl, &HOSTS, V1_25);
    tool.finds_nothing_to_do();
    let back = under_probes(&lab, &kubectl, || tool.run(&["rollback", "--yes"]));
    runs_only(&lab, &kubectl, &HOSTS, V1_24);
    there.iter().chain(&back).for_each(Counted::is_served);

    the_same_probes_see_what_is_stopped_by_hand(&lab, &kubectl);
}

/// What probers on the worker count while something runs to its end, which must be a good one.
fn under_probes(lab: &Lab, kubectl: &Kubectl, run: impl FnOnce() -> Ran) -> Vec<Counted> {
    let probes = Probes::start(lab, kubectl, "h4", &TARGETS);
    let ran = run();
    let counted = probes.stop();
    // What a failed request is compared with.
    println!("{}", kubectl.run(&["-n", "probe", "get", "events", "--sort-by=.lastTimestamp"]).stdout);
    ran.succeeded();
    counted
}

/// An apiserver that ends at once, a proxy without another beside it, a Service without pods: each is counted.
fn the_same_probes_see_what_is_stopped_by_hand(lab: &Lab, kubectl: &Kubectl) {
    let probes = Probes::start(lab, kubectl, "h4", &TARGETS);
    // Not the one that kubectl asks; and killed: one that is told to end, if only for a moment, may have left its Service
    // by then.
    lab.script("h2", "docker kill kube-apiserver");
    // For twenty requests: a restart may be over between two.
    lab.script("h4", "docker stop -t 0 api-proxy && sleep 1 && docker start api-proxy");
    // Pods that are only deleted, however hard, may serve on until others are ready.
    let scaled = |replicas: &str| {
        kubectl.run(&["-n", "probe", "scale", "deployment/web", replicas]).succeeded();
    };
    scaled("--replicas=0");
    // That apiserver's controller-manager may have been the one that leads.
    until("the workload without pods", 240 * SECOND, || {
        let pods = kubectl.run(&["-n", "probe", "get", "pods", "-l", "app=web", "-o", "name"]).result()?;
        if pods.text().is_empty() { Ok(()) } else { Err(pods.stdout) }
    });
    scaled("--replicas=3");
    kubectl.await_pods("probe", "app=web", 3);
    // A kept connection may be one to another apiserver.
    for counted in probes.stop().iter().filter(|counted| !counted.kept) {
        assert!(counted.failed > 0, "something should have failed: {counted:?}");
    }
}

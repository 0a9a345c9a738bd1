//! What is told of an upgrade before it happens, and of a run after it.

use serde_json::{Value, json};

use crate::harness::{Kubectl, Lab, V1_24, V1_25};
use crate::tenant::deployment;

#[test]
#[ignore = "what the report says is tried from made answers beside the code"]
fn the_plan_of_an_upgrade_names_what_goes_and_history_tells_what_was_done() {
    let lab = Lab::prepared("1", V1_24);
    let tool = lab.tool();
    tool.up().succeeded();
    let operator = Kubectl::operator(&lab);
    operator.await_nodes(&["h1"]);
    let tenant = operator.tenant("tenant");
    tenant.apply(&deployment("plain", json!({}), json!({}), "registry.k8s.io/pause:3.7")).succeeded();
    tenant.await_pods("tenant", "app=plain", 1);
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "open", "namespace": "tenant" },
        "spec": { "ports": [{ "port": 80 }], "externalIPs": ["192.0.2.1"] },
    });
    operator.apply(&service).succeeded();
    operator.run(&["get", "podsecuritypolicies"]).succeeded();

    lab.edit_config(V1_24, V1_25);
    let plan = tool.clone().with_bundle(&lab.bundle(V1_25)).plan();
    for text in [
        "no longer served: policy/v1beta1 PodSecurityPolicy; nothing takes its place",
        "asked for on h1 since it started (",
        "by provision:admin (kubectl",
        "Service tenant/open",
        "namespace tenant gets the level `baseline`",
        "Deployment plain: `restricted` would refuse it, it passes `baseline`",
        "(PodSecurityPolicy fills it in; new pods will run without)",
    ] {
        assert!(plan.has(text), "{text:?} is not in {plan}");
    }
    assert!(!plan.has("not known:"), "{plan}");
    lab.edit_config(V1_25, V1_24);
    tool.finds_nothing_to_do();

    let history: Value = serde_json::from_str(&tool.run(&["history", "--json"]).succeeded().stdout).expect("JSON");
    assert_eq!(history["generations"][0]["state"], "current", "{history}");
    assert_eq!(history["generations"][0]["kubernetes"], V1_24, "{history}");
    assert_eq!(history["runs"][0]["outcome"], "done", "{history}");
    let run = history["runs"][0]["run"].as_str().expect("a run's name");
    tool.run(&["log", run]).succeeded().says("h1       start container etcd").says("the run ended: all is done");
    tool.run(&["diff", "1", "1"]).succeeded().says("Generations 0001 and 0001 are equal.");
    tool.run(&["diff", "1", "7"]).expect(3).says("there is no generation 0007; nearest: 0001");
}

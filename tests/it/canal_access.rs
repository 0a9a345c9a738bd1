//! Canal's roles against what its programs ask the API for.

use provision::cluster::{NetworkPlugin, Overlay, PodSecurity};
use provision::desired::objects;
use provision::release::Catalog;
use provision::state::Object;
use serde_json::{Value, json};

use crate::canal_calls::{Call, calls};
use crate::objects::cluster;

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The rules that an account has in a namespace; an empty one asks for what it has in the whole cluster.
fn rules<'a>(objects: &'a [Object], call: &Call) -> Vec<&'a Value> {
    let account = json!({ "kind": "ServiceAccount", "name": call.account, "namespace": "kube-system" });
    let binds = |object: &&Object| list(&object.body["subjects"]).contains(&account);
    let counts = |object: &&Object| match object.key.kind.as_str() {
        "ClusterRoleBinding" => true,
        "RoleBinding" => object.key.namespace == call.namespace,
        _ => false,
    };
    let role = |binding: &Object| {
        let (kind, name) = (&binding.body["roleRef"]["kind"], &binding.body["roleRef"]["name"]);
        let is_it = |object: &&Object| {
            *kind == object.key.kind
                && *name == object.key.name
                && (object.key.namespace.is_empty() || object.key.namespace == binding.key.namespace)
        };
        objects.iter().find(is_it).unwrap_or_else(|| panic!("{} binds no role", binding.key))
    };
    let bindings = objects.iter().filter(counts).filter(binds);
    bindings.flat_map(|binding| list(&role(binding).body["rules"])).collect()
}

fn allows(rule: &Value, call: &Call) -> bool {
    let resource = match call.subresource.as_str() {
        "" => call.resource.clone(),
        subresource => format!("{}/{subresource}", call.resource),
    };
    let names = list(&rule["resourceNames"]);
    list(&rule["apiGroups"]).contains(&json!(call.group))
        && list(&rule["resources"]).contains(&json!(resource))
        && list(&rule["verbs"]).contains(&json!(call.verb))
        && (names.is_empty() || names.contains(&json!(call.name)))
}

#[test]
fn canals_roles_allow_what_its_programs_ask_for_and_not_what_they_must_not_get() {
    for version in ["v1.24.17", "v1.34.1"] {
        let canal = NetworkPlugin::Canal(Overlay::default());
        let cluster = cluster(version, 1, canal, PodSecurity::Restricted);
        let release = Catalog::shipped().unwrap().release(&cluster.version).unwrap();
        let objects = objects(&cluster, &release).unwrap();
        let calls = calls(&release.images.calico_node.0);
        assert!(calls.len() > 50);
        for (call, allowed) in calls {
            let is_allowed = rules(&objects, &call).into_iter().any(|rule| allows(rule, &call));
            assert_eq!(is_allowed, allowed, "{version}: {call}");
        }
    }
}

/// A right that no call needs is one too many.
#[test]
fn canals_roles_allow_nothing_that_no_program_asks_for() {
    // What comes with a read: a get of a kind that is listed and watched.
    const WITH_READS: &str = "get";
    for version in ["v1.24.17", "v1.34.1"] {
        let canal = NetworkPlugin::Canal(Overlay::default());
        let cluster = cluster(version, 1, canal, PodSecurity::Restricted);
        let release = Catalog::shipped().unwrap().release(&cluster.version).unwrap();
        let calls = calls(&release.images.calico_node.0);
        for role in objects(&cluster, &release).unwrap().iter().filter(|object| {
            matches!(object.key.kind.as_str(), "ClusterRole" | "Role")
                && object.body["metadata"]["labels"]["k8s-app"] == "canal"
        }) {
            for rule in list(&role.body["rules"]) {
                for (resource, verb) in pairs(rule) {
                    let single = json!({
                        "apiGroups": rule["apiGroups"], "resources": [resource], "verbs": [verb],
                        "resourceNames": rule["resourceNames"],
                    });
                    let asked = calls.iter().any(|(call, allowed)| *allowed && allows(&single, call));
                    assert!(asked || *verb == json!(WITH_READS), "{version}: {} has {verb} of {resource}", role.key);
                }
            }
        }
    }
}

fn pairs(rule: &Value) -> Vec<(&Value, &Value)> {
    let verbs = list(&rule["verbs"]);
    list(&rule["resources"]).iter().flat_map(|resource| verbs.iter().map(move |verb| (resource, verb))).collect()
}

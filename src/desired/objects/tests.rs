//! Rules that hold for every object of ours, whatever the cluster looks like.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::base::KubernetesVersion;
use crate::cluster::{NetworkPlugin, Node, Overlay, Placement, PluginPods, PodSecurity, Roles, Taint, fixture};
use crate::release::Catalog;

#[path = "canal_tests.rs"]
mod canal;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::shipped().unwrap());

fn node(number: u8) -> Node {
    fixture::node(number, Roles { control_plane: number == 1, etcd: number == 1, worker: true })
}

fn cluster(version: &str, nodes: u8) -> Cluster {
    let flannel = NetworkPlugin::Flannel(Overlay::default());
    let version = KubernetesVersion::parse(version).unwrap();
    Cluster { version, ..fixture::cluster((1..=nodes).map(node).collect(), flannel) }
}

fn made(cluster: &Cluster) -> Vec<Object> {
    objects(cluster, &CATALOG.release(&cluster.version).unwrap()).unwrap()
}

/// Every mechanism, plugin, level and number of replicas.
fn clusters() -> Vec<Cluster> {
    let mut clusters = Vec::new();
    for version in ["v1.24.17", "v1.34.1"] {
        for nodes in [1, 3] {
            for pod_security in [PodSecurity::Restricted, PodSecurity::Baseline, PodSecurity::Privileged] {
                let flannel = Cluster { pod_security, ..cluster(version, nodes) };
                let with = |plugin: NetworkPlugin| {
                    let mut cluster = flannel.clone();
                    cluster.network.plugin = plugin;
                    cluster
                };
                let canal = with(NetworkPlugin::Canal(Overlay::default()));
                clusters.extend([with(NetworkPlugin::None), canal, flannel]);
            }
        }
    }
    clusters
}

fn find<'a>(objects: &'a [Object], kind: &str, name: &str) -> &'a Value {
    let is_it = |object: &&Object| object.key.kind == kind && object.key.name == name;
    &objects.iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}")).body
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_workload(object: &&Object) -> bool {
    object.body["spec"]["template"].is_object()
}

#[test]
fn nothing_is_named_twice_and_everything_is_marked() {
    for cluster in clusters() {
        let objects = made(&cluster);
        let keys: BTreeSet<_> = objects.iter().map(|object| object.key.clone()).collect();
        assert_eq!(keys.len(), objects.len());
        for object in &objects {
            assert_eq!(object.body["metadata"]["labels"][MANAGED_BY.0], MANAGED_BY.1, "{}", object.key);
        }
    }
}

#[test]
fn keys_are_those_of_the_objects_and_equal_input_gives_equal_objects() {
    for cluster in clusters() {
        let release = CATALOG.release(&cluster.version).unwrap();
        let objects = made(&cluster);
        let keys: Vec<_> = objects.iter().map(|object| object.key.clone()).collect();
        assert_eq!(object_keys(&cluster, &release).unwrap(), keys);
        let again = made(&cluster);
        let texts = |objects: &[Object]| objects.iter().map(|object| object.body.to_string()).collect::<Vec<_>>();
        assert_eq!(texts(&objects), texts(&again));
    }
}

#[test]
fn workloads_come_after_all_that_they_need() {
    for cluster in clusters() {
        let objects = made(&cluster);
        for (position, object) in objects.iter().enumerate().filter(|(_, object)| is_workload(object)) {
            let pod = &object.body["spec"]["template"]["spec"];
            let before = |kind: &str, name: &str| {
                let is_it = |object: &Object| {
                    object.key.kind == kind && object.key.name == name && object.key.namespace == SYSTEM_NAMESPACE
                };
                assert!(objects[..position].iter().any(is_it), "{}: {kind} {name}", object.key);
            };
            before("ServiceAccount", text(&pod["serviceAccountName"]));
            for volume in list(&pod["volumes"]).iter().filter(|volume| volume["configMap"].is_object()) {
                before("ConfigMap", text(&volume["configMap"]["name"]));
            }
        }
    }
}

#[test]
fn selectors_match_the_labels_of_their_pods() {
    for cluster in clusters() {
        let objects = made(&cluster);
        for object in objects.iter().filter(is_workload) {
            let labels = &object.body["spec"]["template"]["metadata"]["labels"];
            let selector = object.body["spec"]["selector"]["matchLabels"].as_object().unwrap();
            assert!(!selector.is_empty());
            assert!(selector.iter().all(|(name, value)| &labels[name] == value), "{}", object.key);
        }
        let labels = &find(&objects, "Deployment", "coredns")["spec"]["template"]["metadata"]["labels"];
        for (name, value) in find(&objects, "Service", "kube-dns")["spec"]["selector"].as_object().unwrap() {
            assert_eq!(&labels[name], value);
        }
    }
}

#[test]
fn mounts_have_their_volumes() {
    for cluster in clusters() {
        for object in made(&cluster).iter().filter(is_workload) {
            let pod = &object.body["spec"]["template"]["spec"];
            let volumes: BTreeSet<&str> = list(&pod["volumes"]).iter().map(|volume| text(&volume["name"])).collect();
            let containers = list(&pod["initContainers"]).iter().chain(list(&pod["containers"]));
            let mounts = containers.flat_map(|container| list(&container["volumeMounts"]));
            let mounted: BTreeSet<&str> = mounts.map(|mount| text(&mount["name"])).collect();
            assert_eq!(volumes, mounted, "{}", object.key);
        }
    }
}

/// What level `restricted` of Pod Security admission asks of a pod, as the list of what it would refuse.
fn restricted_violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut refuse = |condition: bool, what: String| {
        if condition {
            found.push(what);
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        refuse(pod[field] == json!(true), field.to_owned());
    }
    const VOLUMES: [&str; 8] =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in list(&pod["volumes"]) {
        refuse(!VOLUMES.iter().any(|kind| volume[kind].is_object()), format!("volume {}", volume["name"]));
    }
    refuse(pod["securityContext"]["runAsNonRoot"] != json!(true), "runAsNonRoot".into());
    refuse(pod["securityContext"]["seccompProfile"]["type"] != json!("RuntimeDefault"), "seccompProfile".into());
    for container in list(&pod["initContainers"]).iter().chain(list(&pod["containers"])) {
        let context = &container["securityContext"];
        refuse(context["allowPrivilegeEscalation"] != json!(false), "allowPrivilegeEscalation".into());
        refuse(context["capabilities"]["drop"] != json!(["ALL"]), "capabilities.drop".into());
        let added = list(&context["capabilities"]["add"]).iter().map(text);
        for capability in added.filter(|capability| *capability != "NET_BIND_SERVICE") {
            refuse(true, format!("capability {capability}"));
        }
        refuse(list(&container["ports"]).iter().any(|port| port["hostPort"].is_number()), "hostPort".into());
    }
    found
}

#[test]
fn coredns_keeps_the_restricted_level_and_flannel_only_takes_what_it_must() {
    let objects = made(&cluster("v1.34.1", 3));
    let pod = |kind: &str, name: &str| &find(&objects, kind, name)["spec"]["template"]["spec"];
    assert_eq!(restricted_violations(pod("Deployment", "coredns")), [""; 0]);
    assert_eq!(
        restricted_violations(pod("DaemonSet", "kube-flannel-ds")),
        [
            "hostNetwork",
            "volume \"run\"",
            "volume \"cni-plugins\"",
            "volume \"cni-configuration\"",
            "volume \"xtables-lock\"",
            "runAsNonRoot",
            "capability NET_ADMIN",
            "capability NET_RAW",
        ]
    );
}

#[test]
fn pods_are_in_the_exempt_namespace_and_get_their_token_by_name() {
    for cluster in clusters() {
        for object in made(&cluster).iter().filter(is_workload) {
            assert_eq!(object.key.namespace, SYSTEM_NAMESPACE);
            let pod = &object.body["spec"]["template"]["spec"];
            assert_eq!(pod["automountServiceAccountToken"], json!(false), "{}", object.key);
            let images = list(&pod["initContainers"]).iter().chain(list(&pod["containers"]));
            assert!(images.clone().all(|container| container["imagePullPolicy"] == "IfNotPresent"));
        }
        for account in made(&cluster).iter().filter(|object| object.key.kind == "ServiceAccount") {
            assert_eq!(account.body["automountServiceAccountToken"], json!(false), "{}", account.key);
        }
    }
}

#[test]
fn nobody_is_bound_to_the_built_in_super_roles() {
    for cluster in clusters() {
        for object in made(&cluster) {
            assert_ne!(object.body["roleRef"]["name"], "cluster-admin", "{}", object.key);
            for subject in list(&object.body["subjects"]) {
                assert_ne!(subject["name"], "system:masters", "{}", object.key);
                assert_ne!(subject["name"], "system:unauthenticated", "{}", object.key);
            }
        }
    }
}

#[test]
fn the_privileged_policy_is_for_kube_system_only() {
    for pod_security in [PodSecurity::Restricted, PodSecurity::Baseline] {
        let objects = made(&Cluster { pod_security, ..cluster("v1.24.17", 1) });
        let grants =
            |role: &&Object| list(&role.body["rules"][0]["resourceNames"]).contains(&json!("provision-privileged"));
        let roles: Vec<&str> = objects.iter().filter(grants).map(|role| role.key.name.as_str()).collect();
        assert_eq!(roles, ["provision:pod-security:privileged"]);
        let bindings: Vec<&Object> =
            objects.iter().filter(|object| object.body["roleRef"]["name"] == roles[0]).collect();
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0].key.kind, "RoleBinding");
        assert_eq!(bindings[0].key.namespace, SYSTEM_NAMESPACE);
        assert_eq!(bindings[0].body["subjects"][0]["name"], "system:serviceaccounts:kube-system");
    }
}

#[test]
fn everybody_may_use_the_policy_of_the_file_and_no_other_binding_is_left_to_forget() {
    for (level, policies) in [
        (PodSecurity::Restricted, vec!["provision-restricted", "provision-privileged"]),
        (PodSecurity::Baseline, vec!["provision-baseline", "provision-privileged"]),
        (PodSecurity::Privileged, vec!["provision-privileged"]),
    ] {
        let objects = made(&Cluster { pod_security: level, ..cluster("v1.24.17", 1) });
        let role = find(&objects, "ClusterRole", "provision:pod-security:default");
        assert_eq!(role["rules"][0]["resourceNames"], json!([format!("provision-{}", level.as_str())]));
        let kinds = objects.iter().filter(|object| object.key.kind == "PodSecurityPolicy");
        assert_eq!(kinds.map(|object| object.key.name.as_str()).collect::<Vec<_>>(), policies);
        let bindings = objects.iter().filter(|object| object.key.kind == "ClusterRoleBinding");
        let names: Vec<_> =
            bindings.map(|object| object.key.name.as_str()).filter(|name| name.contains("pod-sec")).collect();
        assert_eq!(names, ["provision:pod-security:default"]);
    }
    assert!(made(&cluster("v1.34.1", 1)).iter().all(|object| !object.key.name.contains("pod-security")));
}

/// Every policy changes a pod that has a seccomp profile (it copies it into an annotation), and of policies that change a
/// pod the first by name wins.
#[test]
fn the_privileged_policy_comes_before_the_restricted_one() {
    let objects = made(&cluster("v1.24.17", 1));
    let policies = objects.iter().filter(|object| object.key.kind == "PodSecurityPolicy");
    let first = policies.map(|object| object.key.name.as_str()).min();
    assert_eq!(first, Some("provision-privileged"));
}

#[test]
fn coredns_has_replicas_by_the_number_of_nodes_and_no_more_than_places() {
    let replicas = |cluster: &Cluster| {
        let objects = made(cluster);
        let budget = objects.iter().any(|object| object.key.kind == "PodDisruptionBudget");
        (find(&objects, "Deployment", "coredns")["spec"]["replicas"].clone(), budget)
    };
    assert_eq!(replicas(&cluster("v1.34.1", 1)), (json!(1), false));
    assert_eq!(replicas(&cluster("v1.34.1", 2)), (json!(2), true));
    assert_eq!(replicas(&cluster("v1.34.1", 8)), (json!(2), true));
    assert_eq!(replicas(&cluster("v1.34.1", 9)), (json!(3), true));
    let tainted = |key: &str, effect: &str| {
        let mut cluster = cluster("v1.34.1", 2);
        cluster.nodes[1].taints = vec![Taint { key: key.into(), value: String::new(), effect: effect.into() }];
        replicas(&cluster).0
    };
    assert_eq!(tainted("example.org/gpu", "NoSchedule"), json!(1));
    assert_eq!(tainted("example.org/gpu", "PreferNoSchedule"), json!(2));
    assert_eq!(tainted("node-role.kubernetes.io/etcd", "NoExecute"), json!(2));
}

#[test]
fn values_of_the_file_cannot_change_the_shape_of_an_object() {
    let plain = made(&cluster("v1.34.1", 1));
    for hostile in ["eth0\"\n- x", "a: b", "{{ name }}", "$(HOST_IP)"] {
        let mut cluster = cluster("v1.34.1", 1);
        cluster.network.plugin =
            NetworkPlugin::Flannel(Overlay { interface: Some(hostile.into()), ..Overlay::default() });
        let mut release = CATALOG.release(&cluster.version).unwrap();
        release.images.flannel.0 = hostile.into();
        release.images.coredns.0 = hostile.into();
        let objects = objects(&cluster, &release).unwrap();
        assert_eq!(objects.len(), plain.len());
        for (object, plain) in objects.iter().zip(&plain) {
            assert_eq!(shape(&object.body), shape(&plain.body), "{hostile:?}");
        }
        let container = &find(&objects, "DaemonSet", "kube-flannel-ds")["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], hostile);
        let pods = PluginPods {
            priority_class: hostile.into(),
            placement: Placement {
                node_selector: [(hostile.to_owned(), hostile.to_owned())].into(),
                ..Placement::default()
            },
            ..PluginPods::default()
        };
        cluster.network.plugin = NetworkPlugin::Canal(Overlay { pods, ..Overlay::default() });
        let objects = self::objects(&cluster, &release).unwrap();
        let pod = &find(&objects, "DaemonSet", "canal")["spec"]["template"]["spec"];
        assert_eq!(pod["priorityClassName"], hostile);
        assert_eq!(pod["nodeSelector"], json!({ "kubernetes.io/os": "linux", hostile: hostile }));
    }
}

/// A value with every text taken out.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::String(_) => "".into(),
        other => other.clone(),
    }
}

#[test]
fn an_mtu_is_that_of_pods() {
    let backend = |mtu: u32| {
        let mut cluster = cluster("v1.34.1", 1);
        cluster.network.mtu = mtu;
        let objects = made(&cluster);
        let configuration = text(&find(&objects, "ConfigMap", "kube-flannel-cfg")["data"]["net-conf.json"]).to_owned();
        serde_json::from_str::<Value>(&configuration).unwrap()["Backend"].clone()
    };
    assert_eq!(backend(0), json!({ "Type": "vxlan", "VNI": 1, "Port": 8472 }));
    assert_eq!(backend(1400)["MTU"], 1450);
}

#[test]
fn another_configuration_is_another_pod() {
    let digest = |mtu: u32| {
        let mut cluster = cluster("v1.34.1", 1);
        cluster.network.mtu = mtu;
        let objects = made(&cluster);
        let metadata = &find(&objects, "DaemonSet", "kube-flannel-ds")["spec"]["template"]["metadata"];
        text(&metadata["annotations"]["provision/configuration"]).to_owned()
    };
    assert!(digest(0).starts_with("sha256:"));
    assert_ne!(digest(0), digest(1400));
}

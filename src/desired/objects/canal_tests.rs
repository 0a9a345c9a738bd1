//! Rules for what Canal is made of.

use super::*;

fn canal(version: &str) -> Cluster {
    let mut cluster = cluster(version, 1);
    cluster.network.plugin = NetworkPlugin::Canal(Overlay::default());
    cluster
}

#[test]
fn of_canal_only_what_sets_sysctls_is_privileged() {
    for version in ["v1.24.17", "v1.34.1"] {
        let objects = made(&canal(version));
        let pod = &find(&objects, "DaemonSet", "canal")["spec"]["template"]["spec"];
        let containers = || list(&pod["initContainers"]).iter().chain(list(&pod["containers"]));
        let privileged = containers().filter(|container| container["securityContext"]["privileged"] == json!(true));
        assert_eq!(privileged.map(|container| text(&container["name"])).collect::<Vec<_>>(), ["calico-node"]);
        let with_token = containers()
            .filter(|container| list(&container["volumeMounts"]).iter().any(|mount| mount["name"] == "token"));
        let with_token: Vec<&str> = with_token.map(|container| text(&container["name"])).collect();
        assert_eq!(with_token, ["calico-node", "kube-flannel"], "what only copies a program talks to nobody");
    }
}

/// Felix is never ready while it may not see a kind that it follows, or while there is no such kind.
#[test]
fn every_kind_that_felix_follows_is_there_and_may_be_seen() {
    // libcalico-go/lib/backend/syncersv1/felixsyncer/felixsyncerv1.go, with USE_POD_CIDR.
    const ALWAYS: [&str; 9] = [
        "bgpconfigurations",
        "clusterinformations",
        "felixconfigurations",
        "globalnetworkpolicies",
        "globalnetworksets",
        "hostendpoints",
        "ippools",
        "networkpolicies",
        "networksets",
    ];
    const LATER: [&str; 5] = [
        "bgppeers",
        "stagedglobalnetworkpolicies",
        "stagedkubernetesnetworkpolicies",
        "stagednetworkpolicies",
        "tiers",
    ];
    for (version, more) in [("v1.24.17", &[][..]), ("v1.34.1", &LATER[..])] {
        let objects = made(&canal(version));
        let rules = list(&find(&objects, "ClusterRole", "calico-node")["rules"]);
        for kind in ALWAYS.iter().chain(more) {
            find(&objects, "CustomResourceDefinition", &format!("{kind}.crd.projectcalico.org"));
            let rule = rules.iter().find(|rule| {
                rule["apiGroups"] == json!(["crd.projectcalico.org"]) && list(&rule["resources"]).contains(&json!(kind))
            });
            let verbs = list(&rule.unwrap_or_else(|| panic!("{version}: no rule for {kind}"))["verbs"]);
            assert!(["list", "watch"].iter().all(|verb| verbs.contains(&json!(verb))), "{version}: {kind}");
        }
    }
}

#[test]
fn no_role_of_canal_reaches_beyond_what_it_names() {
    for version in ["v1.24.17", "v1.34.1"] {
        let objects = made(&canal(version));
        for role in objects.iter().filter(|object| object.body["metadata"]["labels"]["k8s-app"] == "canal") {
            for rule in list(&role.body["rules"]) {
                assert!(!rule.to_string().contains('*'), "{}", role.key);
                let of_cluster = role.key.kind == "ClusterRole";
                let wide = ["configmaps", "secrets", "serviceaccounts/token"];
                let named = list(&rule["resources"]).iter().any(|resource| wide.contains(&text(resource)));
                assert!(!(of_cluster && named), "{}: {rule}", role.key);
            }
        }
    }
}

/// The runtime reads it as JSON, once the two places are filled in as the pod's hook does.
#[test]
fn the_configuration_of_calicos_plugin_is_json_with_a_numeric_mtu() {
    let objects = made(&canal("v1.34.1"));
    let written = text(&find(&objects, "ConfigMap", "canal-config")["data"]["cni-conf.json"]);
    let filled = written.replace("__CNI_MTU__", "1450").replace("__NODE_NAME__", "h1");
    let configuration: Value = serde_json::from_str(&filled).unwrap();
    assert_eq!(configuration["plugins"][0]["mtu"], json!(1450));
    assert_eq!(configuration["plugins"][0]["nodename"], json!("h1"));
    let hook = &find(&objects, "DaemonSet", "canal")["spec"]["template"]["spec"]["containers"][1]["lifecycle"];
    let hook = hook.to_string();
    assert!(["__CNI_MTU__", "__NODE_NAME__"].iter().all(|place| hook.contains(place)));
}

#[test]
fn both_plugins_tell_flannel_the_same() {
    let configuration = |plugin: NetworkPlugin, name: &str| {
        let mut cluster = cluster("v1.34.1", 1);
        cluster.network.mtu = 1400;
        cluster.network.plugin = plugin;
        text(&find(&made(&cluster), "ConfigMap", name)["data"]["net-conf.json"]).to_owned()
    };
    let overlay = || Overlay { port: 8473, vni: 7, ..Overlay::default() };
    let canal = configuration(NetworkPlugin::Canal(overlay()), "canal-config");
    assert_eq!(canal, configuration(NetworkPlugin::Flannel(overlay()), "kube-flannel-cfg"));
    let backend = &serde_json::from_str::<Value>(&canal).unwrap()["Backend"];
    assert_eq!(*backend, json!({ "Type": "vxlan", "VNI": 7, "Port": 8473, "MTU": 1450 }));
}

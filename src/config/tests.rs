use super::*;

fn messages(yaml: &str) -> Vec<(usize, usize, String)> {
    let (_, findings) = read(yaml.as_bytes(), "cluster.yml");
    findings.iter().map(|finding| (finding.at.line, finding.at.column, finding.message.clone())).collect()
}

#[test]
fn all_findings_come_at_once_in_the_order_of_the_file() {
    let yaml = "kubernetes_version: []\nnodes: 5\nbogus: 1\nnetwork:\n  plugn: flannel\n  mtu: \"5\"\nnodes: []\n";
    let lines: Vec<usize> = messages(yaml).iter().map(|(line, _, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 5, 6, 7]);
}

#[test]
fn a_value_of_a_wrong_type_is_bad_and_not_missing() {
    let (config, _) = read(b"nodes: 5\nssh_agent_auth: maybe\n", "f");
    let config = config.unwrap();
    assert!(matches!(config.nodes, Field::Bad));
    assert!(matches!(config.ssh_agent_auth, Field::Bad));
    assert!(config.cluster_name.is_missing());
}

#[test]
fn numbers_count_as_text_with_their_spelling() {
    let config = parse(b"kubernetes_version: 1.30\nnodes:\n- port: 22\n  labels: {a: true, b: }\n", "f").unwrap();
    assert_eq!(config.kubernetes_version.value().unwrap(), "1.30");
    let node = &config.nodes.value().unwrap()[0];
    assert_eq!(node.port.value().unwrap(), "22");
    let labels = node.labels.value().unwrap();
    assert_eq!((labels[0].1.value.as_str(), labels[1].1.value.as_str()), ("true", ""));
}

#[test]
fn aliases_and_merge_keys_are_followed() {
    let yaml = "nodes:\n- &one {address: a, user: root, role: &roles [etcd]}\n- {<<: *one, address: b}\n- {address: c, role: *roles}\n";
    let config = parse(yaml.as_bytes(), "f").unwrap();
    let nodes = config.nodes.value().unwrap();
    assert_eq!(nodes[1].address.value().unwrap(), "b");
    assert_eq!(nodes[1].user.value().unwrap(), "root");
    assert_eq!(nodes[2].role.value().unwrap()[0].value, "etcd");
}

#[test]
fn a_bomb_of_aliases_is_refused_quickly() {
    let mut yaml = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..30 {
        let below = vec![format!("*a{}", level - 1); 10].join(",");
        yaml.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(messages(&yaml)[0].2.contains("more than"), "{:?}", messages(&yaml));
}

#[test]
fn a_chain_of_aliases_is_not_deeper_than_the_file_may_be() {
    let mut yaml = String::from("a0: &a0 [x]\n");
    for level in 1..20_000 {
        yaml.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(messages(&yaml)[0].2.contains("deep"), "{:?}", messages(&yaml));
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", "")] {
        let yaml = format!("a:\n  {}1{}\n", open.repeat(5000), close.repeat(5000));
        assert!(messages(&yaml)[0].2.contains("deep"), "{open}: {:?}", messages(&yaml));
    }
}

#[test]
fn every_key_of_the_table_is_named_once() {
    fn check(keys: &[schema::Key], path: &str) {
        for (index, key) in keys.iter().enumerate() {
            assert!(keys[..index].iter().all(|other| other.name != key.name), "{path}.{} stands twice", key.name);
            check(key.shape.keys(), &format!("{path}.{}", key.name));
        }
    }
    check(keys::ROOT, "");
}

#[test]
fn what_asks_for_nothing_is_accepted() {
    let yaml = "ingress: {provider: none, http_port: 0, options: {}}\nbastion_host: {address: \"\", port: \"\", ssh_agent_auth: false}\n\
                addons: \"\"\ndns: null\nprivate_registries: []\nauthorization: {mode: rbac, options: {}}\n";
    assert_eq!(messages(yaml), []);
    assert_eq!(messages("ingress: {provider: nginx}\n").len(), 1);
    assert_eq!(messages("bastion_host: {address: b}\n").len(), 1);
}

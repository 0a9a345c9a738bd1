//! A worker that joins, and what its credentials are good for.

use crate::harness::{Kubectl, Lab, Picture, V1_34};

#[test]
fn a_worker_added_to_cluster_yml_joins_and_reaches_neither_etcd_nor_other_nodes_secrets() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    let before = Picture::of_containers(&lab, "h1");
    lab.grow("1+1");
    lab.tool().plan().expect(2).says("h2").says("start container kube-proxy");
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1", "h2"]);
    lab.tool().finds_nothing_to_do();
    Picture::of_containers(&lab, "h1").is_as(&before);
    carries_no_control_plane(&lab);
    cannot_read_secrets_of_others(&lab, &kubectl);
    reaches_no_etcd(&lab);
}

fn carries_no_control_plane(lab: &Lab) {
    let names = lab.script("h2", "docker ps -a --format '{{.Names}}' | sort | paste -sd' '");
    assert_eq!(names.trim(), "api-proxy kube-proxy");
    let keys = lab.script("h2", "find / -xdev -name '*.key' -path '*kubernetes*'");
    for secret in ["etcd", "apiserver", "controller-manager", "scheduler", "ca.key", "service-account"] {
        assert!(!keys.contains(secret), "a worker holds {secret}: {keys}");
    }
}

/// NodeRestriction and the Node authorizer: a kubelet sees Secrets of pods on its own node only.
fn cannot_read_secrets_of_others(lab: &Lab, kubectl: &Kubectl) {
    kubectl
        .run(&["-n", "default", "create", "secret", "generic", "of-another", "--from-literal=key=value"])
        .succeeded();
    lab.send("h2", &Kubectl::program(lab), "/root/kubectl");
    let kubelet = |arguments: &str| {
        let config = r"$(tr '\0' '\n' </proc/$(pidof kubelet)/cmdline | sed -n 's/^--kubeconfig=//p')";
        lab.try_script("h2", &format!("/root/kubectl --kubeconfig \"{config}\" {arguments}"))
    };
    kubelet("get node h2 -o name").succeeded().says("node/h2");
    kubelet("-n default get secret of-another").failed().says("Forbidden");
    kubelet("-n kube-system get secrets").failed().says("Forbidden");
    kubelet("label node h1 mine=true").failed().says("orbidden");
}

fn reaches_no_etcd(lab: &Lab) {
    let etcd = format!("{}:2379", lab.address("h1"));
    let ask = |host: &str, certificate: &str, key: &str| {
        let request = format!(
            "printf 'GET /version HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -connect {etcd} -cert {certificate} -key {key} 2>&1 || true"
        );
        lab.script(host, &request)
    };
    // The member's own certificate shows that the question can be answered.
    let argument = |name: &str| {
        let script = format!(
            "docker inspect -f '{{{{range .Args}}}}{{{{println .}}}}{{{{end}}}}' etcd | sed -n 's/^--{name}=//p'"
        );
        lab.script("h1", &script).trim().to_owned()
    };
    let own = ask("h1", &argument("cert-file"), &argument("key-file"));
    assert!(own.contains("etcdserver"), "{own}");
    let pairs = lab.script("h2", "find /etc/kubernetes /var/lib/kubelet -name '*.crt' | while read -r crt; do if [ -e \"${crt%.crt}.key\" ]; then echo \"${crt%.crt}\"; fi; done");
    assert!(pairs.lines().count() >= 2, "a worker has a kubelet's and a kube-proxy's certificate: {pairs}");
    for pair in pairs.lines() {
        let answer = ask("h2", &format!("{pair}.crt"), &format!("{pair}.key"));
        assert!(!answer.contains("etcdserver") && answer.contains("alert"), "etcd's answer to {pair}: {answer}");
    }
}

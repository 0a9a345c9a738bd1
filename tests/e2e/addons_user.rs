//! Add-ons: metrics of nodes and pods, and what the operator brings in cluster.yml, in files and at addresses.

use std::fs;

use crate::harness::{AGNHOST, Kubectl, Lab, Registry, SECOND, V1_24, V1_34, until};

#[test]
fn kubernetes_1_34_tells_what_nodes_and_pods_use() {
    metrics_are_told(V1_34);
}

#[test]
#[ignore = "two minutes; the same on 1.34 is above"]
fn kubernetes_1_24_tells_what_nodes_and_pods_use() {
    metrics_are_told(V1_24);
}

/// The figures come two readings after the server's start.
fn metrics_are_told(version: &str) {
    let lab = Lab::prepared("1", version);
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    let service = kubectl.json(&["get", "apiservice", "v1beta1.metrics.k8s.io"]);
    let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let available =
        conditions.iter().any(|condition| condition["type"] == "Available" && condition["status"] == "True");
    assert!(available, "up ends when the API of metrics answers: {conditions:?}");
    until("figures of the node", 90 * SECOND, || {
        let top = kubectl.run(&["top", "nodes", "--no-headers"]).result()?;
        if top.stdout.contains("h1") && !top.stdout.contains("<unknown>") { Ok(()) } else { Err(top.stdout) }
    });
    until("figures of pods", 60 * SECOND, || {
        let top = kubectl.run(&["-n", "kube-system", "top", "pods", "--no-headers"]).result()?;
        if top.stdout.contains("coredns-") { Ok(()) } else { Err(top.stdout) }
    });
    let pods = kubectl.await_pods("kube-system", "k8s-app=metrics-server", 1);
    let arguments = pods[0]["spec"]["containers"][0]["args"].to_string();
    assert!(arguments.contains("--kubelet-certificate-authority="), "kubelets are verified: {arguments}");
    lab.tool().finds_nothing_to_do();
}

/// A name server of a company, whose every name is its own address.
const COMPANY: &str = r#"
dns:
  stubdomains:
    corp.example: [10.43.0.53]
addons: |-
  apiVersion: v1
  kind: Namespace
  metadata:
    name: company
  ---
  apiVersion: v1
  kind: ConfigMap
  metadata:
    name: names
    namespace: company
  data:
    Corefile: |
      .:5353 {
          template IN A corp.example {
              answer "{{ .Name }} 60 IN A 10.43.0.53"
          }
      }
  ---
  apiVersion: v1
  kind: Service
  metadata:
    name: names
    namespace: company
  spec:
    clusterIP: 10.43.0.53
    selector: {app: names}
    ports:
    - {name: dns, protocol: UDP, port: 53, targetPort: 5353}
    - {name: dns-tcp, protocol: TCP, port: 53, targetPort: 5353}
  ---
  apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: names
    namespace: company
  spec:
    selector: {matchLabels: {app: names}}
    template:
      metadata: {labels: {app: names}}
      spec:
        securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
        containers:
        - name: coredns
          image: registry.k8s.io/coredns/coredns:v1.12.1
          imagePullPolicy: Never
          args: [-conf, /etc/coredns/Corefile]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
          volumeMounts: [{name: configuration, mountPath: /etc/coredns}]
        volumes: [{name: configuration, configMap: {name: names}}]
"#;

/// What lies at an address: a kind.
const KIND: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: octopodes.example.org
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Octopus, plural: octopodes, singular: octopus}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {arms: {type: integer}}}}
";

/// What lies in a file: an object of that kind, and a pod that asks for names.
const OBJECTS: &str = "apiVersion: example.org/v1
kind: Octopus
metadata:
  name: paul
spec: {arms: 8}
---
apiVersion: v1
kind: Pod
metadata:
  name: asker
  namespace: company
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: IMAGE
    imagePullPolicy: Never
    args: [pause]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
";

#[test]
fn add_ons_of_cluster_yml_a_file_and_an_address_come_and_go_with_the_file() {
    let lab = Lab::prepared("1", V1_34);
    let registry = lab.registry();
    lab.load_workload_image();
    let plain = fs::read_to_string(lab.config()).expect("cluster.yml");
    fs::write(lab.folder().join("objects.yaml"), OBJECTS.replace("IMAGE", AGNHOST)).expect("objects.yaml");
    let address = site(&registry);
    let with_addons = |checksum: &str| {
        let ca = registry.ca();
        format!(
            "{plain}{COMPANY}addons_include:\n- objects.yaml\n- {address}#sha256={checksum}\ndownloads:\n  ca_file: {}\n",
            ca.display()
        )
    };
    let cache = tempfile::tempdir().expect("a folder for the cache");
    let cache = cache.path().to_str().expect("a plain path");
    let tool = || lab.tool().with_variable("XDG_CACHE_HOME", cache);

    fs::write(lab.config(), with_addons(&"0".repeat(64))).expect("cluster.yml");
    let refused = tool().up().failed();
    assert!(refused.has(&address) && refused.has("sha256"), "{refused}");

    fs::write(lab.config(), with_addons(provision::base::Digest::of(KIND).hexadecimal())).expect("cluster.yml");
    tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_pods("company", "app=names", 1);
    assert_eq!(kubectl.json(&["get", "octopus", "paul"])["spec"]["arms"], 8);
    until("a name of the stub domain in a pod", 60 * SECOND, || {
        let ask =
            ["-n", "company", "exec", "asker", "--", "/agnhost", "connect", "www.corp.example:53", "--timeout=3s"];
        kubectl.run(&ask).result()
    });
    // What was fetched once is not asked for again, and the site may be away.
    registry.remove_file(PATH);
    tool().finds_nothing_to_do();

    kubectl.run(&["delete", "octopus", "paul"]).succeeded();
    tool().up().succeeded();
    kubectl.run(&["get", "octopus", "paul"]).succeeded();

    fs::write(lab.config(), &plain).expect("cluster.yml");
    tool().up().succeeded();
    for kind in ["crd/octopodes.example.org", "namespace/company"] {
        until(&format!("{kind} is gone"), 180 * SECOND, || {
            let ran = kubectl.run(&["get", kind]);
            if ran.has("NotFound") { Ok(()) } else { Err(ran.to_string()) }
        });
    }
    kubectl.await_pods("kube-system", "k8s-app=metrics-server", 1);
    tool().finds_nothing_to_do();
}

const PATH: &str = "/kubernetes/octopus.yaml";

/// Puts the kind beside the file server's other files.
fn site(registry: &Registry<'_>) -> String {
    registry.put_file(PATH, KIND);
    format!("{}/octopus.yaml", registry.site().kubernetes)
}

//! Requests at a fixed rate while something else goes on: what serves, and what does not.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{AGNHOST, Kubectl, Lab, SECOND, until};

/// The namespace of what is probed.
const NAMESPACE: &str = "probe";
/// The longest time without an answer that counts as served, in milliseconds: two cores that do the work of four nodes answer
/// nobody for a second now and then. `make bench` shows the figure beside its target.
const LONGEST_GAP: u64 = 2000;
/// So much of a prober's own standstill may come to that.
const STANDSTILL: u64 = 1000;

/// What asks, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The API through the host's own API proxy, as kubelet.
    Proxy,
    /// The API through the Service `kubernetes`, from the network of a pod and with its account's token.
    Account,
    /// A Service of three pods, from the network of a pod.
    Workload,
}

/// Probers on one host, at work.
pub struct Probes<'a> {
    lab: &'a Lab,
    host: String,
    units: Vec<String>,
}

/// What one prober has counted.
#[derive(Debug, Deserialize)]
pub struct Counted {
    /// Whether all went over one connection.
    pub kept: bool,
    /// All requests.
    pub total: u64,
    /// Those without an answer, or with another status than 200.
    pub failed: u64,
    /// Those on a kept connection that a server which ends has refused to begin: clients of the API send them again.
    pub refused: u64,
    /// The longest time between two successes.
    pub longest_gap_ms: u64,
    /// How late a request left at most: for so long the prober stood still, or its machine.
    pub latest_ms: u64,
    /// What was asked for, the first failures and the longest gaps, with their times.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl Counted {
    /// Nothing failed, and nobody waited for long.
    #[track_caller]
    pub fn is_served(&self) {
        let Self { kept, total, failed, refused, longest_gap_ms, latest_ms, more } = self;
        let told = format!(
            "{failed} of {total} failed, {refused} were refused, gap {longest_gap_ms} ms, {latest_ms} ms late, kept {kept}: {more:#?}"
        );
        assert!(*total > 0 && *failed == 0 && *longest_gap_ms <= LONGEST_GAP + latest_ms.min(&STANDSTILL), "{told}");
    }
}

/// Three pods behind a Service that serve on after they were told to end, with a budget that keeps two; and on each host a pod
/// whose network probers use. Waits until all of them serve.
pub fn prepare(kubectl: &Kubectl) {
    kubectl.run(&["create", "namespace", NAMESPACE]).succeeded();
    let view = ["create", "rolebinding", "view", "--clusterrole=view", "--serviceaccount=probe:default"];
    kubectl.run(&[&["-n", NAMESPACE][..], &view].concat()).succeeded();
    for object in [web(), service(), budget(), places()] {
        kubectl.apply(&object).succeeded();
    }
    kubectl.await_pods(NAMESPACE, "app=web", 3);
    let nodes = kubectl.json(&["get", "nodes"])["items"].as_array().map_or(0, Vec::len);
    kubectl.await_pods(NAMESPACE, "app=place", nodes);
}

impl<'a> Probes<'a> {
    /// Starts one prober for each target on a host, and one more with a kept connection where the target has TLS. Each of them
    /// is answered before this returns.
    pub fn start(lab: &'a Lab, kubectl: &Kubectl, host: &str, targets: &[Target]) -> Self {
        let program = lab.command(&["prober"]).succeeded();
        lab.send(host, Path::new(program.text()), "/opt/prober");
        let mut probes = Self { lab, host: host.to_owned(), units: Vec::new() };
        for target in targets {
            let words = words(lab, kubectl, host, *target);
            probes.begin(*target, "new", &words);
            if *target != Target::Workload {
                probes.begin(*target, "kept", &format!("{words} -kept"));
            }
        }
        probes
    }

    fn begin(&mut self, target: Target, connection: &str, words: &str) {
        let unit = format!("probe-{target:?}-{connection}").to_lowercase();
        let name = format!("{target:?} from {}", self.host);
        until(&name, 60 * SECOND, || {
            let ran = self.lab.try_script(&self.host, &format!("{words} -for 200ms")).result()?;
            if ran.has("\"failed\":0,") { Ok(()) } else { Err(ran.stdout) }
        });
        self.lab.script(
            &self.host,
            &format!("systemd-run -q --unit={unit} -p StandardOutput=truncate:/run/{unit}.json -- {words}"),
        );
        self.units.push(unit);
    }

    /// Ends them; what they have counted comes in the order in which they were started.
    pub fn stop(self) -> Vec<Counted> {
        let read = |unit: &String| {
            let text = self.lab.script(&self.host, &format!("systemctl stop {unit}; cat /run/{unit}.json"));
            println!("{unit} on {}: {text}", self.host);
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{unit}: {error}: {text}"))
        };
        self.units.iter().map(read).collect()
    }
}

/// The command line of a prober.
fn words(lab: &Lab, kubectl: &Kubectl, host: &str, target: Target) -> String {
    let address = |namespace: &str, name: &str| {
        let service = kubectl.json(&["-n", namespace, "get", "service", name]);
        service["spec"]["clusterIP"].as_str().expect("an address").to_owned()
    };
    match target {
        Target::Proxy => {
            let files = "/etc/kubernetes/ssl/kubelet";
            format!(
                "/opt/prober -url https://127.0.0.1:6444/api/v1/nodes/{host} -ca {files}/ca.crt \
                 -cert {files}/client.crt -key {files}/client.key"
            )
        }
        Target::Account => {
            let (process, folder) = place(lab, kubectl, host);
            let path = format!("api/v1/namespaces/{NAMESPACE}/configmaps/kube-root-ca.crt");
            format!(
                "nsenter -t {process} -n /opt/prober -url https://{}/{path} -ca {folder}/ca.crt -token {folder}/token",
                address("default", "kubernetes")
            )
        }
        Target::Workload => {
            let (process, _) = place(lab, kubectl, host);
            format!("nsenter -t {process} -n /opt/prober -url http://{}/hostname", address(NAMESPACE, "web"))
        }
    }
}

/// The process that holds the network of a pod on this host, and the folder with the pod's token, which kubelet renews.
fn place(lab: &Lab, kubectl: &Kubectl, host: &str) -> (String, String) {
    let on_host = format!("--field-selector=spec.nodeName={host}");
    let pods = kubectl.json(&["-n", NAMESPACE, "get", "pods", "-l", "app=place", &on_host]);
    let uid = pods["items"][0]["metadata"]["uid"].as_str().expect("a pod").to_owned();
    let script = format!(
        r#"
        sandbox=$(ctr -n k8s.io containers ls -q 'labels."io.kubernetes.pod.uid"=={uid},labels."io.cri-containerd.kind"==sandbox')
        ctr -n k8s.io tasks ls | awk -v id="$sandbox" '$1 == id {{print $2}}'
        echo /var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~projected/kube-api-access-*
        "#
    );
    let text = lab.script(host, &script);
    let mut lines = text.lines().map(str::to_owned);
    lines.next().zip(lines.next()).unwrap_or_else(|| panic!("{host} has no sandbox of {uid}: {text}"))
}

fn metadata(name: &str) -> Value {
    json!({ "name": name, "namespace": NAMESPACE, "labels": { "app": name } })
}

fn template(app: &str, container: &Value) -> Value {
    let pod = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    let mut main = json!({
        "name": "main", "image": AGNHOST, "imagePullPolicy": "Never",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    for (key, value) in container.as_object().into_iter().flatten() {
        main[key] = value.clone();
    }
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"securityContext": pod, "terminationGracePeriodSeconds": 15, "containers": [main]},
    })
}

fn web() -> Value {
    let container = json!({
        "args": ["netexec", "--http-port=8080", "--udp-port=-1", "--delay-shutdown=5"],
        "readinessProbe": {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 1},
    });
    let spec = json!({
        "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", &container),
    });
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("web"), "spec": spec})
}

fn service() -> Value {
    let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("web"), "spec": spec})
}

fn budget() -> Value {
    let spec = json!({"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}});
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata("web"), "spec": spec})
}

/// Pods of a DaemonSet stay where they are when their node is emptied.
fn places() -> Value {
    let spec = json!({
        "selector": {"matchLabels": {"app": "place"}}, "template": template("place", &json!({"args": ["pause"]})),
    });
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata("place"), "spec": spec})
}

//! Canal. Calico's images are in no package registry: without them its objects, rights and the reason for which its pods
//! wait are tried on the real API server; with them (`LAB_BUNDLES`), the network itself.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use provision::cluster::{Cluster, Context, load};
use provision::desired::objects;
use provision::plan::object_difference;
use provision::release::{Catalog, Release};
use provision::state::Object;
use serde_json::{Value, json};

use crate::canal_calls::{Call, calls};
use crate::harness::tool::Tool;
use crate::harness::{AGNHOST, Kubectl, Lab, OpenApi, SECOND, V1_24, V1_34, until};
use crate::tenant::deployment;

#[test]
fn canals_objects_are_what_kubernetes_1_34_takes_and_its_pods_wait_only_for_images() {
    waits_only_for_images(V1_34);
}

#[test]
#[ignore = "a minute; the same on 1.34 is above"]
fn canals_objects_are_what_kubernetes_1_24_takes_and_its_pods_wait_only_for_images() {
    waits_only_for_images(V1_24);
}

fn waits_only_for_images(version: &str) {
    let lab = canal_lab("1", version);
    let ran = lab.tool().run(&["up", "--yes", "--allow-missing-images"]).failed();
    let (cluster, release) = cluster(&lab);
    let wanted = objects(&cluster, &release).unwrap();
    ran.says(&release.images.calico_node.0).says(&release.images.calico_cni.0);

    let kubectl = Kubectl::operator(&lab);
    let schemas = OpenApi::of(&kubectl);
    assert_eq!(schemas.violations(&json!({"apiVersion": "v1", "kind": "Pod", "spec": {"hostnetwork": true}})).len(), 2);
    for object in &wanted {
        assert_eq!(schemas.violations(&object.body), [""; 0], "{}", object.key);
        assert_eq!(object_difference(&object.body, &live(&kubectl, object)), [], "{}", object.key);
    }
    if version != V1_24 {
        fields_are_all_known(&kubectl, &wanted);
    }
    access_is_as_the_table_says(&kubectl, &release);
    pods_wait_only_for_images(&kubectl, &release);
}

/// Hosts whose `cluster.yml` asks for the default network.
fn canal_lab(hosts: &str, version: &str) -> Lab {
    let lab = Lab::prepared(hosts, version);
    lab.edit_config("network:\n  plugin: flannel\n", "");
    lab
}

/// What the tool makes of the lab's files.
fn cluster(lab: &Lab) -> (Cluster, Release) {
    let overlay = fs::read_to_string(Tool::catalog()).unwrap();
    let catalog = Catalog::shipped().unwrap().with_overlay(&overlay).unwrap();
    let context = Context { home: "/root".into(), base: lab.folder() };
    let cluster = load(&fs::read(lab.config()).unwrap(), "cluster.yml", &catalog, &context).unwrap().cluster;
    let release = catalog.release(&cluster.version).unwrap();
    (cluster, release)
}

fn live(kubectl: &Kubectl, object: &Object) -> Value {
    let (group, version) = object.key.api_version.split_once('/').unwrap_or(("", &object.key.api_version));
    let kind =
        if group.is_empty() { object.key.kind.clone() } else { format!("{}.{version}.{group}", object.key.kind) };
    let namespace = if object.key.namespace.is_empty() { "default" } else { &object.key.namespace };
    kubectl.json(&["-n", namespace, "get", &kind, &object.key.name])
}

/// The server itself refuses fields that it does not know, from 1.25 on.
fn fields_are_all_known(kubectl: &Kubectl, wanted: &[Object]) {
    let strict = |body: &Value| {
        let arguments =
            ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];
        kubectl.run_with_input(&arguments, &body.to_string())
    };
    let mut wrong = wanted[0].body.clone();
    wrong["metadata"]["lables"] = json!({});
    strict(&wrong).failed().says("lables");
    let items: Vec<&Value> = wanted.iter().map(|object| &object.body).collect();
    strict(&json!({ "apiVersion": "v1", "kind": "List", "items": items })).succeeded();
}

fn access_is_as_the_table_says(kubectl: &Kubectl, release: &Release) {
    let calls = calls(&release.images.calico_node.0);
    let reviews: Vec<Value> = calls.iter().map(|(call, _)| review(call)).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": reviews });
    let ran = kubectl.run_with_input(&["create", "-o", "json", "-f", "-"], &list.to_string()).succeeded();
    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&ran.stdout).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(answers.len(), calls.len());
    for ((call, allowed), answer) in calls.iter().zip(&answers) {
        assert_eq!(answer["status"]["allowed"], json!(allowed), "{call}: {answer}");
    }
}

fn review(call: &Call) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:kube-system:{}", call.account),
            "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
            "resourceAttributes": {
                "verb": call.verb,
                "group": call.group,
                "resource": call.resource,
                "subresource": call.subresource,
                "namespace": call.namespace,
                "name": call.name,
            },
        },
    })
}

/// The pods are there, so that they were admitted, and nothing but their images keeps them.
fn pods_wait_only_for_images(kubectl: &Kubectl, release: &Release) {
    let reasons = ["ErrImagePull", "ImagePullBackOff"];
    until("a pod of Canal that waits for its image", 90 * SECOND, || {
        let pods = kubectl.try_json(&["-n", "kube-system", "get", "pods", "-l", "k8s-app=canal"])?;
        let states = &pods["items"][0]["status"]["initContainerStatuses"];
        let reason = states[0]["state"]["waiting"]["reason"].as_str().unwrap_or_default().to_owned();
        if !reasons.contains(&reason.as_str()) {
            return Err(pods["items"][0]["status"].to_string());
        }
        assert_eq!(states[0]["image"], json!(release.images.calico_cni.0), "{states}");
        Ok(())
    });
    let refused = kubectl.json(&["-n", "kube-system", "get", "events", "--field-selector", "reason=FailedCreate"]);
    assert_eq!(refused["items"], json!([]));
}

#[test]
fn with_calicos_images_kubernetes_1_34_runs_canal_and_policy_is_enforced() {
    policy_is_enforced(V1_34);
}

#[test]
fn with_calicos_images_kubernetes_1_24_runs_canal_and_policy_is_enforced() {
    policy_is_enforced(V1_24);
}

fn policy_is_enforced(version: &str) {
    let Some((lab, tool)) = with_images("2", version, &[version]) else { return };
    tool.up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1", "h2"]);
    tool.finds_nothing_to_do();
    access_is_as_the_table_says(&kubectl, &cluster(&lab).1);
    let (lab_address, server) = two_pods(&lab, &kubectl);
    assert_ne!(lab_address, server);

    connects(&kubectl, "client", &server, true);
    kubectl.apply(&policy(json!([]))).succeeded();
    connects(&kubectl, "client", &server, false);
    let from = json!([{ "podSelector": { "matchLabels": { "app": "client" } } }]);
    kubectl.apply(&policy(json!([{ "from": from }]))).succeeded();
    connects(&kubectl, "client", &server, true);
    let other = json!([{ "podSelector": { "matchLabels": { "app": "nobody" } } }]);
    kubectl.apply(&policy(json!([{ "from": other }]))).succeeded();
    connects(&kubectl, "client", &server, false);
    kubectl.run(&["delete", "networkpolicy", "server"]).succeeded();
    connects(&kubectl, "client", &server, true);
}

/// From the line of 1.24's row to that of 1.34's, on one Kubernetes: pods keep their connections.
#[test]
fn with_calicos_images_a_change_of_canals_line_cuts_no_connection() {
    let Some((lab, tool)) = with_images("2", V1_34, &[V1_24, V1_34]) else { return };
    let older = older_line(&lab);
    tool.clone().with_catalog(&older).up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    let (_, server) = two_pods(&lab, &kubectl);
    connects(&kubectl, "client", &server, true);
    let talk = talk(&lab, &server);

    tool.up().succeeded();
    let pods = kubectl.await_pods("kube-system", "k8s-app=canal", 2);
    let image = release_of(V1_34).images.calico_node.0;
    assert!(pods.iter().all(|pod| pod["spec"]["containers"][0]["image"] == json!(image)), "{pods:?}");
    connects(&kubectl, "client", &server, true);
    let said = lab.script("h1", &format!("touch {TALK}.end; wait_for=100; until [ -s {TALK}.result ] || [ $wait_for = 0 ]; do sleep 0.1; wait_for=$((wait_for - 1)); done; cat {TALK}.result"));
    let answers: usize =
        said.trim().parse().unwrap_or_else(|_| panic!("the talk of process {talk} ended with {said:?}"));
    assert!(answers > 20, "only {answers} answers");
}

const TALK: &str = "/run/talk";

/// One connection from the client's pod on h1, with a question every 100 ms; it ends with the number of answers, or with what
/// went wrong.
fn talk(lab: &Lab, server: &str) -> String {
    let script = format!(
        r#"
        sandbox=$(ctr -n k8s.io containers ls 'labels."io.kubernetes.pod.name"==client,labels."io.kubernetes.container.name"==main' -q | tail -1)
        process=$(ctr -n k8s.io tasks ls | awk -v id="$sandbox" '$1 == id {{print $2}}')
        rm -f {TALK}.end {TALK}.result
        cat >{TALK} <<'TALK'
        exec 3<>/dev/tcp/{server}/8080 || {{ echo "no connection" >{TALK}.result; exit 1; }}
        answers=0
        until [ -e {TALK}.end ]; do
            printf 'GET /hostname HTTP/1.1\r\nHost: a\r\n\r\n' >&3 || {{ echo "cut after $answers" >{TALK}.result; exit 1; }}
            while IFS= read -r -t 20 line <&3; do [ "$line" != $'\r' ] || break; done || {{ echo "silent after $answers" >{TALK}.result; exit 1; }}
            IFS= read -r -t 20 -N 6 body <&3 || {{ echo "no body after $answers" >{TALK}.result; exit 1; }}
            [ "$body" = server ] || {{ echo "got $body after $answers" >{TALK}.result; exit 1; }}
            answers=$((answers + 1))
            sleep 0.1
        done
        echo "$answers" >{TALK}.result
TALK
        systemd-run --quiet nsenter -t "$process" -n bash {TALK}
        echo "$process"
        "#
    );
    lab.script("h1", &script).trim().to_owned()
}

fn release_of(version: &str) -> Release {
    let version = provision::base::KubernetesVersion::parse(version).unwrap();
    Catalog::shipped().unwrap().release(&version).unwrap()
}

/// The lab's catalog with the Calico of 1.24's row in that of 1.34.
fn older_line(lab: &Lab) -> PathBuf {
    let images = release_of(V1_24).images;
    let text = fs::read_to_string(Tool::catalog()).unwrap();
    let row = "  \"1.34\":\n    images:\n";
    assert!(text.contains(row), "{text}");
    let line = format!(
        "  \"1.34\":\n    canal: \"3.26\"\n    images:\n      calico_node: {}\n      calico_cni: {}\n",
        images.calico_node.0, images.calico_cni.0
    );
    let path = lab.folder().join("older-line.yml");
    fs::write(&path, text.replace(row, &line)).unwrap();
    path
}

/// A lab and a tool that has Calico's images for these versions, or a word on what does not run.
fn with_images(hosts: &str, version: &str, needed: &[&str]) -> Option<(Lab, Tool)> {
    let lab = Lab::none(version);
    let bundles = lab.more_bundles();
    let indexes: Vec<String> =
        bundles.iter().map(|bundle| fs::read_to_string(bundle.join("index.json")).unwrap()).collect();
    let images = needed.iter().map(|version| release_of(version).images);
    let lacking: Vec<String> = images
        .flat_map(|images| [images.calico_node.0, images.calico_cni.0])
        .filter(|image| !indexes.iter().any(|index| index.contains(&format!("\"{image}\""))))
        .collect();
    if !lacking.is_empty() {
        tell(&format!("Canal's network was not tried, LAB_BUNDLES has no {}", lacking.join(", ")));
        return None;
    }
    tell(&format!("Canal's network is tried with Calico's images from LAB_BUNDLES, Kubernetes {version}"));
    lab.again(hosts);
    lab.edit_config("network:\n  plugin: flannel\n", "");
    let tool = bundles.iter().fold(lab.tool(), |tool, bundle| tool.with_bundle(bundle));
    Some((lab, tool))
}

/// Says something in the output of `make test`, which shows nothing of what passing tests print.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "canal: {text}");
}

/// A client on h1 and a server on h2; their addresses.
fn two_pods(lab: &Lab, kubectl: &Kubectl) -> (String, String) {
    lab.load_workload_image();
    for (name, node) in [("client", "h1"), ("server", "h2")] {
        kubectl.apply(&pod(name, node)).succeeded();
    }
    let address = |name: &str| {
        let pods = kubectl.await_pods("default", &format!("app={name}"), 1);
        pods[0]["status"]["podIP"].as_str().unwrap().to_owned()
    };
    (address("client"), address("server"))
}

/// A pod that serves its name over HTTP.
fn pod(name: &str, node: &str) -> Value {
    let pod = json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}});
    let container = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let mut pod = deployment(name, pod, container, AGNHOST)["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod["spec"]["nodeName"] = json!(node);
    pod["spec"]["containers"][0]["name"] = json!("main");
    pod["spec"]["containers"][0]["args"] = json!(["netexec", "--http-port=8080"]);
    pod
}

fn policy(ingress: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": "server", "namespace": "default" },
        "spec": {
            "podSelector": { "matchLabels": { "app": "server" } },
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    })
}

/// Felix puts a policy in force soon after the API has it.
#[track_caller]
fn connects(kubectl: &Kubectl, from: &str, to: &str, wanted: bool) {
    let what = if wanted { "a connection that is allowed" } else { "a connection that is denied" };
    until(what, 30 * SECOND, || {
        let target = format!("{to}:8080");
        let ran = kubectl.run(&["exec", from, "--", "/agnhost", "connect", &target, "--timeout=2s"]);
        let connected = ran.code == Some(0);
        if connected || ran.has("TIMEOUT") { Ok(connected) } else { Err(ran.to_string()) }
            .and_then(|connected| if connected == wanted { Ok(()) } else { Err(ran.to_string()) })
    });
}

//! Three nodes that do everything.

use serde_json::json;

use crate::harness::{AGNHOST, Kubectl, Lab, SECOND, V1_34, until};

#[test]
fn three_nodes_serve_node_ports_and_pods_reach_each_other_by_name() {
    let lab = Lab::prepared("3", V1_34);
    lab.tool().up().succeeded();
    lab.load_workload_image();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1", "h2", "h3"]);
    lab.tool().finds_nothing_to_do();
    kubectl.tenant("tenant");
    kubectl.apply(&servers()).succeeded();
    kubectl.apply(&service()).succeeded();
    let pods = kubectl.await_pods("tenant", "app=server", 3);

    let port = kubectl.json(&["-n", "tenant", "get", "service", "server"])["spec"]["ports"][0]["nodePort"].clone();
    let port = port.as_u64().expect("a node port");
    for host in ["h1", "h2", "h3"] {
        let address = lab.address(host);
        until(&format!("the node port on {host}"), 120 * SECOND, || http(&lab, &address, port));
    }
    for from in &pods {
        let name = from["metadata"]["name"].as_str().expect("a name");
        for to in &pods {
            let target = format!("{}:8080", to["status"]["podIP"].as_str().expect("an address"));
            until(&format!("{name} to {target}"), 120 * SECOND, || connect(&kubectl, name, &target));
        }
        let by_name = "server.tenant.svc.cluster.local:80";
        until(&format!("{name} to {by_name}"), 120 * SECOND, || connect(&kubectl, name, by_name));
        // The same way of asking tells a name that is not there.
        assert!(connect(&kubectl, name, "nobody.tenant.svc.cluster.local:80").is_err());
    }
}

/// One pod on each node.
fn servers() -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "server", "namespace": "tenant"},
        "spec": {
            "selector": {"matchLabels": {"app": "server"}},
            "template": {
                "metadata": {"labels": {"app": "server"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "main", "image": AGNHOST, "imagePullPolicy": "Never", "args": ["netexec", "--http-port=8080"],
                        "readinessProbe": {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 1},
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    }],
                },
            },
        },
    })
}

fn service() -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "server", "namespace": "tenant"},
        "spec": {"type": "NodePort", "selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

/// Asks a node port from this machine, as a client outside the cluster does.
fn http(lab: &Lab, address: &str, port: u64) -> Result<(), String> {
    let request = format!(
        "exec 3<>/dev/tcp/{address}/{port}; printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' >&3; timeout 5 cat <&3"
    );
    let mut command = std::process::Command::new("timeout");
    command.args(["6", "bash", "-c", &request]).current_dir(lab.folder());
    let ran = crate::harness::run(&mut command).result()?;
    if ran.has("200 OK") && ran.has("server-") { Ok(()) } else { Err(ran.to_string()) }
}

/// Opens a connection from inside a pod.
fn connect(kubectl: &Kubectl, pod: &str, target: &str) -> Result<(), String> {
    let command = ["-n", "tenant", "exec", pod, "--", "/agnhost", "connect", target, "--timeout=3s"];
    kubectl.run(&command).result().map(|_| ())
}

//! Hosts that go and come back.

use std::time::Instant;

use crate::harness::{Kubectl, Lab, SECOND, V1_34, until};

#[test]
fn a_rebooted_host_comes_back_by_itself() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    let containers = "docker ps -aq --no-trunc | sort";
    let before = lab.script("h1", containers);
    lab.command(&["reboot", "h1"]).succeeded();
    until("an empty plan after the reboot", 120 * SECOND, || lab.tool().plans_nothing());
    assert_eq!(lab.script("h1", containers), before, "containers were made anew");
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&["h1"]);
    kubectl.await_pods("kube-system", "k8s-app=kube-dns", 1);
    until("health", 60 * SECOND, || lab.tool().run(&["status"]).result());
}

#[test]
fn killing_any_one_of_three_nodes_leaves_the_api_answering_through_every_living_proxy() {
    let lab = Lab::prepared("3", V1_34);
    lab.tool().up().succeeded();
    let hosts = ["h1", "h2", "h3"];
    for host in hosts {
        lab.send(host, &Kubectl::program(&lab), "/root/kubectl");
        until(&format!("the API through {host}'s proxy while all live"), 60 * SECOND, || answers(&lab, host));
    }
    for dead in hosts {
        lab.command(&["kill", dead]).succeeded();
        for living in hosts.into_iter().filter(|host| *host != dead) {
            until(&format!("the API through {living}'s proxy while {dead} is dead"), 60 * SECOND, || {
                answers(&lab, living)
            });
            // The proxy has found out who is dead: with it in the choice each would take its time. One may be late.
            let is_quick = |_: &u8| {
                let started = Instant::now();
                answers(&lab, living).unwrap_or_else(|reason| panic!("{living} without {dead}: {reason}"));
                started.elapsed() < 5 * SECOND
            };
            let quick = (0..5_u8).filter(is_quick).count();
            assert!(quick >= 3, "{living} without {dead}: only {quick} of 5 answers within 5 s");
        }
        lab.command(&["start", dead]).succeeded();
        until(&format!("an empty plan after {dead} came back"), 150 * SECOND, || lab.tool().plans_nothing());
        until(&format!("health after {dead} came back"), 60 * SECOND, || lab.tool().run(&["status"]).result());
        Kubectl::operator(&lab).await_nodes(&hosts);
        until(&format!("the pods of {dead} run anew"), 120 * SECOND, || runs_anew(&lab, dead));
    }
    until("an empty plan at the end", 120 * SECOND, || lab.tool().plans_nothing());
    lab.tool().finds_nothing_to_do();
}

/// Whether every pod of kube-system on this host was started since the host was, and is ready.
///
/// What the API says of a host's pods is old until its kubelet has told of them anew, and a plan believes it.
fn runs_anew(lab: &Lab, host: &str) -> Result<(), String> {
    let started = "echo $(($(date +%s) - $(cut -d. -f1 /proc/uptime) + $(cut -d' ' -f22 /proc/1/stat) / 100))";
    let booted: i64 = lab.try_script(host, started).result()?.text().parse().map_err(|error| format!("{error}"))?;
    let pods = Kubectl::operator(lab).try_json(&["-n", "kube-system", "get", "pods"])?;
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let here: Vec<_> = pods.iter().filter(|pod| pod["spec"]["nodeName"] == host).collect();
    if !here.iter().any(|pod| pod["metadata"]["labels"]["k8s-app"] == "flannel") {
        return Err(format!("{host} has no pod of flannel"));
    }
    for pod in here {
        let statuses = pod["status"]["containerStatuses"].as_array().filter(|all| !all.is_empty());
        for status in statuses.ok_or_else(|| format!("not begun: {}", pod["metadata"]["name"]))? {
            let time = status["state"]["running"]["startedAt"].as_str().ok_or(format!("does not run: {status}"))?;
            let time: jiff::Timestamp = time.parse().map_err(|error| format!("{time}: {error}"))?;
            if time.as_second() < booted || status["ready"] != true {
                return Err(status.to_string());
            }
        }
    }
    Ok(())
}

/// Whether the API answers a write-through read to this host's kubelet, whose way is the proxy on loopback.
fn answers(lab: &Lab, host: &str) -> Result<(), String> {
    let script = r#"
        kubeconfig=$(tr '\0' '\n' </proc/$(pidof kubelet)/cmdline | sed -n 's/^--kubeconfig=//p')
        grep -q 'server: https://127.0.0.1:6444' "$kubeconfig"
        timeout 20 /root/kubectl --kubeconfig "$kubeconfig" get node "$(uname -n)" -o name
    "#;
    let ran = lab.try_script(host, script).result()?;
    if ran.text() == format!("node/{host}") { Ok(()) } else { Err(ran.to_string()) }
}

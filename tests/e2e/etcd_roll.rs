//! etcd alone becomes another version, one member after another, and goes back.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Kubectl, Lab, V1_24, checkout};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
const OLD: &str = "3.5.21";
const NEW: &str = "3.5.33";

#[test]
#[ignore = "three nodes for six minutes; the upgrade of four nodes and the ways in which etcd heals replace members too"]
fn three_members_become_another_etcd_one_at_a_time_and_go_back() {
    let lab = Lab::prepared("3", V1_24);
    let tool = lab.tool().with_bundle(&lab.bundle("etcd-3.5.21"));
    let old = tool.clone().with_catalog(&checkout().join("tests/lab/catalog-etcd-3.5.21.yml"));
    old.up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(&HOSTS);
    let before = members(&lab, OLD);
    make_map(&kubectl, "before");
    let taken = snapshots(&lab);

    let plan = tool.plan().expect(2).says("replace container etcd").says("snapshot");
    assert!(!plan.has("drain") && !plan.has("replace container kube"), "{plan}");
    let begun = now(&lab);
    tool.up().succeeded();
    assert_eq!(members(&lab, NEW), before);
    let first = one_at_a_time(&lab, begun);
    let new: Vec<Value> = snapshots(&lab).into_iter().filter(|snapshot| !taken.contains(snapshot)).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    assert_eq!(new[0]["whole_on"], serde_json::json!(HOSTS), "{new:?}");
    let record = new[0]["name"].as_str().expect("a name");
    let at = lab.script(
        "h1",
        &format!("cd /var/lib/provision/snapshots; grep -q 3.5.21 {record}.json; stat -c %.9Y {record}.db"),
    );
    assert!(at.trim().parse::<f64>().expect("a time") < first, "{record} was taken at {at}, after {first}");
    kubectl.run(&["get", "configmap", "before"]).succeeded();
    make_map(&kubectl, "between");
    tool.finds_nothing_to_do();

    let begun = now(&lab);
    tool.run(&["rollback", "--yes"]).succeeded().says("back at generation 0001");
    assert_eq!(members(&lab, OLD), before);
    one_at_a_time(&lab, begun);
    for name in ["before", "between"] {
        kubectl.run(&["get", "configmap", name]).succeeded();
    }
    kubectl.await_nodes(&HOSTS);
    old.finds_nothing_to_do();
}

fn make_map(kubectl: &Kubectl, name: &str) {
    kubectl.run(&["create", "configmap", name, "--from-literal=a=b"]).succeeded();
}

/// Who the members are, by their own words: ids of cluster and member by name. Each runs this version and agrees on the leader,
/// and each host's only etcd is of that image.
#[track_caller]
fn members(lab: &Lab, version: &str) -> BTreeMap<String, (u64, u64)> {
    let mut members = BTreeMap::new();
    let mut leaders = Vec::new();
    for host in HOSTS {
        let answer = lab.etcdctl(host, "endpoint status -w json").succeeded();
        let status: Value = serde_json::from_str(answer.text()).expect("JSON");
        let status = &status[0]["Status"];
        assert_eq!(status["version"], version, "{host}: {status}");
        let id = |field: &str| status["header"][field].as_u64().expect("an id");
        members.insert(host.to_owned(), (id("cluster_id"), id("member_id")));
        leaders.push(status["leader"].clone());
        let containers =
            lab.script(host, "docker ps -a --filter name=etcd --format '{{.Names}} {{.Image}} {{.State}}'");
        assert_eq!(containers.trim(), format!("etcd registry.k8s.io/etcd:{version}-0 running"), "{host}");
    }
    assert!(leaders.iter().all(|leader| *leader == leaders[0]), "{leaders:?}");
    members
}

fn snapshots(lab: &Lab) -> Vec<Value> {
    let list = lab.tool().run(&["etcd", "snapshot", "list", "--json"]).succeeded();
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    list["snapshots"].as_array().cloned().unwrap_or_default()
}

/// Seconds of the clock that all hosts share.
fn now(lab: &Lab) -> f64 {
    lab.script("h1", "date +%s.%N").trim().parse().expect("a time")
}

/// Each member was away once since a time, by its own Docker's account, and no two at once. Gives when the first one went.
#[track_caller]
fn one_at_a_time(lab: &Lab, since: f64) -> f64 {
    let mut away: Vec<(f64, f64, &str)> = HOSTS.iter().map(|host| away(lab, host, since)).collect();
    away.sort_by(|one, other| one.0.total_cmp(&other.0));
    println!("away: {away:?}");
    for pair in away.windows(2) {
        assert!(pair[0].1 < pair[1].0, "two were away at once: {away:?}");
    }
    away[0].0
}

/// From when to when no etcd answered on a host: from its container's end until the next one was proven, after which the first
/// one is removed.
#[track_caller]
fn away<'a>(lab: &Lab, host: &'a str, since: f64) -> (f64, f64, &'a str) {
    let events = format!(
        "docker events --since {since} --until $(date +%s.%N) --filter type=container --filter event=die --filter event=destroy \
         --format '{{{{.Action}}}} {{{{.TimeNano}}}} {{{{.Actor.Attributes.name}}}}' | grep ' etcd$'"
    );
    let text = lab.script(host, &events);
    let events: Vec<(&str, f64)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (action, nanoseconds) = (words.next()?, words.next()?);
            Some((action, nanoseconds.parse::<f64>().ok()? / 1e9))
        })
        .collect();
    match events[..] {
        [("die", from), ("destroy", until)] => (from, until, host),
        _ => panic!("{host}: {text}"),
    }
}

//! Certificates that have grown old, on the hosts and in the state folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provision::entropy::RandomKeyMaker;
use provision::journal::{Holder, RealDisk, StateFolder, StoredKey};
use provision::ops::{self, Setup};
use provision::pki::{self, Material, MaterialEntry, MaterialName, PkiRequest, Renewal};

use crate::harness::tool::Tool;
use crate::harness::{Kubectl, Lab, SECOND, V1_34, until};

const DAY: i64 = 86_400;
/// Where hosts keep what is renewed.
const FOLDERS: &str = "/etc/kubernetes/ssl /etc/kubernetes/etcd";

#[test]
#[ignore = "six minutes; a death at every point of it is tried against fakes"]
fn certificates_near_their_end_and_behind_it_are_renewed_by_up_and_the_cluster_serves() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_pods("kube-system", "k8s-app=kube-dns", 1);
    grow_old(&lab, 250);
    until("the API with old certificates", 120 * SECOND, || kubectl.run(&["get", "nodes"]).result());
    kubectl.await_nodes(&["h1"]);
    let old = Certificates::of(&lab);
    old.all_end_within(114..=115);

    let pods = running_pods(&kubectl);
    let plan = lab.tool().plan().expect(2);
    for text in [
        "up renews 14 certificates",
        "replace container etcd",
        "replace container kube-apiserver",
        "replace kubelet.service",
    ] {
        assert!(plan.has(text), "{text} is not in {plan}");
    }
    plan.says("certificate node/h1/etcd-server expires in 114 days, under a third of its life");
    lab.tool().up().succeeded();
    let new = Certificates::of(&lab);
    new.all_end_within(364..=365);
    new.are_others_than(&old);
    assert_eq!(running_pods(&kubectl), pods, "pods were restarted");
    serves(&lab, &kubectl);
    lab.tool().finds_nothing_to_do();

    all_have_run_out(&lab, &kubectl);
}

/// Nothing of the control plane trusts another any more, and `up` mends it all the same.
fn all_have_run_out(lab: &Lab, kubectl: &Kubectl) {
    grow_old(lab, 366);
    until("the end of the API", 60 * SECOND, || match kubectl.run(&["get", "nodes"]).result() {
        Ok(ran) => Err(ran.to_string()),
        Err(_) => Ok(()),
    });
    let plan = lab.tool().plan().expect(2);
    plan.says("certificate node/h1/etcd-server has expired").says("start container etcd anew");
    lab.tool().up().succeeded();
    Certificates::of(lab).all_end_within(364..=365);
    serves(lab, kubectl);
    lab.tool().finds_nothing_to_do();
}

/// Nodes are Ready, pods answer through the apiserver's way to kubelet, and a Secret can be written and read.
#[track_caller]
fn serves(lab: &Lab, kubectl: &Kubectl) {
    kubectl.await_nodes(&["h1"]);
    kubectl.run(&["-n", "kube-system", "logs", "-l", "k8s-app=kube-dns", "--tail=1"]).succeeded();
    kubectl.run(&["create", "secret", "generic", "renewal", "--from-literal=word=kept"]).succeeded();
    let secret = kubectl.json(&["get", "secret", "renewal"]);
    assert_eq!(secret["data"]["word"], STANDARD.encode("kept"));
    kubectl.run(&["delete", "secret", "renewal"]).succeeded();
    until("figures from metrics-server", 120 * SECOND, || kubectl.run(&["top", "nodes"]).result());
    lab.tool().run(&["status"]).expect(0);
}

/// Containers of all pods with the number of their restarts.
fn running_pods(kubectl: &Kubectl) -> BTreeMap<String, u64> {
    let list = kubectl.json(&["get", "pods", "-A"]);
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let restarts =
        |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(99);
    pods.iter().map(|pod| (pod["metadata"]["uid"].to_string(), restarts(pod))).collect()
}

/// Leaf certificates of the host by path, each with its fingerprint and the days that it has left, as OpenSSL tells them.
struct Certificates(BTreeMap<String, (String, i64)>);

impl Certificates {
    fn of(lab: &Lab) -> Self {
        let script = format!(
            r#"find {FOLDERS} -type f '(' -name '*.crt' -o -name client.pem ')' ! -name '*ca.crt' | while read -r file; do
                end=$(date -d "$(openssl x509 -in "$file" -noout -enddate | cut -d= -f2)" +%s)
                echo "$file $(openssl x509 -in "$file" -noout -fingerprint -sha256 | cut -d= -f2) $(((end - $(date +%s)) / 86400))"
            done"#
        );
        let line = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_else(|| panic!("{line:?}"));
            (word(), (word(), word().parse().unwrap_or_else(|error| panic!("{line:?}: {error}"))))
        };
        let found: BTreeMap<_, _> = lab.script("h1", &script).lines().map(line).collect();
        assert_eq!(found.len(), 13, "{:?}", found.keys());
        Self(found)
    }

    #[track_caller]
    fn all_end_within(&self, days: std::ops::RangeInclusive<i64>) {
        for (path, (_, left)) in &self.0 {
            assert!(days.contains(left), "{path} has {left} days left, not {days:?}");
        }
    }

    #[track_caller]
    fn are_others_than(&self, old: &Self) {
        for (path, (fingerprint, _)) in &self.0 {
            assert_ne!(*fingerprint, old.0[path].0, "{path} is the old one");
        }
    }
}

/// Puts certificates of a cluster that was made so many days ago into the place of its own, in the state folder and on its host,
/// and starts everything anew with them.
fn grow_old(lab: &Lab, days: i64) {
    let mut folder =
        StateFolder::open(Arc::new(RealDisk), &lab.state(), Holder::this_process(run())).expect("the state");
    let now: Material = folder.state().material().iter().filter_map(material).collect();
    let lasting = |name: &&MaterialName| !name.as_str().starts_with("node/") && !name.as_str().starts_with("service/");
    let kept: Material =
        now.iter().filter(|(name, _)| lasting(name)).map(|(name, entry)| (name.clone(), entry.clone())).collect();
    let setup = Setup { config: lab.config(), catalog: Some(Tool::catalog()), home: PathBuf::new() };
    let loaded = ops::load(&setup).expect("cluster.yml");
    let request = PkiRequest { cluster: &loaded.cluster, renewal: Renewal::Make };
    let then = jiff::Timestamp::now().as_second() - days * DAY;
    let old = pki::complete(&request, &kept, then, &mut RandomKeyMaker).expect("keys").material;
    let stored = |(name, entry): (&MaterialName, &MaterialEntry)| {
        let stored = StoredKey { certificate: entry.certificate.clone(), key: Some(entry.key.clone()) };
        (name.as_str().to_owned(), stored)
    };
    folder.store_material(old.iter().map(stored).collect()).expect("the state");
    drop(folder);
    replace_on_host(lab, &now, &old);
    lab.script("h1", "docker restart $(docker ps -q) >/dev/null; systemctl restart kubelet");
}

fn run() -> provision::base::RunId {
    provision::entropy::run_id(jiff::Timestamp::now()).expect("a run's name")
}

fn material((name, stored): (&String, &StoredKey)) -> Option<(MaterialName, MaterialEntry)> {
    let entry = MaterialEntry { certificate: stored.certificate.clone(), key: stored.key.clone()? };
    Some((MaterialName::parse(name).ok()?, entry))
}

/// Every certificate and key of the host by what it is to become.
fn replace_on_host(lab: &Lab, now: &Material, old: &Material) {
    let list = format!("find {FOLDERS} -type f | while read -r file; do echo \"$file $(base64 -w0 \"$file\")\"; done");
    let text = |entry: &MaterialEntry| String::from_utf8(entry.key.expose().to_vec()).expect("a key is text");
    let mut script = String::new();
    for line in lab.script("h1", &list).lines() {
        let (path, bytes) = line.split_once(' ').expect("a path and bytes");
        let was = String::from_utf8(STANDARD.decode(bytes).expect("base64")).expect("text");
        let mut is = was.clone();
        for (name, entry) in now.iter().filter(|(name, entry)| old[*name] != **entry) {
            is = is.replace(&text(entry), &text(&old[name]));
            is = is.replace(
                entry.certificate.as_deref().unwrap_or("none"),
                old[name].certificate.as_deref().unwrap_or_default(),
            );
        }
        if is != was {
            script += &format!("echo {} | base64 -d >{path}\n", STANDARD.encode(is));
        }
    }
    assert!(script.lines().count() > 20, "{} files", script.lines().count());
    lab.script("h1", &script);
}

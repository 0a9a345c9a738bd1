//! Hosts prepared once: the runtime installed and configured and the images loaded by a real `up`, the cluster
//! taken out again. What a snapshot was made from is in its name, so that a stale one is never used.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::process::Command;

use super::tool::Tool;
use super::{Lab, run};

/// Takes a cluster out of a host, and leaves packages, their configuration, images and programs.
const EMPTY: &str = r#"
    systemctl disable --now kubelet.service
    docker ps -aq | xargs -r docker rm -f >/dev/null
    for container in $(ctr -n k8s.io containers ls -q); do
        ctr -n k8s.io tasks kill -s KILL "$container" || true
        ctr -n k8s.io tasks rm -f "$container" || true
        ctr -n k8s.io containers rm "$container"
    done >/dev/null 2>&1
    awk '$5 ~ "^/var/lib/kubelet/" {print $5}' /proc/self/mountinfo | sort -r | xargs -r umount
    rm -rf /etc/kubernetes /etc/cni /var/lib/etcd /var/lib/kubelet /var/lib/cni /var/log/kube-audit \
        /var/log/pods /var/log/containers /etc/systemd/system/kubelet.service
    systemctl daemon-reload
    ctr -n k8s.io containers ls -q
"#;

/// The tag of the snapshot for this lab's version; made now if it is not there.
pub fn snapshot(lab: &Lab) -> String {
    let tag = tag(lab);
    if lab.command(&["has-snapshot", &tag]).code == Some(0) {
        return tag;
    }
    lab.command(&["hosts", "1", "--fresh"]).succeeded();
    lab.tool().up().succeeded();
    keep(lab);
    tag
}

/// Takes the cluster out of h1 and keeps the host for all scenarios of this version.
pub fn keep(lab: &Lab) {
    let tag = tag(lab);
    lab.load_workload_image();
    let left = lab.script("h1", EMPTY);
    assert_eq!(left, "", "containers that could not be removed");
    lab.command(&["snapshot-rm", &format!("{}*", prefix(lab))]).succeeded();
    lab.command(&["snapshot", "h1", &tag]).succeeded();
}

fn prefix(lab: &Lab) -> String {
    format!("e2e-{}-", lab.version())
}

fn tag(lab: &Lab) -> String {
    let bundle = |name: &str| lab.bundle(name).join("index.json");
    let mut digests = Command::new("sha256sum");
    digests.arg(Tool::program()).arg(Tool::catalog()).arg(bundle(lab.version())).arg(bundle("workload"));
    let mut hasher = DefaultHasher::new();
    run(&mut digests).succeeded().stdout.hash(&mut hasher);
    format!("{}{:016x}", prefix(lab), hasher.finish())
}

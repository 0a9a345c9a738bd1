//! Pictures of what is there, for comparing: nothing at all may differ after a run that had nothing to do, but for what
//! Docker alone has started again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Kubectl, Lab, run};

/// Folders and files that the tool owns on a host, and those that it shares with the distribution.
const OWNED: &str = "/etc/kubernetes /etc/cni /opt/provision /opt/cni /etc/docker /etc/containerd \
    /etc/modules-load.d/provision.conf /etc/sysctl.d/90-provision.conf";

/// Lines by what they are about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture(BTreeMap<String, String>);

impl Picture {
    /// Files with their times, inodes, owners, modes and bytes; containers with their ids, restart counts and
    /// start times.
    pub fn of_host(lab: &Lab, host: &str) -> Self {
        let script = format!(
            r#"
            shopt -s nullglob
            paths=()
            for path in {OWNED} /etc/systemd/system/kubelet.service* /etc/systemd/system/provision*; do
                if [ -e "$path" ]; then paths+=("$path"); fi
            done
            if [ ${{#paths[@]}} -gt 0 ]; then
                find "${{paths[@]}}" -printf '%p|%y %T@ %C@ %i %m %U:%G %s %l\n'
                find "${{paths[@]}}" -type f -print0 | xargs -0 -r sha256sum | awk '{{print $2 " bytes|" $1}}'
            fi
            if command -v docker >/dev/null; then
                docker ps -aq --no-trunc | xargs -r docker inspect -f '{{{{.Name}}}}|{{{{.Id}}}} {{{{.RestartCount}}}} {{{{.State.StartedAt}}}}'
            fi
            systemctl show kubelet docker containerd -p Id -p ActiveEnterTimestampMonotonic --value | paste -sd' ' | sed 's/^/units|/'
            "#
        );
        let line = |line: &str| line.split_once('|').map(|(key, value)| (format!("{host} {key}"), value.to_owned()));
        Self(lab.script(host, &script).lines().filter_map(line).collect())
    }

    /// Bytes, owners and modes of the same files, without what a repair must change, and without the unit that ends
    /// replacements at a boot, which comes with the first of them.
    pub fn of_owned_bytes(lab: &Lab, host: &str) -> Self {
        let whole = Self::of_host(lab, host).0.into_iter();
        let is_owned = |key: &str| key.ends_with(" bytes") && !key.contains("provision-settle.service");
        Self(whole.filter(|(key, _)| is_owned(key)).collect())
    }

    /// What a host runs, and from which files: each container with its id, state and restart policy, kubelet's program and
    /// version, what waits for the next boot, and every file of components and records.
    pub fn of_what_runs(lab: &Lab, host: &str) -> Self {
        let script = r#"
            docker ps -aq --no-trunc | xargs docker inspect -f \
                '{{.Name}}|{{.Id}} {{.State.Status}} {{.HostConfig.RestartPolicy.Name}} {{.Config.Image}}'
            echo "kubelet|$(systemctl is-active kubelet) $(readlink /opt/provision/kubelet/current) $(/opt/provision/kubelet/current/kubelet --version)"
            echo "swaps begun|$(find /var/lib/provision/swap -name intent)"
            find /etc/kubernetes /etc/systemd/system/kubelet.service* /opt/provision -type f -print0 | xargs -0 sha256sum |
                awk '{print $2 "|" $1}'
        "#;
        let line = |line: &str| line.split_once('|').map(|(key, value)| (format!("{host} {key}"), value.to_owned()));
        Self(lab.script(host, script).lines().filter_map(line).collect())
    }

    /// The containers of a host.
    pub fn of_containers(lab: &Lab, host: &str) -> Self {
        let script = "docker ps -aq --no-trunc | xargs -r docker inspect -f '{{.Name}}|{{.Id}} {{.RestartCount}} {{.State.StartedAt}}'";
        let line = |line: &str| line.split_once('|').map(|(key, value)| (format!("{host} {key}"), value.to_owned()));
        Self(lab.script(host, script).lines().filter_map(line).collect())
    }

    /// Files of the state folder. The lock's own file names who held it last.
    pub fn of_state(folder: &Path) -> Self {
        let files =
            run(Command::new("find").arg(folder).args(["!", "-name", "LOCK", "-printf", "%p|%y %T@ %C@ %i %m %s\n"]))
                .succeeded();
        let line = |line: &str| line.split_once('|').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self(files.stdout.lines().filter_map(line).collect())
    }

    /// Several hosts in one picture.
    pub fn of_hosts(lab: &Lab, hosts: &[&str]) -> Self {
        hosts.iter().map(|host| Self::of_host(lab, host)).fold(Self::default(), Self::and)
    }

    /// Every API object that the tool made, with its version. One with a status changes its version without anybody's doing:
    /// of it what was written beside the status. Nodes beat all the time and are left out.
    pub fn of_objects(kubectl: &Kubectl) -> Self {
        let kinds = kubectl.run(&["api-resources", "--verbs=list", "-o", "name"]).succeeded();
        let moves =
            |kind: &&str| !["nodes", "events", "events.events.k8s.io", "leases.coordination.k8s.io"].contains(kind);
        let kinds: Vec<&str> = kinds.stdout.lines().filter(moves).collect();
        let list = kubectl.json(&["get", &kinds.join(","), "-A", "--show-managed-fields"]);
        let objects = list["items"].as_array().cloned().unwrap_or_default();
        let ours: BTreeMap<_, _> = objects.iter().filter(|object| is_ours(object)).map(versions).collect();
        assert!(ours.len() > 3, "only these objects name the tool as their manager: {ours:?}");
        Self(ours)
    }

    /// Both.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Takes out what is new against another picture and what the condition holds of.
    #[must_use]
    pub fn without_new(mut self, before: &Self, is_welcome: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|key, _| before.0.contains_key(key) || !is_welcome(key));
        self
    }

    /// Takes out what the condition holds of.
    #[must_use]
    pub fn without(mut self, is_left_out: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|key, _| !is_left_out(key));
        self
    }

    /// Whether this names a component that ends by itself when it cannot renew its lease.
    pub fn has_lease(name: &str) -> bool {
        name.ends_with("kube-controller-manager") || name.ends_with("kube-scheduler")
    }

    /// Fails with every line that differs, but for a component with a lease that Docker has started again.
    #[track_caller]
    pub fn is_as(&self, before: &Self) {
        self.compare(before).unwrap_or_else(|lines| panic!("what should be untouched differs:\n{lines}"));
    }

    /// Every line that differs is the reason; for waiting.
    pub fn compare(&self, before: &Self) -> Result<(), String> {
        let mut lines = Vec::new();
        for (key, was) in &before.0 {
            match self.0.get(key) {
                Some(is) if is == was => {}
                Some(is) if Self::has_lease(key) && ended_by_itself(was, is) => {
                    println!("{key} ended by itself and was started again: {is}")
                }
                Some(is) => lines.push(format!("{key}\n  was {was}\n  is  {is}")),
                None => lines.push(format!("{key} is gone; it was {was}")),
            }
        }
        let new = self.0.iter().filter(|(key, _)| !before.0.contains_key(*key));
        lines.extend(new.map(|(key, is)| format!("{key} is new: {is}")));
        assert!(!before.0.is_empty(), "the picture is empty");
        if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
    }
}

/// Whether a container is the same and was started again by Docker alone, which counts that. Whoever else starts it sets the
/// count to nought.
fn ended_by_itself(was: &str, is: &str) -> bool {
    let parts = |line: &str| {
        let (id, rest) = line.split_once(' ')?;
        let (count, _) = rest.split_once(' ')?;
        Some((id.to_owned(), count.parse::<u32>().ok()?))
    };
    let is_id = |id: &str| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (parts(was), parts(is)) {
        (Some((old, before)), Some((new, after))) => is_id(&old) && old == new && after > before,
        _ => false,
    }
}

fn is_ours(object: &Value) -> bool {
    let managers = object["metadata"]["managedFields"].as_array();
    managers
        .into_iter()
        .flatten()
        .any(|entry| entry["manager"].as_str().is_some_and(|name| name.starts_with("provision")))
}

fn versions(object: &Value) -> (String, String) {
    let metadata = &object["metadata"];
    let name = format!("{} {}/{}", object["kind"], metadata["namespace"], metadata["name"]);
    if object["status"].is_null() {
        return (name, format!("{} {}", metadata["uid"], metadata["resourceVersion"]));
    }
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let written: Vec<&Value> = managers.filter(|entry| entry["subresource"].is_null()).collect();
    let [uid, generation, deleted] = ["uid", "generation", "deletionTimestamp"].map(|field| &metadata[field]);
    let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
    (name, format!("{uid} {generation} {deleted} {labels} {annotations} {written:?}"))
}

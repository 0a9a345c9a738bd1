//! Which Kubernetes versions a cluster runs while an upgrade or a rollback has ended half-way.

use crate::base::{KubernetesVersion, NodeName};
use crate::cluster::Cluster;
use crate::state::{Component, Observed, ObservedApi, ObservedHost};

/// The ends of what runs. They are one version but for a cluster that is half upgraded, or half taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningVersions {
    /// That of the oldest apiserver, which may not skip a minor.
    pub oldest_apiserver: KubernetesVersion,
    /// The newest one of apiservers and kubelets: no apiserver may become older than a kubelet, or than one that has written to
    /// etcd, by more than rollbacks may.
    pub newest: KubernetesVersion,
}

impl RunningVersions {
    /// What apiservers' containers and what kubelets have told the API, of control planes and of all Nodes. In the place of an
    /// apiserver or a kubelet that was not seen stand the last completed generation and the one that was begun after it.
    pub fn of(
        cluster: &Cluster,
        observed: &Observed,
        completed: &KubernetesVersion,
        begun: Option<&KubernetesVersion>,
    ) -> Self {
        let told = || std::iter::once(completed).chain(begun).cloned().collect::<Vec<_>>();
        let apiservers: Vec<KubernetesVersion> =
            cluster.control_planes().flat_map(|node| apiservers(observed, &node.name).unwrap_or_else(told)).collect();
        let kubelets = kubelets(observed).unwrap_or_else(told);
        let oldest = apiservers.iter().min().unwrap_or(completed).clone();
        let newest = apiservers.iter().chain(&kubelets).max().unwrap_or(completed).clone();
        Self { oldest_apiserver: oldest, newest }
    }

    /// Whether a change of version has ended half-way.
    pub fn are_several(&self) -> bool {
        self.oldest_apiserver != self.newest
    }
}

/// The version of a host's apiserver, and of the one that was about to take its place; none where it cannot be told.
fn apiservers(observed: &Observed, node: &NodeName) -> Option<Vec<KubernetesVersion>> {
    let Some(ObservedHost::Reached(seen)) = observed.hosts.get(node) else { return None };
    let name = Component::KubeApiserver.as_str();
    let is_one = |container: &str| container.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest == ".next");
    let containers = seen.containers.iter().filter(|(name, _)| is_one(name)).map(|(_, container)| container);
    let versions = containers.map(|container| KubernetesVersion::parse(container.spec.image.reference.tag()).ok());
    versions.collect::<Option<Vec<_>>>().filter(|versions| !versions.is_empty())
}

/// What kubelets have reported of themselves; none where the API did not answer or one of them has reported nothing.
fn kubelets(observed: &Observed) -> Option<Vec<KubernetesVersion>> {
    let ObservedApi::Reached { objects, .. } = &observed.api else { return None };
    let nodes = objects.iter().filter(|(key, _)| key.kind == "Node").map(|(_, node)| node);
    let version = |node: &serde_json::Value| {
        let told = node.pointer("/status/nodeInfo/kubeletVersion")?.as_str()?;
        KubernetesVersion::parse(told).ok()
    };
    nodes.map(version).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::base::Digest;
    use crate::cluster::{NetworkPlugin, Roles, fixture};
    use crate::host::{FakeHost, FakeProcess};
    use crate::state::{HostSnapshot, ImageIdentity, ImageReference, ObjectKey};

    fn cluster() -> Cluster {
        let roles = Roles { control_plane: true, etcd: true, worker: true };
        fixture::cluster(vec![fixture::node(1, roles), fixture::node(2, roles)], NetworkPlugin::None)
    }

    fn name(number: u8) -> NodeName {
        NodeName::new(format!("h{number}")).unwrap()
    }

    fn image(tag: &str) -> ImageIdentity {
        ImageIdentity {
            reference: ImageReference(format!("registry.k8s.io/kube-apiserver:{tag}")),
            id: Digest::of(tag),
        }
    }

    /// A host whose containers of these names run images with these tags.
    fn host(number: u8, containers: &[(&str, &str)]) -> HostSnapshot {
        let mut snapshot = FakeHost::new(name(number), &FakeProcess::new()).state();
        for (container, tag) in containers {
            let observed = serde_json::from_value(json!({
                "id": container, "name": container, "irregularities": [], "status": "running", "running": true,
                "spec": {
                    "name": container, "image": image(tag), "entrypoint": [], "arguments": [], "user": "0:0", "mounts": [],
                    "privileged": false, "capabilities": [], "read_only_root": true, "tmpfs": [], "oom_score_adj": 0,
                    "cgroup_parent": "", "stop_timeout_seconds": 1,
                },
            }));
            snapshot.containers.insert((*container).to_owned(), observed.unwrap());
        }
        snapshot
    }

    fn observed(hosts: Vec<HostSnapshot>, kubelets: Option<&[&str]>) -> Observed {
        let hosts =
            hosts.into_iter().zip(1..).map(|(host, number)| (name(number), ObservedHost::Reached(Box::new(host))));
        let node = |version: &&str| json!({ "status": { "nodeInfo": { "kubeletVersion": version } } });
        let api = kubelets.map(|versions| ObservedApi::Reached {
            objects: versions
                .iter()
                .zip(1..)
                .map(|(version, number)| (ObjectKey::node(&name(number)), node(version)))
                .collect(),
            served: BTreeMap::new(),
            residents: BTreeMap::new(),
        });
        Observed { hosts: hosts.collect(), api: api.unwrap_or_default(), etcd_members: BTreeMap::new() }
    }

    /// Oldest apiserver and newest component, where 1.24 was completed and 1.25 begun.
    fn ends(observed: &Observed) -> [String; 2] {
        let parse = |text| KubernetesVersion::parse(text).unwrap();
        let versions = RunningVersions::of(&cluster(), observed, &parse("v1.24.17"), Some(&parse("v1.25.4")));
        [versions.oldest_apiserver.to_string(), versions.newest.to_string()]
    }

    const API: &str = "kube-apiserver";

    #[test]
    fn what_is_seen_counts_and_not_what_was_meant() {
        let untouched = [host(1, &[(API, "v1.24.17")]), host(2, &[(API, "v1.24.17")])];
        let kubelets: &[&str] = &["v1.24.17", "v1.24.17"];
        assert_eq!(ends(&observed(untouched.to_vec(), Some(kubelets))), ["v1.24.17", "v1.24.17"]);
        let half = vec![host(1, &[(API, "v1.25.4")]), host(2, &[(API, "v1.24.17")])];
        assert_eq!(ends(&observed(half, Some(kubelets))), ["v1.24.17", "v1.25.4"]);
        let taken_back = observed(untouched.to_vec(), Some(&["v1.24.17", "v1.25.4"]));
        assert_eq!(ends(&taken_back), ["v1.24.17", "v1.25.4"], "a kubelet is newer");
        let about_to = vec![host(1, &[(API, "v1.24.17"), ("kube-apiserver.next", "v1.25.4")]), untouched[1].clone()];
        assert_eq!(ends(&observed(about_to, Some(kubelets))), ["v1.24.17", "v1.25.4"]);
    }

    #[test]
    fn the_generations_stand_for_what_is_not_seen() {
        let new = || host(1, &[(API, "v1.25.4")]);
        let kubelets: &[&str] = &["v1.25.4", "v1.25.4"];
        let all = vec![new(), host(2, &[(API, "v1.25.4")])];
        assert_eq!(ends(&observed(all.clone(), Some(kubelets))), ["v1.25.4", "v1.25.4"]);
        for (hosts, what) in [
            (vec![new()], "a host that was not reached"),
            (vec![new(), host(2, &[])], "an apiserver that is missing"),
            (vec![new(), host(2, &[(API, "mine")])], "an image of the operator's own name"),
        ] {
            assert_eq!(ends(&observed(hosts, Some(kubelets))), ["v1.24.17", "v1.25.4"], "{what}");
        }
        let old = vec![host(1, &[(API, "v1.24.17")]), host(2, &[(API, "v1.24.17")])];
        assert_eq!(ends(&observed(old, None)), ["v1.24.17", "v1.25.4"], "no apiserver answers");
    }
}

//! What may become of a cluster that runs: which versions follow one another, and what can never change.

use std::fmt::Display;

use crate::base::KubernetesVersion;
use crate::cluster::{Cluster, NetworkPlugin};
use crate::state::{Component, ObservedHost};

use super::{Input, Plan, Refusal, RunningVersions};

/// Refuses what no order of steps makes possible.
pub(super) fn add(input: &Input<'_>, plan: &mut Plan) {
    let Some(completed) = &input.history.completed else { return };
    let (completed, begun) = (completed.as_ref(), input.history.begun.as_ref());
    let running = RunningVersions::of(input.cluster, input.observed, &completed.version, begun);
    let to = &input.cluster.version;
    plan.refusals.extend(if input.history.goes_back {
        backward(&running, to)
    } else {
        forward(&running, to, input.installable)
    });
    plan.refusals.extend(fixed(completed, input.cluster));
    plan.refusals.extend(moved(completed, input.cluster));
    plan.refusals.extend(unlabelled(input));
}

/// Namespaces must have their labels before the first apiserver of the newer version; once there is one they have them.
fn unlabelled(input: &Input<'_>) -> Option<Refusal> {
    let crossing = input.crossing.filter(|crossing| crossing.brings_pod_security && crossing.pod_security.is_none())?;
    let is_newer = |host: &ObservedHost| match host {
        ObservedHost::Reached(seen) => {
            seen.containers.get(Component::KubeApiserver.as_str()).is_some_and(|container| {
                KubernetesVersion::parse(container.spec.image.reference.tag())
                    .is_ok_and(|version| version.minor() >= crossing.to)
            })
        }
        ObservedHost::Unreachable(_) => false,
    };
    if input.observed.hosts.values().any(is_newer) {
        return None;
    }
    Some(Refusal {
        host: None,
        subject: format!("Kubernetes {}", input.cluster.version),
        reason:
            "it has no PodSecurityPolicy, and which level of Pod Security each namespace can bear could not be read"
                .into(),
        hint: "mend what is named, and run `provision plan` again".into(),
        details: crossing.unread.clone(),
    })
}

/// Nodes that have another address in the cluster.
fn moved<'a>(was: &'a Cluster, is: &'a Cluster) -> impl Iterator<Item = Refusal> + 'a {
    is.nodes.iter().filter_map(move |node| {
        let key = format!("internal_address of {}", node.name);
        let reason = "etcd's members, kubelet and the other nodes know the node by it";
        changed(&key, was.node(&node.name)?.internal_address, node.internal_address, reason)
    })
}

/// An apiserver may never skip a minor, and what a newer one has stored an older one may not be able to read
/// (Kubernetes' version skew policy). A change that has ended half-way counts with both of its ends.
fn forward(running: &RunningVersions, to: &KubernetesVersion, installable: &[KubernetesVersion]) -> Option<Refusal> {
    let RunningVersions { oldest_apiserver: oldest, newest } = running;
    let next = oldest.minor().0 + 1;
    let (reason, hint) = if to < newest {
        let who = if running.are_several() { "a part of the cluster" } else { "the cluster" };
        let reason = format!("{who} runs {newest}; a newer apiserver may have stored what an older one cannot read");
        (reason, "to go back to what ran before an upgrade, use `provision rollback`".to_owned())
    } else if to.minor().0 > next {
        let who = if running.are_several() { "one of the apiservers" } else { "the cluster" };
        let reason = format!("{who} runs {oldest}, and an apiserver may not skip a minor version");
        let first = match installable.iter().find(|version| version.minor().0 == next) {
            Some(version) => format!("kubernetes_version: {version}"),
            None => "the release catalog has none, and a --catalog file with its row may bring one".to_owned(),
        };
        (reason, format!("upgrade to a version of 1.{next} first, then minor by minor: {first}"))
    } else {
        return None;
    };
    Some(refusal(to, reason, hint))
}

/// One minor back is possible: what a version stores by default, the one before can read (Kubernetes' deprecation policy).
/// Forward it is never: components would go in the opposite order.
fn backward(running: &RunningVersions, to: &KubernetesVersion) -> Option<Refusal> {
    let RunningVersions { oldest_apiserver: oldest, newest } = running;
    if to > oldest {
        let who = if running.are_several() { "one of the apiservers" } else { "the cluster" };
        let reason = format!("{who} runs {oldest}, which is older: that is no way back");
        let hint = format!("write kubernetes_version: {to} into cluster.yml and run `provision up`");
        return Some(refusal(to, reason, hint));
    }
    if to.minor().0 + 1 >= newest.minor().0 {
        return None;
    }
    let who = if running.are_several() { "a part of the cluster" } else { "the cluster" };
    let reason = format!("{who} runs {newest}, and an apiserver may go back by one minor version at a time");
    Some(refusal(to, reason, format!("go back to a generation of 1.{} first: provision history", newest.minor().0 - 1)))
}

fn refusal(to: &KubernetesVersion, reason: String, hint: String) -> Refusal {
    Refusal { host: None, subject: format!("Kubernetes {to}"), reason, hint, details: Vec::new() }
}

/// What every object, certificate or address of the cluster was made with.
fn fixed(was: &Cluster, is: &Cluster) -> Vec<Refusal> {
    let (old, new) = (&was.network, &is.network);
    let services = "every Service has an address out of it, and certificates name the API's";
    let pods = "every node has a part of it, and every pod an address";
    let domain = "certificates, service accounts' issuer and running pods carry it";
    let plugin = "pods are attached to nodes by the old one; docs/networks.md shows how to move node by node";
    [
        changed("cluster_name", &was.name, &is.name, "contexts and etcd's token carry it"),
        changed("service_cluster_ip_range", old.service_cidr, new.service_cidr, services),
        changed("cluster_cidr", old.pod_cidr, new.pod_cidr, pods),
        changed("cluster_domain", &old.domain, &new.domain, domain),
        changed("cluster_dns_server", old.dns_ip, new.dns_ip, "running pods ask it for names"),
        changed("network.plugin", word(&old.plugin), word(&new.plugin), plugin).filter(|_| is_forbidden(old, new)),
        changed("services.etcd uid and gid", pair(was.etcd_user), pair(is.etcd_user), "etcd's data belongs to them"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// flannel and Canal share a way between nodes, so that one can follow the other on a running cluster.
fn is_forbidden(old: &crate::cluster::Network, new: &crate::cluster::Network) -> bool {
    matches!((&old.plugin, &new.plugin), (NetworkPlugin::None, _) | (_, NetworkPlugin::None))
}

fn word(plugin: &NetworkPlugin) -> &'static str {
    match plugin {
        NetworkPlugin::Canal(_) => "canal",
        NetworkPlugin::Flannel(_) => "flannel",
        NetworkPlugin::None => "none",
    }
}

fn pair((user, group): (u32, u32)) -> String {
    format!("{user}:{group}")
}

fn changed<T: Display + PartialEq>(key: &str, was: T, is: T, reason: &str) -> Option<Refusal> {
    (was != is).then(|| Refusal {
        host: None,
        subject: format!("{key} {is} instead of {was}"),
        reason: format!("it cannot change on a cluster that runs: {reason}"),
        hint: format!("write {was} again, or make a new cluster"),
        details: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> KubernetesVersion {
        KubernetesVersion::parse(text).unwrap()
    }

    /// Where the oldest apiserver and the newest component are of these versions.
    fn running(oldest: &str, newest: &str) -> RunningVersions {
        RunningVersions { oldest_apiserver: parse(oldest), newest: parse(newest) }
    }

    fn text(refusal: Option<Refusal>) -> Option<String> {
        refusal.map(|refusal| format!("{}; {}", refusal.reason, refusal.hint))
    }

    fn refused(from: &str, to: &str) -> Option<String> {
        text(forward(&running(from, from), &parse(to), &[parse("v1.24.17"), parse("v1.25.4")]))
    }

    fn refused_back(from: &str, to: &str) -> Option<String> {
        text(backward(&running(from, from), &parse(to)))
    }

    #[test]
    fn patches_and_the_next_minor_may_follow() {
        for (from, to) in [("v1.24.17", "v1.24.17"), ("v1.24.3", "v1.24.17"), ("v1.24.17", "v1.25.4")] {
            assert_eq!(refused(from, to), None, "{from} {to}");
        }
    }

    #[test]
    fn a_skipped_minor_names_the_next_and_a_downgrade_names_rollback() {
        assert!(refused("v1.24.17", "v1.26.0").unwrap().ends_with(": kubernetes_version: v1.25.4"));
        let without = refused("v1.25.4", "v1.34.1").unwrap();
        assert!(
            without.contains("a version of 1.26 first") && without.ends_with("with its row may bring one"),
            "{without}"
        );
        assert!(refused("v1.25.4", "v1.24.17").unwrap().contains("provision rollback"));
        assert!(refused("v1.24.17", "v1.24.3").unwrap().contains("provision rollback"));
    }

    #[test]
    fn the_way_back_goes_one_minor_at_a_time_and_never_forward() {
        for (from, to) in [("v1.25.4", "v1.24.17"), ("v1.24.17", "v1.24.3"), ("v1.24.17", "v1.24.17")] {
            assert_eq!(refused_back(from, to), None, "{from} {to}");
        }
        assert!(refused_back("v1.26.1", "v1.24.17").unwrap().contains("a generation of 1.25 first"));
        assert!(refused_back("v1.24.17", "v1.25.4").unwrap().contains("provision up"));
        assert!(refused_back("v1.24.3", "v1.28.0").unwrap().contains("kubernetes_version: v1.28.0"));
    }

    #[test]
    fn what_has_ended_half_way_counts_with_both_of_its_ends() {
        let half = running("v1.24.17", "v1.25.4");
        // What was begun may be gone on with in either direction.
        assert_eq!(text(forward(&half, &parse("v1.25.4"), &[])), None);
        assert_eq!(text(backward(&half, &parse("v1.24.17"))), None);
        // Apiservers may not become older than kubelets by the order of an upgrade.
        let reverted = text(forward(&half, &parse("v1.24.17"), &[])).unwrap();
        assert!(reverted.contains("a part of the cluster runs v1.25.4") && reverted.contains("provision rollback"));
        assert!(text(forward(&half, &parse("v1.26.0"), &[])).unwrap().contains("one of the apiservers runs v1.24.17"));
        assert!(text(backward(&half, &parse("v1.23.9"))).unwrap().contains("a part of the cluster runs v1.25.4"));
        assert!(text(backward(&half, &parse("v1.25.4"))).unwrap().contains("no way back"));
    }
}

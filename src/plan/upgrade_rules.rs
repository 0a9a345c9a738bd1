//! What may become of a cluster that runs: which versions follow one another, and what can never change.

use std::fmt::Display;

use crate::base::KubernetesVersion;
use crate::cluster::{Cluster, NetworkPlugin};

use crate::state::{Component, ObservedHost};

use super::{Input, Plan, Refusal};

/// Refuses what no order of steps makes possible.
pub(super) fn add(input: &Input<'_>, plan: &mut Plan) {
    let Some(completed) = &input.history.completed else { return };
    let allowed = if input.history.goes_back { backward } else { forward };
    plan.refusals.extend(allowed(&completed.version, &input.cluster.version));
    plan.refusals.extend(fixed(completed, input.cluster));
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

/// An apiserver may never skip a minor, and what a newer one has stored an older one may not be able to read
/// (Kubernetes' version skew policy).
fn forward(from: &KubernetesVersion, to: &KubernetesVersion) -> Option<Refusal> {
    let next = from.minor().0 + 1;
    let (reason, hint) = if to < from {
        let reason =
            format!("the cluster runs {from}; a newer apiserver may have stored what an older one cannot read");
        (reason, "to go back to what ran before an upgrade, use `provision rollback`".to_owned())
    } else if to.minor().0 > next {
        let reason = format!("the cluster runs {from}, and an apiserver may not skip a minor version");
        (reason, format!("upgrade to a version of 1.{next} first, then minor by minor: kubernetes_version: v1.{next}"))
    } else {
        return None;
    };
    Some(Refusal { host: None, subject: format!("Kubernetes {to}"), reason, hint, details: Vec::new() })
}

/// Not forward in the opposite order. One minor back is possible: what a version stores by default, the one before can read (Kubernetes' deprecation policy).
fn backward(from: &KubernetesVersion, to: &KubernetesVersion) -> Option<Refusal> {
    if to > from {
        let reason = format!("the cluster runs {from}, which is older: that is no way back");
        let hint = format!("write kubernetes_version: {to} into cluster.yml and run `provision up`");
        return Some(Refusal { host: None, subject: format!("Kubernetes {to}"), reason, hint, details: Vec::new() });
    }
    if to.minor().0 + 1 >= from.minor().0 {
        return None;
    }
    Some(Refusal {
        host: None,
        subject: format!("Kubernetes {to}"),
        reason: format!("the cluster runs {from}, and an apiserver may go back by one minor version at a time"),
        hint: format!("go back to a generation of 1.{} first: provision history", from.minor().0 - 1),
        details: Vec::new(),
    })
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

    fn refused(from: &str, to: &str) -> Option<String> {
        let parse = |text| KubernetesVersion::parse(text).unwrap();
        forward(&parse(from), &parse(to)).map(|refusal| format!("{}; {}", refusal.reason, refusal.hint))
    }

    #[test]
    fn patches_and_the_next_minor_may_follow() {
        for (from, to) in [("v1.24.17", "v1.24.17"), ("v1.24.3", "v1.24.17"), ("v1.24.17", "v1.25.4")] {
            assert_eq!(refused(from, to), None, "{from} {to}");
        }
    }

    #[test]
    fn the_way_back_goes_one_minor_at_a_time_and_never_forward() {
        let parse = |text: &str| KubernetesVersion::parse(text).unwrap();
        let refused = |from: &str, to: &str| backward(&parse(from), &parse(to)).map(|refusal| refusal.hint);
        for (from, to) in [("v1.25.4", "v1.24.17"), ("v1.24.17", "v1.24.3"), ("v1.24.17", "v1.24.17")] {
            assert_eq!(refused(from, to), None, "{from} {to}");
        }
        assert!(refused("v1.26.1", "v1.24.17").unwrap().contains("a generation of 1.25 first"));
        assert!(refused("v1.24.17", "v1.25.4").unwrap().contains("provision up"));
        assert!(refused("v1.24.3", "v1.24.17").unwrap().contains("kubernetes_version: v1.24.17"));
    }

    #[test]
    fn a_skipped_minor_names_the_next_and_a_downgrade_names_rollback() {
        assert!(refused("v1.24.17", "v1.26.0").unwrap().contains("kubernetes_version: v1.25"));
        assert!(refused("v1.25.4", "v1.24.17").unwrap().contains("provision rollback"));
        assert!(refused("v1.24.17", "v1.24.3").unwrap().contains("provision rollback"));
    }
}

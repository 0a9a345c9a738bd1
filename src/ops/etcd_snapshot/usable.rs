//! Whether a snapshot may be restored into a cluster, by what its record says.

use crate::state::{ImageReference, SnapshotCluster, SnapshotRecord, etcd_minor};

/// Everything that speaks against it, one sentence each.
pub(super) fn objections<'a>(
    record: &SnapshotRecord,
    cluster: &SnapshotCluster,
    images: impl Iterator<Item = &'a ImageReference>,
) -> Vec<String> {
    let mut found = foreign(&record.cluster, cluster);
    found.extend(etcd_versions(record, images));
    found.extend(kubernetes_versions(&record.cluster, cluster));
    found
}

fn foreign(theirs: &SnapshotCluster, ours: &SnapshotCluster) -> Vec<String> {
    let (their, our) = (&theirs.fingerprints, &ours.fingerprints);
    let differs = |what: &str, is: &str, wants: &str| {
        (is != wants).then(|| format!("it is of another cluster: {what} {is} instead of {wants}"))
    };
    let key = |what: &str, is: &crate::base::Digest, wants: &crate::base::Digest, then: &str| {
        let (is, wants) = (is.short(), wants.short());
        (is != wants).then(|| format!("{what} is not this cluster's (fingerprint {is} instead of {wants}): {then}"))
    };
    let authorities = [
        ("etcd's authority has fingerprint", &their.etcd_authority, &our.etcd_authority),
        ("its authority has fingerprint", &their.cluster_authority, &our.cluster_authority),
        ("the front proxy's authority has fingerprint", &their.front_proxy_authority, &our.front_proxy_authority),
    ];
    let mut found: Vec<String> = differs("etcd's token is", &theirs.token, &ours.token).into_iter().collect();
    found.extend(authorities.iter().filter_map(|(what, is, wants)| differs(what, is.short(), wants.short())));
    found.extend(key(
        "the key that its Secrets are encrypted with",
        &their.encryption_key,
        &our.encryption_key,
        "no apiserver could read them",
    ));
    found.extend(key(
        "the key of its service account tokens",
        &their.service_account_key,
        &our.service_account_key,
        "no token in it would be accepted",
    ));
    found
}

/// The hosts ask their images themselves; this is what tags tell beforehand.
fn etcd_versions<'a>(record: &SnapshotRecord, images: impl Iterator<Item = &'a ImageReference>) -> Option<String> {
    let oldest = images.filter_map(|image| Some((etcd_minor(image.tag())?, image))).min_by_key(|(minor, _)| *minor);
    let (minor, image) = oldest?;
    let newer = record.etcd.etcd_minor().is_none_or(|theirs| theirs > minor);
    newer.then(|| format!("etcd {} made it, which is newer than {image} of this cluster", record.etcd.version))
}

/// An apiserver does not know what a newer one has stored, and loses the oldest ways of storing after a while.
fn kubernetes_versions(theirs: &SnapshotCluster, ours: &SnapshotCluster) -> Option<String> {
    let (is, runs) = (&theirs.kubernetes_version, &ours.kubernetes_version);
    if is.minor() > runs.minor() {
        return Some(format!("Kubernetes {is} wrote it, and {runs} of this cluster cannot read all of that"));
    }
    let far = is.minor().0 + 1 < runs.minor().0;
    far.then(|| format!("Kubernetes {is} wrote it, more than one minor before {runs} of this cluster"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, KubernetesVersion, NodeName};
    use crate::state::{Fingerprints, SnapshotFacts, SnapshotName, Taken};

    fn cluster(version: &str) -> SnapshotCluster {
        let fingerprints = Fingerprints {
            cluster_authority: Digest::of("cluster"),
            etcd_authority: Digest::of("etcd"),
            front_proxy_authority: Digest::of("front proxy"),
            service_account_key: Digest::of("service account"),
            encryption_key: Digest::of("encryption"),
        };
        let kubernetes_version = KubernetesVersion::parse(version).unwrap();
        SnapshotCluster { name: "lab".into(), token: "lab-1".into(), kubernetes_version, generation: 3, fingerprints }
    }

    fn record(cluster: SnapshotCluster, etcd: &str) -> SnapshotRecord {
        let facts = SnapshotFacts {
            cluster_id: "a".into(),
            version: etcd.into(),
            revision: 1,
            hash: 1,
            size: 1,
            sha256: Digest::of("bytes"),
        };
        let taken = Taken { by: NodeName::new("h1").unwrap(), facts, canary: "c".into() };
        SnapshotRecord::new(SnapshotName::new("s").unwrap(), "2026-11-26T09:41:52Z".into(), cluster, taken)
    }

    fn objections_to(record: &SnapshotRecord) -> String {
        let images = [ImageReference("registry.k8s.io/etcd:3.5.33-0".into())];
        objections(record, &cluster("v1.25.4"), images.iter()).join("\n")
    }

    #[test]
    fn a_snapshot_of_this_cluster_may_be_restored() {
        assert_eq!(objections_to(&record(cluster("v1.25.4"), "3.5.21")), "");
        assert_eq!(objections_to(&record(cluster("v1.24.17"), "3.5.33")), "");
    }

    #[test]
    fn a_snapshot_of_another_cluster_is_refused() {
        let other = SnapshotCluster { token: "other-1".into(), ..cluster("v1.25.4") };
        assert_eq!(
            objections_to(&record(other, "3.5.33")),
            "it is of another cluster: etcd's token is other-1 instead of lab-1"
        );
        let mut other = cluster("v1.25.4");
        other.fingerprints.etcd_authority = Digest::of("another");
        assert!(objections_to(&record(other, "3.5.33")).contains("etcd's authority has fingerprint"));
    }

    #[test]
    fn a_snapshot_whose_secrets_nobody_could_read_is_refused() {
        let mut other = cluster("v1.25.4");
        other.fingerprints.encryption_key = Digest::of("lost");
        assert!(objections_to(&record(other, "3.5.33")).contains("no apiserver could read them"));
    }

    #[test]
    fn a_snapshot_of_a_newer_etcd_or_kubernetes_is_refused() {
        assert!(objections_to(&record(cluster("v1.25.4"), "3.6.0")).contains("etcd 3.6.0 made it, which is newer"));
        assert!(objections_to(&record(cluster("v1.26.0"), "3.5.0")).contains("Kubernetes v1.26.0 wrote it"));
        assert!(objections_to(&record(cluster("v1.23.0"), "3.5.0")).contains("more than one minor before"));
    }
}

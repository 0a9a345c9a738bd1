//! Which of the snapshots that the tool takes by itself are kept.

use std::collections::BTreeSet;

use crate::base::KubernetesVersion;
use crate::state::{BEFORE_ROLLBACK, BEFORE_UPGRADE, SnapshotName, SnapshotRecord};

/// So many are kept in any case, the newest ones: as many as RKE keeps by default.
pub const KEPT_SNAPSHOTS: usize = 6;

/// Whether the tool has taken it by itself for this reason: to the reason it adds the time, to the millisecond.
fn is_taken(reason: &str, name: &SnapshotName) -> bool {
    let Some(time) = name.as_str().strip_prefix(reason).and_then(|rest| rest.strip_prefix('-')) else { return false };
    let form = |(index, byte): (usize, u8)| match index {
        8 => byte == b'T',
        15 => byte == b'.',
        19 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    time.len() == 20 && time.bytes().enumerate().all(form)
}

fn is_automatic(name: &SnapshotName) -> bool {
    [BEFORE_UPGRADE, BEFORE_ROLLBACK].iter().any(|reason| is_taken(reason, name))
}

/// Whether a rollback to a generation of this number and version can be done with it: it was taken before that was upgraded,
/// while nothing newer ran.
pub fn is_way_back(record: &SnapshotRecord, generation: u32, version: &KubernetesVersion) -> bool {
    let cluster = &record.cluster;
    is_taken(BEFORE_UPGRADE, &record.name) && cluster.generation == generation && cluster.kubernetes_version == *version
}

/// Those of these snapshots, oldest first, that go: automatic ones beyond the newest, but for the one with which each of
/// these generations would be gone back to.
pub fn superfluous(records: &[SnapshotRecord], generations: &[(u32, KubernetesVersion)]) -> Vec<SnapshotName> {
    let chosen = |(number, version): &(u32, KubernetesVersion)| {
        records.iter().rev().find(|record| is_way_back(record, *number, version)).map(|record| &record.name)
    };
    let needed: BTreeSet<&SnapshotName> = generations.iter().filter_map(chosen).collect();
    let automatic: Vec<&SnapshotName> =
        records.iter().map(|record| &record.name).filter(|name| is_automatic(name)).collect();
    let older = &automatic[..automatic.len().saturating_sub(KEPT_SNAPSHOTS)];
    older.iter().filter(|name| !needed.contains(**name)).map(|name| (*name).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, NodeName};
    use crate::state::{Fingerprints, SnapshotCluster, SnapshotFacts, Taken};

    fn version(text: &str) -> KubernetesVersion {
        KubernetesVersion::parse(text).unwrap()
    }

    fn record(name: &str, generation: u32, kubernetes: &str) -> SnapshotRecord {
        let digest = || Digest::of("x");
        let fingerprints = Fingerprints {
            cluster_authority: digest(),
            etcd_authority: digest(),
            front_proxy_authority: digest(),
            service_account_key: digest(),
            encryption_key: digest(),
        };
        let kubernetes_version = version(kubernetes);
        let cluster =
            SnapshotCluster { name: "a".into(), token: "t".into(), kubernetes_version, generation, fingerprints };
        let (cluster_id, etcd) = ("a".into(), "3.5.33".into());
        let facts = SnapshotFacts { cluster_id, version: etcd, revision: 1, hash: 1, size: 1, sha256: digest() };
        let taken = Taken { by: NodeName::new("h1").unwrap(), facts, canary: "c".into() };
        SnapshotRecord::new(SnapshotName::new(name).unwrap(), "2026".into(), cluster, taken)
    }

    fn automatic(day: usize, generation: u32, kubernetes: &str) -> SnapshotRecord {
        record(&format!("before-upgrade-202611{day:02}T000000.000Z"), generation, kubernetes)
    }

    #[test]
    fn what_a_rollback_needs_and_what_people_took_is_never_removed() {
        let mut records = vec![
            record("before-upgrade-of-mine", 1, "v1.24.17"),
            // Taken again after the upgrade had ended half-way.
            automatic(1, 1, "v1.24.17"),
            automatic(2, 1, "v1.24.17"),
            automatic(3, 1, "v1.25.4"),
            record("by-hand", 2, "v1.25.4"),
        ];
        records.extend((4..4 + KEPT_SNAPSHOTS).map(|day| automatic(day, 2, "v1.25.4")));
        let generations = [(1, version("v1.24.17")), (2, version("v1.25.4"))];
        let gone: Vec<String> = superfluous(&records, &generations).iter().map(ToString::to_string).collect();
        assert_eq!(gone, ["before-upgrade-20261101T000000.000Z", "before-upgrade-20261103T000000.000Z"]);
        assert!(superfluous(&records[..5], &generations).is_empty(), "there are few");
    }
}

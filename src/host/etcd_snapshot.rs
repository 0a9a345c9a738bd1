//! What a host is asked to do with snapshots of etcd.

use crate::base::Digest;
use crate::state::{ImageIdentity, Owner, SnapshotName, SnapshotRecord};

/// A snapshot to be taken from the host's own member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSave {
    /// Its name; one that is there is refused.
    pub name: SnapshotName,
    /// The member's image, which holds etcdctl and etcdutl as well.
    pub image: ImageIdentity,
    /// The member's account: only it can read the member's certificates.
    pub owner: Owner,
    /// What is written to the canary key before.
    pub canary: String,
}

/// A snapshot to be verified: its bytes, etcd's own hash at their end, and the canary key out of a scratch etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotCheck {
    /// The member's image.
    pub image: ImageIdentity,
    /// What it must be.
    pub record: SnapshotRecord,
}

/// What a snapshot holds, to be made into a member's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRestore {
    /// The snapshot.
    pub name: SnapshotName,
    /// Bytes of its file.
    pub size: u64,
    /// SHA-256 of its file.
    pub sha256: Digest,
    /// The member's image.
    pub image: ImageIdentity,
    /// The member's account, to which the data belongs.
    pub owner: Owner,
    /// Names this restore and no other: the same again goes on where it stopped. The old data is kept under it.
    pub stamp: String,
    /// The member's name.
    pub member: String,
    /// Where other members reach it.
    pub peer_url: String,
    /// All members, `NAME=URL` with commas between them.
    pub initial_cluster: String,
    /// `--initial-cluster-token`.
    pub token: String,
}

/// A member's data that was made of a snapshot, to be put in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRestore {
    /// Names the restore.
    pub stamp: String,
    /// The member's account.
    pub owner: Owner,
}

impl SnapshotSave {
    /// The values that the script reads, in its order.
    pub(super) fn values(&self) -> Vec<String> {
        let name = self.name.to_string();
        vec![name, self.image.id.to_string(), account(self.owner), self.canary.clone()]
    }
}

impl SnapshotCheck {
    /// The values that the script reads, in its order.
    pub(super) fn values(&self) -> Vec<String> {
        let (record, etcd) = (&self.record, &self.record.etcd);
        vec![
            record.name.to_string(),
            self.image.id.to_string(),
            etcd.size.to_string(),
            etcd.sha256.hexadecimal().to_owned(),
            etcd.version.clone(),
            etcd.revision.to_string(),
            etcd.hash.to_string(),
            record.canary.clone(),
        ]
    }
}

impl SnapshotRestore {
    /// The values that the script reads, in its order.
    pub(super) fn values(&self) -> Vec<String> {
        vec![
            self.stamp.clone(),
            self.name.to_string(),
            self.image.id.to_string(),
            self.size.to_string(),
            self.sha256.hexadecimal().to_owned(),
            account(self.owner),
            self.member.clone(),
            self.peer_url.clone(),
            self.initial_cluster.clone(),
            self.token.clone(),
        ]
    }
}

impl PreparedRestore {
    /// The values that the script reads, in its order.
    pub(super) fn values(&self) -> Vec<String> {
        vec![self.stamp.clone(), account(self.owner)]
    }
}

fn account(owner: Owner) -> String {
    format!("{}:{}", owner.uid, owner.gid)
}

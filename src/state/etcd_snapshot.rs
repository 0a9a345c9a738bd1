//! Snapshots of etcd, as they lie on etcd hosts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, KubernetesVersion, NodeName};

/// Where they lie: root's alone (0700, files 0600), beside etcd's data and not in it.
pub const SNAPSHOT_FOLDER: &str = "/var/lib/provision/snapshots";
/// How names of snapshots begin that are taken before something of etcd or of Kubernetes changes.
pub const BEFORE_UPGRADE: &str = "before-upgrade";

/// How the names of those begin that the tool takes before it takes an upgrade back.
pub const BEFORE_ROLLBACK: &str = "before-rollback";
/// The format of a record that this tool writes.
const FORMAT: u32 = 1;
/// A name becomes part of file names.
const LONGEST_NAME: usize = 100;

/// Why a text names no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a snapshot: 1 to 100 letters, digits, `-`, `_` and `.`, the first a letter or digit")]
pub struct InvalidSnapshotName(pub String);

/// The name of a snapshot, safe as part of a file's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

impl SnapshotName {
    /// Reads a name.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSnapshotName> {
        let text = text.into();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let fits = begins_well && text.len() <= LONGEST_NAME && text.bytes().all(known);
        if fits { Ok(Self(text)) } else { Err(InvalidSnapshotName(text)) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file that etcd has written.
    pub fn database_path(&self) -> String {
        format!("{SNAPSHOT_FOLDER}/{}.db", self.0)
    }

    /// The record beside it: a snapshot is whole once this file is there.
    pub fn record_path(&self) -> String {
        format!("{SNAPSHOT_FOLDER}/{}.json", self.0)
    }

    /// What the host has found out while it took the snapshot; gone once the record is written.
    pub fn facts_path(&self) -> String {
        format!("{SNAPSHOT_FOLDER}/{}.facts", self.0)
    }

    /// The snapshot that a file of the folder belongs to; none for other files.
    pub fn of_file(path: &str) -> Option<Self> {
        let file = path.strip_prefix(SNAPSHOT_FOLDER)?.strip_prefix('/')?;
        let name = file.strip_suffix(".db").or_else(|| file.strip_suffix(".json"))?;
        Self::new(name).ok()
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = InvalidSnapshotName;

    fn try_from(text: String) -> Result<Self, InvalidSnapshotName> {
        Self::new(text)
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for SnapshotName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Without these a snapshot cannot be used: authorities that clients know, keys that its content was signed or encrypted
/// with. Digests only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprints {
    /// SHA-256 of the cluster authority's certificate (DER).
    pub cluster_authority: Digest,
    /// SHA-256 of etcd's authority's certificate (DER).
    pub etcd_authority: Digest,
    /// SHA-256 of the front proxy's authority's certificate (DER).
    pub front_proxy_authority: Digest,
    /// SHA-256 of the public key of service account tokens (PEM).
    pub service_account_key: Digest,
    /// SHA-256 of the key that Secrets are encrypted with; its 32 random bytes cannot be guessed from it.
    pub encryption_key: Digest,
}

/// Which cluster a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCluster {
    /// `cluster_name`.
    pub name: String,
    /// `--initial-cluster-token` of its etcd members.
    pub token: String,
    /// The version that was applied last, or the newest of an apiserver that was seen at work: it has written too.
    pub kubernetes_version: KubernetesVersion,
    /// The generation that was applied last.
    pub generation: u32,
    /// Its authorities and keys.
    pub fingerprints: Fingerprints,
}

/// `NAME.json`: everything that decides whether and how a snapshot can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRecord {
    format: u32,
    /// Its name.
    pub name: SnapshotName,
    /// When it was asked for (RFC 3339, UTC).
    pub created: String,
    /// Which cluster.
    pub cluster: SnapshotCluster,
    /// The etcd host that took it.
    pub taken_by: NodeName,
    /// What etcd has told.
    pub etcd: SnapshotFacts,
    /// Value of the canary key at that moment: random, and read back when the snapshot is verified.
    pub canary: String,
}

impl SnapshotRecord {
    /// Puts a record together.
    pub fn new(name: SnapshotName, created: String, cluster: SnapshotCluster, taken: Taken) -> Self {
        let Taken { by: taken_by, facts: etcd, canary } = taken;
        Self { format: FORMAT, name, created, cluster, taken_by, etcd, canary }
    }

    /// Reads `NAME.json`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if value["format"].as_u64().is_some_and(|format| format > FORMAT.into()) {
            return Err(format!("a newer provision wrote it (format {}, known is {FORMAT})", value["format"]));
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// The text of `NAME.json`.
    pub fn text(&self) -> String {
        // Only names and numbers as keys: it cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Who took a snapshot, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The host.
    pub by: NodeName,
    /// What etcd has told.
    pub facts: SnapshotFacts,
    /// Value of the canary key.
    pub canary: String,
}

/// What etcd tells of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotFacts {
    /// The cluster's id, hexadecimal.
    pub cluster_id: String,
    /// Version of the etcd that took it, such as `3.6.14`.
    pub version: String,
    /// The newest revision in it.
    pub revision: u64,
    /// etcd's hash over all that is in it.
    pub hash: u64,
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: Digest,
}

impl SnapshotFacts {
    /// Reads `NAME.facts`: `put` with the answer to the canary's writing, `status` with what etcdutl says of the file, and
    /// `version`, `size` and `sha256`.
    ///
    /// # Errors
    ///
    /// What is missing or cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line = |word: &str| {
            let found = text.lines().filter_map(|line| line.split_once(' ')).find(|(first, _)| *first == word);
            found.map(|(_, rest)| rest.trim()).ok_or_else(|| format!("`{word}` is missing"))
        };
        let json = |word: &str| {
            let value: Result<serde_json::Value, _> = serde_json::from_str(line(word)?);
            value.map_err(|error| format!("`{word}` is no JSON: {error}"))
        };
        let (put, status) = (json("put")?, json("status")?);
        let number = |value: &serde_json::Value, name: &str| value.as_u64().ok_or_else(|| format!("no {name}"));
        Ok(Self {
            cluster_id: format!("{:x}", number(&put["header"]["cluster_id"], "cluster id")?),
            version: line("version")?.to_owned(),
            revision: number(&status["revision"], "revision")?,
            hash: number(&status["hash"], "hash")?,
            size: line("size")?.parse().map_err(|_| "`size` is no number")?,
            sha256: Digest::parse(line("sha256")?).ok_or("`sha256` is no digest")?,
        })
    }

    /// Major and minor of the etcd that took it.
    pub fn etcd_minor(&self) -> Option<(u64, u64)> {
        etcd_minor(&self.version)
    }
}

/// Major and minor of an etcd version or of an image's tag, such as `3.6.4-0`; none where the text begins otherwise.
pub fn etcd_minor(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.trim_start_matches('v').split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["a", "before-v1.25.4", "20261126T094152Z-1a2b3c", &"x".repeat(100)] {
            assert!(SnapshotName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "..", "a b", "a\nb", "ä", &"x".repeat(101)] {
            assert!(SnapshotName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_of_the_folder_tell_their_snapshot() {
        let name = SnapshotName::new("a.db").unwrap();
        assert_eq!(SnapshotName::of_file(&name.database_path()), Some(name.clone()));
        assert_eq!(SnapshotName::of_file(&name.record_path()), Some(name.clone()));
        assert_eq!(SnapshotName::of_file(&name.facts_path()), None);
        assert_eq!(SnapshotName::of_file(&format!("{SNAPSHOT_FOLDER}/.work/a.db")), None);
    }

    const FACTS: &str = "put {\"header\":{\"cluster_id\":12101053776118486841,\"member_id\":1,\"revision\":2}}\n\
        status {\"hash\":3954644892,\"revision\":2,\"totalKey\":1,\"totalSize\":20480,\"version\":\"3.6.0\"}\n\
        version 3.6.14\nsize 20512\n\
        sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

    #[test]
    fn what_etcd_has_told_is_read() {
        let facts = SnapshotFacts::parse(FACTS).unwrap();
        assert_eq!((facts.revision, facts.hash, facts.size), (2, 3_954_644_892, 20_512));
        assert_eq!((facts.cluster_id.as_str(), facts.etcd_minor()), ("a7ef944b95711739", Some((3, 6))));
        let cut = FACTS.replace("status {", "status ");
        assert!(SnapshotFacts::parse(&cut).unwrap_err().starts_with("`status` is no JSON"));
        assert_eq!(SnapshotFacts::parse("").unwrap_err(), "`put` is missing");
    }

    #[test]
    fn a_record_of_a_newer_tool_is_not_called_damaged() {
        assert!(SnapshotRecord::parse("{\"format\": 2}").unwrap_err().contains("a newer provision wrote it"));
    }

    #[test]
    fn minors_are_read_from_versions_and_tags() {
        for (text, minor) in
            [("3.6.14", Some((3, 6))), ("3.5.33-0", Some((3, 5))), ("v3.5.1", Some((3, 5))), ("a", None)]
        {
            assert_eq!(etcd_minor(text), minor, "{text}");
        }
    }
}

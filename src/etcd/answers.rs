//! What etcd's JSON gateway answers. It writes 64-bit numbers as text.

use std::collections::BTreeMap;

use base64::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::state::ObservedEtcdMember;

/// A member's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdStatus {
    /// etcd's version, such as `3.6.4`.
    pub version: String,
    /// Its own id, hexadecimal.
    pub member: String,
    /// The leader's id, hexadecimal; none while there is none.
    pub leader: Option<String>,
    /// Bytes of the database file.
    pub database_bytes: u64,
    /// The last entry of the log that it has applied: tells whether it has caught up.
    pub applied_index: u64,
    /// Whether it does not vote yet.
    pub is_learner: bool,
    /// Alarms and other troubles in etcd's words.
    pub errors: Vec<String>,
}

/// `/v3/cluster/member/list`.
#[derive(Debug, Deserialize)]
pub(super) struct MemberList {
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Vec<String>,
}

/// `/v3/maintenance/status`. Fields of value zero are left out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    header: Header,
    version: String,
    #[serde(default)]
    leader: String,
    #[serde(default)]
    db_size: String,
    #[serde(default)]
    raft_applied_index: String,
    #[serde(default)]
    is_learner: bool,
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    member_id: String,
}

/// `/v3/kv/range`.
#[derive(Debug, Deserialize)]
pub(super) struct Range {
    #[serde(default)]
    kvs: Vec<KeyValue>,
    /// Whether there are more keys than were asked for.
    #[serde(default)]
    pub more: bool,
}

#[derive(Debug, Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
}

/// A key with its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

impl Range {
    /// What is no base64 is none of etcd's.
    pub fn pairs(self) -> Result<Vec<Pair>, DecodeError> {
        let pair = |pair: KeyValue| Ok((STANDARD.decode(pair.key)?, STANDARD.decode(pair.value)?));
        self.kvs.into_iter().map(pair).collect()
    }
}

/// `/health`.
#[derive(Debug, Deserialize)]
pub(super) struct Health {
    pub health: String,
    #[serde(default)]
    pub reason: String,
}

impl MemberList {
    /// By name. A member that was added and has not started has none yet: its first peer URL stands for it.
    pub fn observed(self) -> BTreeMap<String, ObservedEtcdMember> {
        self.members.into_iter().map(Member::observed).collect()
    }
}

impl Member {
    fn observed(self) -> (String, ObservedEtcdMember) {
        let started = !self.name.is_empty();
        let key = if started { self.name } else { self.peer_urls.first().cloned().unwrap_or_default() };
        (key, ObservedEtcdMember { id: hexadecimal(&self.id), peer_urls: self.peer_urls, started, leads: false })
    }
}

impl From<Status> for EtcdStatus {
    fn from(status: Status) -> Self {
        let leader = Some(status.leader).filter(|id| !matches!(id.as_str(), "" | "0"));
        Self {
            version: status.version,
            member: hexadecimal(&status.header.member_id),
            leader: leader.as_deref().map(hexadecimal),
            database_bytes: status.db_size.parse().unwrap_or(0),
            applied_index: status.raft_applied_index.parse().unwrap_or(0),
            is_learner: status.is_learner,
            errors: status.errors,
        }
    }
}

/// As `etcdctl` and etcd's log write ids.
fn hexadecimal(decimal: &str) -> String {
    decimal.parse::<u64>().map_or_else(|_| decimal.to_owned(), |id| format!("{id:x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_as_etcd_lists_them() {
        let text = r#"{"header":{"member_id":"1"},"members":[
            {"ID":"10501334649042878790","name":"h1","peerURLs":["https://10.0.0.1:2380"],"clientURLs":["x"]},
            {"ID":"16","peerURLs":["https://10.0.0.2:2380"]}]}"#;
        let members = serde_json::from_str::<MemberList>(text).unwrap().observed();
        assert_eq!(members["h1"].id, "91bc3c398fb3c146");
        assert!(members["h1"].started);
        assert!(!members["https://10.0.0.2:2380"].started);
    }

    #[test]
    fn keys_and_values_are_decoded() {
        let text = r#"{"header":{},"kvs":[{"key":"L2E=","value":"AAE=","version":"1"},{"key":"L2I="}],"more":true,"count":"9"}"#;
        let range: Range = serde_json::from_str(text).unwrap();
        assert!(range.more);
        assert_eq!(range.pairs().unwrap(), [(b"/a".to_vec(), vec![0, 1]), (b"/b".to_vec(), Vec::new())]);
        assert!(!serde_json::from_str::<Range>(r#"{"header":{}}"#).unwrap().more);
    }

    #[test]
    fn a_status_without_a_leader_is_read() {
        let text = r#"{"header":{"member_id":"16"},"version":"3.6.4","dbSize":"20480","leader":"0"}"#;
        let status = EtcdStatus::from(serde_json::from_str::<Status>(text).unwrap());
        assert_eq!((status.member.as_str(), status.leader, status.database_bytes), ("10", None, 20480));
    }
}

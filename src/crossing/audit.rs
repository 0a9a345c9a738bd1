//! Who does something that the audit log marks, in groups.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds that are looked back.
const LOOK_BACK: i64 = 24 * 3600;
/// Who we are. Operators are `provision:admin`.
const OURS: [&str; 2] = ["provision:run", "provision:first-bindings"];

/// What apiservers mark in their audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditNote {
    /// The request was for an API version that is deprecated.
    Deprecated,
    /// The request came with a service account's token that is older than it should get: its holder does not read it anew.
    StaleToken,
}

impl AuditNote {
    /// The annotation's name.
    pub fn annotation(self) -> &'static str {
        match self {
            Self::Deprecated => "k8s.io/deprecated",
            Self::StaleToken => "authentication.k8s.io/stale-token",
        }
    }
}

/// Events of one hour that differ in nothing that matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditGroup {
    /// The hour (UTC), such as `2026-11-24T12`.
    pub hour: String,
    /// Who asked.
    pub user: String,
    /// What the program calls itself.
    pub agent: String,
    /// What was asked for: plural, group and version; empty for requests that are for no object.
    pub resource: String,
    /// The group; empty for the core group.
    pub group: String,
    /// The version without the group.
    pub version: String,
    /// How many events.
    pub count: u64,
}

impl AuditGroup {
    /// Whether a run of ours asked.
    pub(super) fn is_ours(&self) -> bool {
        OURS.contains(&self.user.as_str())
    }

    /// Reads `<count> <json>` as a host tells it; `None` for other lines.
    pub fn parse(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Told {
            hour: String,
            user: String,
            agent: String,
            resource: String,
            group: String,
            version: String,
        }
        let (count, told) = line.trim_start().split_once(' ')?;
        let Told { hour, user, agent, resource, group, version } = serde_json::from_str(told).ok()?;
        Some(Self { hour, user, agent, resource, group, version, count: count.parse().ok()? })
    }
}

/// Who did it how often since a day before `now` (seconds since 1970), as `user (agent), N times`; most often first. Our
/// own requests are left out.
pub(super) fn who<'a>(groups: impl Iterator<Item = &'a AuditGroup>, now: i64) -> Vec<String> {
    let since =
        Timestamp::from_second(now.saturating_sub(LOOK_BACK)).map(|time| time.strftime("%Y-%m-%dT%H").to_string());
    let since = since.unwrap_or_default();
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for group in groups.filter(|group| group.hour >= since && !group.is_ours()) {
        *counts.entry((&group.user, &group.agent)).or_default() += group.count;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(who, count)| (std::cmp::Reverse(*count), *who));
    let times = |count: u64| if count == 1 { "once".to_owned() } else { format!("{count} times") };
    let line = |((user, agent), count): ((&str, &str), u64)| match agent {
        "" => format!("{user}, {}", times(count)),
        agent => format!("{user} ({agent}), {}", times(count)),
    };
    counts.into_iter().map(line).collect()
}

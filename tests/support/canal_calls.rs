//! tests/cases/canal/api-calls.yml: what Canal's programs ask the API for, and what they must not get.

use std::fmt;

use serde::Deserialize;

/// A call, or what must not become one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    who: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    source: String,
    pub account: String,
    pub verb: String,
    pub group: String,
    pub resource: String,
    #[serde(default)]
    pub subresource: String,
    #[serde(default)]
    pub namespace: String,
    #[serde(default)]
    pub name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    calls: Vec<Call>,
    refused: Vec<Call>,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, verb, group, resource, subresource, name, who, why, source, .. } = self;
        write!(formatter, "{account}: {verb} {group}/{resource}/{subresource} {name} ({who}{why}; {source})")
    }
}

/// The calls of a line of Calico, each with whether it must be allowed. `image` is that of calico-node, whose tag names the
/// line.
pub fn calls(image: &str) -> Vec<(Call, bool)> {
    let tag = image.rsplit(":v").next().unwrap();
    let line = tag.rsplit_once('.').unwrap().0;
    let table: Table = serde_yaml::from_str(include_str!("../cases/canal/api-calls.yml")).unwrap();
    let of_line = |call: &Call| call.lines.is_empty() || call.lines.iter().any(|of| of == line);
    let calls = table.calls.into_iter().map(|call| (call, true));
    calls.chain(table.refused.into_iter().map(|call| (call, false))).filter(|(call, _)| of_line(call)).collect()
}

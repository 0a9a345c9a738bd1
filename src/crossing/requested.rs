//! What an apiserver counts of requests for deprecated APIs, in Prometheus' text format.
//!
//! Source: `apiserver_requested_deprecated_apis`, stable since Kubernetes 1.19; it holds since the apiserver's start.

use crate::base::Minor;

const REQUESTED: &str = "apiserver_requested_deprecated_apis";
const START: &str = "process_start_time_seconds";

/// What one apiserver was asked for since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// Its start, in seconds since 1970; none where it does not tell.
    pub since: Option<i64>,
    /// Deprecated APIs that were asked for at least once.
    pub apis: Vec<RequestedApi>,
}

/// A deprecated API that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestedApi {
    /// Group and version, such as `policy/v1beta1`.
    pub api_version: String,
    /// Plural, such as `podsecuritypolicies`.
    pub resource: String,
    /// The minor that serves it no longer; none where that is not known yet.
    pub removed_in: Option<Minor>,
}

impl Requests {
    /// Reads the text of `/metrics`. Lines of other metrics and what does not parse are passed over.
    pub fn parse(text: &str) -> Self {
        let mut requests = Self::default();
        for line in text.lines() {
            if let Some(labels) = line.strip_prefix(REQUESTED).and_then(|rest| rest.strip_prefix('{')) {
                requests.apis.extend(api(labels));
            } else if let Some(value) = line.strip_prefix(START) {
                requests.since = value.trim().parse::<f64>().ok().map(whole_seconds);
            }
        }
        // The parts of an object (`/status`) are asked for apart.
        requests.apis.sort();
        requests.apis.dedup();
        requests
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole seconds are wanted, and a cast of too much gives the most")]
fn whole_seconds(seconds: f64) -> i64 {
    seconds as i64
}

/// `group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="",version="v1beta1"} 1`
fn api(mut text: &str) -> Option<RequestedApi> {
    let (mut group, mut version, mut resource, mut removed) = Default::default();
    loop {
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = value(rest)?;
        match name {
            "group" => group = value,
            "version" => version = value,
            "resource" => resource = value,
            "removed_release" => removed = value,
            _ => {}
        }
        match rest.strip_prefix(',') {
            Some(rest) if !rest.starts_with('}') => text = rest,
            _ => {
                let count = rest.trim_start_matches([',', '}', ' ']).split(' ').next()?;
                let asked = count.parse::<f64>().is_ok_and(|count| count > 0.0);
                let api_version = if group.is_empty() { version } else { format!("{group}/{version}") };
                let removed_in = Minor::try_from(removed).ok();
                return asked.then_some(RequestedApi { api_version, resource, removed_in });
            }
        }
    }
}

/// A label's value up to its closing quote, with Prometheus' three escapes undone, and the rest.
fn value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

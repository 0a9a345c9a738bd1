//! `status`: nodes, components and certificates as one look shows them.

use std::fmt;

use serde_json::Value;

use crate::pki::Lifetime;
use crate::plan::node_is_ready;
use crate::state::{ImageStore, ObjectKey, Observed, ObservedApi, ObservedHost};

use super::OperationError;
use super::survey::{Survey, SurveyInput, survey};

/// What `status` shows.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// One line per node: name, roles and readiness.
    nodes: Vec<NodeLine>,
    /// One line per component that does not run.
    problems: Vec<String>,
    /// Until when certificates hold, and those that run out within 60 days.
    certificates: Vec<String>,
    /// Where images and files came from.
    origins: Vec<String>,
    /// Number of changes that `plan` would show.
    changes: usize,
}

#[derive(Debug, Clone)]
struct NodeLine {
    name: String,
    ready: bool,
    text: String,
}

impl Status {
    /// Whether every node is Ready and every component runs.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty() && self.nodes.iter().all(|node| node.ready)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(formatter, "{:<20} {}", node.name, node.text)?;
        }
        for problem in &self.problems {
            writeln!(formatter, "problem: {problem}")?;
        }
        for line in &self.certificates {
            writeln!(formatter, "certificate: {line}")?;
        }
        for line in &self.origins {
            writeln!(formatter, "source: {line}")?;
        }
        match self.changes {
            0 => writeln!(formatter, "Everything is as cluster.yml says."),
            changes => writeln!(formatter, "{changes} differences from cluster.yml; `provision plan` shows them."),
        }
    }
}

/// Looks once and tells.
pub async fn status(input: &SurveyInput<'_>) -> Result<Status, OperationError> {
    let survey = survey(input).await?;
    Ok(Status {
        nodes: nodes(input, &survey.observed),
        problems: problems(&survey),
        certificates: certificates(&survey),
        origins: origins(&survey),
        changes: survey.plan.changes() + survey.plan.refusals.len(),
    })
}

fn nodes(input: &SurveyInput<'_>, observed: &Observed) -> Vec<NodeLine> {
    let line = |node: &crate::cluster::Node| {
        let live = match &observed.api {
            ObservedApi::Reached { objects, .. } => objects.get(&ObjectKey::node(&node.name)),
            ObservedApi::Unreachable(_) => None,
        };
        let version = live.and_then(|node| node.pointer("/status/nodeInfo/kubeletVersion")).and_then(Value::as_str);
        let ready = live.is_some_and(node_is_ready);
        let word = match (&observed.api, live) {
            (ObservedApi::Unreachable(_), _) => "the API does not answer",
            (_, None) => "not registered",
            _ if ready => "Ready",
            _ => "not Ready",
        };
        let text = format!("{:<24} {:<10} {word}", node.roles, version.unwrap_or("-"));
        NodeLine { name: node.name.to_string(), ready, text }
    };
    input.loaded.cluster.nodes.iter().map(line).collect()
}

fn problems(survey: &Survey) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, wanted) in &survey.desired.hosts {
        let Some(ObservedHost::Reached(snapshot)) = survey.observed.hosts.get(name) else { continue };
        for (_, spec) in &wanted.containers {
            match snapshot.containers.get(&spec.name) {
                Some(container) if container.running => {}
                Some(container) => problems.push(format!("{name}: container {} is {}", spec.name, container.status)),
                None => problems.push(format!("{name}: container {} is missing", spec.name)),
            }
        }
        for unit in &wanted.units {
            let active = snapshot.units.get(&unit.name).map_or("missing", |unit| unit.active.as_str());
            if active != "active" {
                problems.push(format!("{name}: {} is {active}", unit.name));
            }
        }
    }
    problems
}

fn certificates(survey: &Survey) -> Vec<String> {
    let line = |lifetime: &Lifetime| format!("{} runs out in {} days", lifetime.name, lifetime.days);
    let first = |authorities: bool| {
        let group = survey.completion.lifetimes.iter().filter(|lifetime| lifetime.name.is_authority() == authorities);
        group.min_by_key(|lifetime| lifetime.days)
    };
    let mut lines: Vec<String> = survey.completion.expiring().map(line).collect();
    let firsts = [first(true), first(false)].into_iter().flatten();
    lines.extend(firsts.map(|lifetime| format!("the first of its kind: {}", line(lifetime))));
    lines
}

/// Docker images and files by origin; pod images are in the same bundles.
fn origins(survey: &Survey) -> Vec<String> {
    let record = &survey.resolved.record;
    let images = record.images.iter().filter(|image| image.store == ImageStore::Docker);
    let mut lines: Vec<String> = images.map(|image| format!("{} from {}", image.reference, image.origin)).collect();
    lines.extend(record.files.iter().map(|file| format!("{} {} from {}", file.name, file.version, file.origin)));
    lines
}

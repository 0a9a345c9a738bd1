//! Which level each namespace can bear on the other side of the border.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::labels::{enforced, is_ours};
use super::mutation::as_mutated;
use super::verdict::{Verdict, Violation, level_of};
use super::workloads::{Subject, subjects};
use crate::base::Minor;
use crate::cluster::PodSecurity;

/// Namespaces in which the apiserver enforces nothing, whatever their labels say.
pub const EXEMPT: [&str; 1] = ["kube-system"];

/// What the report is made from.
#[derive(Debug, Clone, Copy)]
pub struct BorderInput<'a> {
    /// The Kubernetes minor by whose rules pods will be judged.
    pub minor: Minor,
    /// The level of namespaces that have no label, on the other side.
    pub default: PodSecurity,
    /// The level of the PodSecurityPolicy that everybody may use on this side.
    pub policy: PodSecurity,
    /// All Namespaces.
    pub namespaces: &'a [Value],
    /// All pods and all that makes pods ([`super::WORKLOAD_KINDS`]), each with its `kind`.
    pub workloads: &'a [Value],
}

/// What Pod Security admission will mean for each namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BorderReport {
    /// The level of namespaces without a label.
    #[serde(serialize_with = "word")]
    pub default: PodSecurity,
    /// All namespaces but those that are being deleted, by name.
    pub namespaces: Vec<NamespaceReport>,
}

/// What it means for one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamespaceReport {
    /// Its name.
    pub name: String,
    /// What tells it from another one of that name.
    #[serde(skip)]
    pub uid: String,
    /// Whether nothing is enforced in it.
    pub exempt: bool,
    /// The most restrictive level that all its pods and templates pass.
    #[serde(serialize_with = "word")]
    pub passes: PodSecurity,
    /// The level that its label says already.
    #[serde(serialize_with = "optional_word")]
    pub enforced: Option<PodSecurity>,
    /// Whether that label is ours.
    pub ours: bool,
    /// The level to be written into its label; none where there is one, or nothing is enforced.
    #[serde(serialize_with = "optional_word")]
    pub label: Option<PodSecurity>,
    /// What the default level or the namespace's own label refuses, and why.
    pub refused: Vec<WorkloadFinding>,
    /// What lives on what PodSecurityPolicy fills in.
    pub on_mutation: Vec<MutationFinding>,
}

/// A workload that a level refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkloadFinding {
    /// Such as `Deployment web`.
    pub workload: String,
    /// The level that refuses it.
    #[serde(serialize_with = "word")]
    pub refused_by: PodSecurity,
    /// The most restrictive level that it passes.
    #[serde(serialize_with = "word")]
    pub passes: PodSecurity,
    /// Why, one reason for each field.
    pub reasons: Vec<String>,
}

/// A workload whose template asks for more than its pods have, because a policy fills in the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MutationFinding {
    /// Such as `Deployment web`.
    pub workload: String,
    /// The level that its template passes.
    #[serde(serialize_with = "word")]
    pub template: PodSecurity,
    /// The level that its pods pass, or would, if it had any.
    #[serde(serialize_with = "word")]
    pub pods: PodSecurity,
    /// What its template lacks and its pods have.
    pub filled_in: Vec<String>,
}

/// Judges every namespace.
pub fn border_report(input: &BorderInput<'_>) -> BorderReport {
    let mut by_namespace: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for workload in input.workloads {
        let namespace = workload["metadata"]["namespace"].as_str().unwrap_or_default();
        by_namespace.entry(namespace).or_default().push(workload);
    }
    let living = input.namespaces.iter().filter(|namespace| namespace["metadata"]["deletionTimestamp"].is_null());
    let mut namespaces: Vec<NamespaceReport> = living
        .filter_map(|namespace| {
            let name = namespace["metadata"]["name"].as_str()?;
            let workloads = by_namespace.get(name).map(Vec::as_slice).unwrap_or_default();
            Some(of_namespace(input, name, namespace, workloads))
        })
        .collect();
    namespaces.sort_by(|one, other| one.name.cmp(&other.name));
    BorderReport { default: input.default, namespaces }
}

fn of_namespace(input: &BorderInput<'_>, name: &str, namespace: &Value, workloads: &[&Value]) -> NamespaceReport {
    let judged: Vec<Judged> = subjects(workloads).iter().map(|subject| judge(input, subject)).collect();
    let passes = judged.iter().map(|judged| judged.passes).max().unwrap_or(PodSecurity::Restricted);
    let (exempt, enforced) = (EXEMPT.contains(&name), enforced(namespace));
    let refusing = enforced.unwrap_or(input.default);
    // A namespace is never held to more than the operator asks of all.
    let label = (!exempt && enforced.is_none()).then(|| passes.max(input.default));
    let findings = |judged: &Judged| finding(judged, refusing);
    NamespaceReport {
        name: name.to_owned(),
        uid: namespace["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        exempt,
        passes,
        enforced,
        ours: is_ours(namespace),
        label,
        refused: if exempt { Vec::new() } else { judged.iter().filter_map(findings).collect() },
        on_mutation: if exempt { Vec::new() } else { judged.iter().filter_map(mutation).collect() },
    }
}

/// A workload with its verdicts.
struct Judged {
    name: String,
    /// What its template and all its pods pass.
    passes: PodSecurity,
    template: Verdict,
    /// What its pods pass, or would.
    pods: PodSecurity,
    /// What is still wrong with its pods, or would be.
    left: Vec<Violation>,
}

fn judge(input: &BorderInput<'_>, subject: &Subject<'_>) -> Judged {
    let template = level_of(subject.template, input.minor);
    let mut verdicts: Vec<Verdict> = subject.pods.iter().map(|pod| level_of(pod, input.minor)).collect();
    let running = verdicts.iter().map(|verdict| verdict.level).max();
    if verdicts.is_empty() {
        verdicts.push(level_of(&as_mutated(subject.template, input.policy), input.minor));
    }
    Judged {
        name: subject.name(),
        passes: template.level.max(running.unwrap_or(PodSecurity::Restricted)),
        template,
        pods: verdicts.iter().map(|verdict| verdict.level).max().unwrap_or(PodSecurity::Restricted),
        left: verdicts.into_iter().flat_map(|verdict| verdict.violations).collect(),
    }
}

fn finding(judged: &Judged, level: PodSecurity) -> Option<WorkloadFinding> {
    if judged.passes <= level {
        return None;
    }
    let of_template: Vec<String> =
        judged.template.refused_by(level).map(|violation| violation.reason.clone()).collect();
    // What only running pods have was put there by somebody else than the template.
    let mut of_pods: Vec<String> = judged
        .left
        .iter()
        .filter(|violation| violation.level >= level && !of_template.contains(&violation.reason))
        .map(|violation| format!("running pods: {}", violation.reason))
        .collect();
    of_pods.sort();
    of_pods.dedup();
    let reasons = of_template.into_iter().chain(of_pods).collect();
    Some(WorkloadFinding { workload: judged.name.clone(), refused_by: level, passes: judged.passes, reasons })
}

fn mutation(judged: &Judged) -> Option<MutationFinding> {
    if judged.pods >= judged.template.level {
        return None;
    }
    let is_left = |violation: &&Violation| !judged.left.iter().any(|left| left.reason == violation.reason);
    let filled = judged.template.violations.iter().filter(is_left);
    Some(MutationFinding {
        workload: judged.name.clone(),
        template: judged.template.level,
        pods: judged.pods,
        filled_in: filled.map(|violation| violation.reason.clone()).collect(),
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn word<S: Serializer>(level: &PodSecurity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level.as_str())
}

#[expect(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "the signature that serde calls")]
fn optional_word<S: Serializer>(level: &Option<PodSecurity>, serializer: S) -> Result<S::Ok, S::Error> {
    level.map(PodSecurity::as_str).serialize(serializer)
}

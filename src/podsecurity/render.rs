//! The report as `plan` shows it.

use std::fmt;

use super::report::{BorderReport, MutationFinding, NamespaceReport, WorkloadFinding};

impl fmt::Display for BorderReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = self.default.as_str();
        writeln!(
            formatter,
            "Pod Security admission takes the place of PodSecurityPolicy; its default is `{default}`:"
        )?;
        let (quiet, loud): (Vec<_>, Vec<_>) = self.namespaces.iter().partition(|namespace| namespace.is_quiet());
        for namespace in loud {
            write_namespace(formatter, namespace)?;
        }
        let quiet: Vec<&str> = quiet.iter().map(|namespace| namespace.name.as_str()).collect();
        if !quiet.is_empty() {
            writeln!(formatter, "  nothing changes for what is in {}", quiet.join(", "))?;
        }
        Ok(())
    }
}

impl NamespaceReport {
    /// Whether there is nothing to say but that all is well.
    fn is_quiet(&self) -> bool {
        self.refused.is_empty() && self.on_mutation.is_empty()
    }
}

fn write_namespace(formatter: &mut fmt::Formatter<'_>, namespace: &NamespaceReport) -> fmt::Result {
    let name = &namespace.name;
    match (namespace.label, namespace.enforced) {
        (Some(level), _) => writeln!(formatter, "  namespace {name} gets the level `{}`:", level.as_str())?,
        (None, Some(level)) => {
            let whose = if namespace.ours { "we wrote it" } else { "its own label" };
            writeln!(formatter, "  namespace {name} has the level `{}` ({whose}):", level.as_str())?;
        }
        (None, None) => writeln!(formatter, "  namespace {name}:")?,
    }
    for finding in &namespace.refused {
        let mutation = namespace.on_mutation.iter().find(|mutation| mutation.workload == finding.workload);
        write_refused(formatter, finding, mutation)?;
    }
    let is_told =
        |mutation: &&MutationFinding| namespace.refused.iter().any(|finding| finding.workload == mutation.workload);
    let others = namespace.on_mutation.iter().filter(|mutation| !is_told(mutation));
    others.into_iter().try_for_each(|finding| write_mutation(formatter, finding))
}

/// What a policy fills in today is marked: new pods will run without.
fn write_refused(
    formatter: &mut fmt::Formatter<'_>,
    finding: &WorkloadFinding,
    mutation: Option<&MutationFinding>,
) -> fmt::Result {
    let (level, passes) = (finding.refused_by.as_str(), finding.passes.as_str());
    writeln!(formatter, "      {}: `{level}` would refuse it, it passes `{passes}`", finding.workload)?;
    finding.reasons.iter().try_for_each(|reason| {
        let is_filled = mutation.is_some_and(|mutation| mutation.filled_in.contains(reason));
        let mark = if is_filled { " (PodSecurityPolicy fills it in; new pods will run without)" } else { "" };
        writeln!(formatter, "          {reason}{mark}")
    })
}

fn write_mutation(formatter: &mut fmt::Formatter<'_>, finding: &MutationFinding) -> fmt::Result {
    let (template, pods) = (finding.template.as_str(), finding.pods.as_str());
    writeln!(
        formatter,
        "      {} lives on what PodSecurityPolicy fills in: its template passes `{template}`, its pods `{pods}`; new pods \
         will run without",
        finding.workload
    )?;
    finding.filled_in.iter().try_for_each(|reason| writeln!(formatter, "          {reason}"))
}

//! The report as `plan` shows it.

use std::fmt;

use jiff::Timestamp;

use super::report::{ApiFinding, Asked, CrossingReport};

impl fmt::Display for CrossingReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "From Kubernetes {} to {}:", self.from, self.to)?;
        self.apis.iter().try_for_each(|finding| write_api(formatter, finding))?;
        if !self.unasked.is_empty() {
            let names: Vec<String> =
                self.unasked.iter().map(|api| format!("{} {}", api.api_version, api.kind)).collect();
            writeln!(formatter, "  no longer served, and not asked for: {}", names.join(", "))?;
        }
        for flip in &self.flips {
            writeln!(formatter, "  new default: {}: {}", flip.setting, flip.meaning)?;
            match flip.affected.as_slice() {
                [] => writeln!(formatter, "      nobody was found whom it touches")?,
                affected => write_some(formatter, affected)?,
            }
            writeln!(formatter, "      the old one stays with a --catalog of {}", flip.keep)?;
        }
        for line in &self.unread {
            writeln!(formatter, "  not known: {line}")?;
        }
        if let Some(report) = &self.pod_security {
            report.fmt(formatter)?;
        }
        Ok(())
    }
}

/// Lines of a list; the rest of a long one stands in the JSON.
fn write_some(formatter: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    const SHOWN: usize = 20;
    lines.iter().take(SHOWN).try_for_each(|line| writeln!(formatter, "      {}", safe(line)))?;
    match lines.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(formatter, "      and {more} more"),
    }
}

fn write_api(formatter: &mut fmt::Formatter<'_>, finding: &ApiFinding) -> fmt::Result {
    let ApiFinding { api, asked, by, own, stranded } = finding;
    let instead = api.instead.as_ref().map_or_else(|| "nothing takes its place".into(), |api| format!("write {api}"));
    writeln!(formatter, "  no longer served: {} {}; {instead}", api.api_version, api.kind)?;
    if !asked.is_empty() {
        let asked: Vec<String> = asked.iter().map(told).collect();
        writeln!(formatter, "      asked for on {}", asked.join(", "))?;
    }
    if *own && by.is_empty() {
        writeln!(formatter, "      by nobody but provision in the last 24 hours, as far as the audit logs tell")?;
    }
    let by: Vec<String> = by.iter().map(|who| format!("by {who} in the last 24 hours")).collect();
    write_some(formatter, &by)?;
    let stranded: Vec<String> = stranded.iter().map(|name| format!("{name} is not shown any more")).collect();
    write_some(formatter, &stranded)
}

fn told(asked: &Asked) -> String {
    let since = asked.since.and_then(|since| Timestamp::from_second(since).ok());
    match since {
        Some(since) => format!("{} since it started ({})", asked.node, since.strftime("%Y-%m-%d %H:%M:%SZ")),
        None => format!("{} since it started", asked.node),
    }
}

/// Names of programs come from whoever asks; none may steer the terminal.
fn safe(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}

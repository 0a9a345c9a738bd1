//! The plan as text: what `plan` and `up` show.

use std::fmt;

use super::{Action, Plan, Refusal, Step, order};

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hosts: Vec<String> = Vec::new();
        for step in &self.steps {
            let host = host_of(step);
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        for host in hosts {
            writeln!(formatter, "{host}")?;
            for step in self.steps.iter().filter(|step| host_of(step) == host) {
                step_lines(step, formatter)?;
            }
        }
        order_lines(self, formatter)?;
        for warning in &self.warnings {
            writeln!(formatter, "warning: {warning}")?;
        }
        for missing in &self.missing_images {
            writeln!(formatter, "missing: {missing}")?;
        }
        for refusal in &self.refusals {
            refusal_lines(refusal, formatter)?;
        }
        let changes = self.changes();
        let waits = self.steps.len() - changes;
        match (changes, self.refusals.len()) {
            (0, 0) if waits == 0 => write!(formatter, "Nothing to do."),
            (0, 0) => write!(formatter, "Nothing to change; {waits} to wait for."),
            (changes, 0) => write!(formatter, "{changes} changes."),
            (changes, refused) => write!(formatter, "{changes} changes, {refused} refused."),
        }
    }
}

impl Plan {
    /// Number of steps that change something.
    pub fn changes(&self) -> usize {
        self.steps.iter().filter(|step| !step.action.is_wait()).count()
    }
}

fn host_of(step: &Step) -> String {
    step.host.as_ref().map_or_else(|| "cluster".into(), ToString::to_string)
}

fn step_lines(step: &Step, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mark = match step.action {
        Action::Delete(_) => '-',
        _ if step.action.is_wait() => ' ',
        _ => '+',
    };
    writeln!(formatter, "  {mark} {}: {}", step.title, step.reason)?;
    if step.details.len() > 1 || step.details.first().is_some_and(|line| *line != step.reason) {
        for line in &step.details {
            writeln!(formatter, "      {line}")?;
        }
    }
    Ok(())
}

/// Hosts above say what each gets; here is what waits for what between them.
fn order_lines(plan: &Plan, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let places = order::places(plan);
    if !places.is_empty() {
        writeln!(formatter, "order, once all hosts have what they need; what has the same number may come at once")?;
    }
    for (place, step) in places {
        writeln!(formatter, "  {place:>3} {}: {}", host_of(step), step.title)?;
    }
    Ok(())
}

fn refusal_lines(refusal: &Refusal, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let host = refusal.host.as_ref().map_or_else(|| "cluster".into(), ToString::to_string);
    writeln!(formatter, "refused: {host}: {}: {}", refusal.subject, refusal.reason)?;
    for line in &refusal.details {
        writeln!(formatter, "      {line}")?;
    }
    writeln!(formatter, "  help: {}", refusal.hint)
}

//! The most restrictive level that a pod passes.

use serde_json::Value;

use super::control::controls;
use super::pod::Pod;
use crate::base::Minor;
use crate::cluster::PodSecurity;

/// What a pod or a template is fit for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The most restrictive level that it passes.
    pub level: PodSecurity,
    /// What the more restrictive levels refuse in it.
    pub violations: Vec<Violation>,
}

/// A control that is violated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The control's name.
    pub control: &'static str,
    /// The laxest level that refuses it.
    pub level: PodSecurity,
    /// What is wrong, in words: container, field, value.
    pub reason: String,
}

impl Verdict {
    /// What a level refuses: its own controls and those of laxer ones.
    pub fn refused_by(&self, level: PodSecurity) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(move |violation| violation.level >= level)
    }
}

/// Judges a pod, or a template with `metadata` and `spec`, by the rules of a Kubernetes minor.
pub fn level_of(template: &Value, minor: Minor) -> Verdict {
    let pod = Pod { metadata: &template["metadata"], spec: &template["spec"], minor };
    let mut violations: Vec<Violation> = Vec::new();
    for control in controls(minor) {
        for reason in (control.check)(&pod) {
            // Some controls of `restricted` say more about the same fields: what is said already is not said again.
            if !violations.iter().any(|known| known.reason == reason) {
                violations.push(Violation { control: control.name, level: control.level, reason });
            }
        }
    }
    let refusing = violations.iter().map(|violation| violation.level).max();
    let level = match refusing {
        None => PodSecurity::Restricted,
        Some(PodSecurity::Restricted) => PodSecurity::Baseline,
        Some(PodSecurity::Baseline | PodSecurity::Privileged) => PodSecurity::Privileged,
    };
    Verdict { level, violations }
}

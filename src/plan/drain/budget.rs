//! PodDisruptionBudgets, as the apiserver applies them to an eviction.

use std::fmt;

use serde_json::Value;

use super::pod::{is_ending, is_finished};
use super::selector::selects;
use crate::plan::has_condition;

/// What a budget allows, as the disruption controller has written it down last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetState {
    /// Namespace of the PodDisruptionBudget.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods that may go now.
    pub allowed: u64,
    /// Pods that are healthy.
    pub healthy: u64,
    /// Pods that must be healthy.
    pub wanted: u64,
    /// Pods that there shall be, by their workloads.
    pub expected: u64,
    /// Whether no pod may ever go as long as budget and workloads stay as they are.
    pub never: bool,
}

impl fmt::Display for BudgetState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PodDisruptionBudget {}/{}", self.namespace, self.name)
    }
}

impl BudgetState {
    /// Reads a live budget.
    pub(super) fn of(budget: &Value) -> Self {
        let text = |field: &str| budget["metadata"][field].as_str().unwrap_or_default().to_owned();
        let number = |field: &str| budget["status"][field].as_u64().unwrap_or_default();
        let (wanted, expected) = (number("desiredHealthy"), number("expectedPods"));
        Self {
            namespace: text("namespace"),
            name: text("name"),
            allowed: number("disruptionsAllowed"),
            healthy: number("currentHealthy"),
            wanted,
            expected,
            never: forbids_all(&budget["spec"]) || (is_counted(budget) && expected > 0 && wanted >= expected),
        }
    }
}

/// Whether the numbers are of the budget as it stands.
fn is_counted(budget: &Value) -> bool {
    let observed = budget["status"]["observedGeneration"].as_u64();
    observed.is_some() && observed >= budget["metadata"]["generation"].as_u64()
}

/// Budgets that forbid everything however many pods there are.
fn forbids_all(spec: &Value) -> bool {
    let is = |value: &Value, number: u64, text: &str| value.as_u64() == Some(number) || value.as_str() == Some(text);
    is(&spec["maxUnavailable"], 0, "0%") || spec["minAvailable"].as_str() == Some("100%")
}

/// The budgets of a pod that the apiserver looks at when it is asked to evict it. More than one is an error to it.
pub(super) fn of_pod<'a>(pod: &Value, budgets: &'a [Value]) -> Vec<&'a Value> {
    // The apiserver asks no budget for pods that do not run yet or no more.
    if pod["status"]["phase"] == "Pending" || is_finished(pod) || is_ending(pod) {
        return Vec::new();
    }
    let covers = |budget: &&Value| {
        budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
            && selects(&budget["spec"]["selector"], &pod["metadata"]["labels"])
    };
    budgets.iter().filter(covers).collect()
}

/// Whether a budget lets a pod go that is not ready: those that are count only.
pub(super) fn exempts(budget: &Value, pod: &Value) -> bool {
    let state = BudgetState::of(budget);
    let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
    !has_condition(pod, "Ready") && (always || (state.wanted > 0 && state.healthy >= state.wanted))
}

//! What a drain of a node will do to each of its pods.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pod::{controller, ends_by_itself, is_ending, is_finished, is_mirror, local_volumes};
use super::warning::{DrainWarning, warnings};
use super::{Blocked, BudgetState, Obstacle, PodRef, budget};
use crate::base::NodeName;
use crate::cluster::DrainOptions;
use crate::plan::Refusal;
use crate::state::{ObjectKey, Resource};

/// How many pods a line names.
const NAMED: usize = 8;

/// What a forecast is made from.
#[derive(Debug, Clone, Copy)]
pub struct DrainInput<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// All pods that are bound to it.
    pub pods: &'a [Value],
    /// All PodDisruptionBudgets.
    pub budgets: &'a [Value],
    /// Those of [`super::owners`] that are there.
    pub owners: &'a BTreeMap<ObjectKey, Value>,
    /// How it is drained.
    pub options: &'a DrainOptions,
}

/// What a drain will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainForecast {
    /// The node.
    pub node: NodeName,
    /// Pods that are evicted, be it one after the other.
    pub evicted: Vec<PodRef>,
    /// Pods that end already; they are waited for.
    pub ending: Vec<PodRef>,
    /// Pods that stay, and why.
    pub left: Vec<(PodRef, Stay)>,
    /// Pods that keep the drain from its end.
    pub blocked: Vec<Blocked>,
    /// What workloads will notice.
    pub warnings: Vec<DrainWarning>,
}

/// Why a pod stays on a node that is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stay {
    /// It is a DaemonSet's, which would put another one there at once.
    DaemonSet,
    /// kubelet runs it from a file.
    Mirror,
    /// It has ended; nothing of it runs.
    Finished,
}

/// Sorts a node's pods by what a drain does to them.
pub fn forecast(input: &DrainInput<'_>) -> DrainForecast {
    let mut forecast = DrainForecast {
        node: input.node.clone(),
        evicted: Vec::new(),
        ending: Vec::new(),
        left: Vec::new(),
        blocked: Vec::new(),
        warnings: Vec::new(),
    };
    let mut going = Vec::new();
    for pod in input.pods {
        let name = PodRef::of(pod);
        if let Some(stay) = stay(input, pod) {
            forecast.left.push((name, stay));
        } else if is_ending(pod) {
            forecast.ending.push(name);
        } else {
            going.push(pod);
            let obstacles = obstacles(input, pod);
            if obstacles.is_empty() {
                forecast.evicted.push(name);
            } else {
                let blocked = obstacles.into_iter().map(|obstacle| Blocked { pod: name.clone(), obstacle });
                forecast.blocked.extend(blocked);
            }
        }
    }
    forecast.warnings = warnings(input, &going);
    forecast
}

fn stay(input: &DrainInput<'_>, pod: &Value) -> Option<Stay> {
    if is_mirror(pod) {
        return Some(Stay::Mirror);
    }
    if is_finished(pod) {
        return Some(Stay::Finished);
    }
    let of_daemon_set = controller(pod).is_some_and(|owner| owner.kind == "DaemonSet" && !is_gone(input, &owner));
    (of_daemon_set && input.options.ignore_daemonsets).then_some(Stay::DaemonSet)
}

fn is_gone(input: &DrainInput<'_>, owner: &ObjectKey) -> bool {
    Resource::built_in(&owner.resource_kind()).is_some() && !input.owners.contains_key(owner)
}

fn obstacles(input: &DrainInput<'_>, pod: &Value) -> Vec<Obstacle> {
    let options = input.options;
    let owner = controller(pod);
    let mut obstacles = Vec::new();
    match owner {
        // It would be back as soon as it is gone, so that nothing else need be said of it.
        Some(owner) if owner.kind == "DaemonSet" && !is_gone(input, &owner) => return vec![Obstacle::DaemonSet],
        Some(owner) if !is_gone(input, &owner) => {}
        owner if !options.force => obstacles.push(Obstacle::NobodyMakesItAnew(owner)),
        _ => {}
    }
    let volumes = local_volumes(pod);
    if !volumes.is_empty() && !options.delete_local_data {
        obstacles.push(Obstacle::LocalData(volumes));
    }
    obstacles.extend(budget_obstacle(input, pod));
    obstacles
}

fn budget_obstacle(input: &DrainInput<'_>, pod: &Value) -> Option<Obstacle> {
    match budget::of_pod(pod, input.budgets)[..] {
        [] => None,
        [budget] => {
            let state = BudgetState::of(budget);
            let blocks = (state.never || state.allowed == 0) && !budget::exempts(budget, pod);
            let obstacle = if ends_by_itself(pod) { Obstacle::AtWork(state) } else { Obstacle::Budget(state) };
            blocks.then_some(obstacle)
        }
        ref several => {
            let names = several.iter().filter_map(|budget| budget["metadata"]["name"].as_str());
            Some(Obstacle::SeveralBudgets(names.map(str::to_owned).collect()))
        }
    }
}

impl DrainForecast {
    /// What keeps the drain from its end however long it waits.
    pub fn hopeless(&self) -> impl Iterator<Item = &Blocked> {
        self.blocked.iter().filter(|blocked| !blocked.obstacle.may_pass())
    }

    /// Why a run that drains this node is not begun, where something keeps it from its end.
    pub fn refusal(&self) -> Option<Refusal> {
        let details: Vec<String> = self.hopeless().map(Blocked::line).collect();
        (!details.is_empty()).then(|| Refusal {
            host: Some(self.node.clone()),
            subject: format!("drain {}", self.node),
            reason: "it would never end, however long it waits".into(),
            hint: "do what is said below, or keep pods where they are with `upgrade_strategy: {drain: false}`".into(),
            details,
        })
    }

    /// Whether nothing is left that a drain moves.
    pub fn is_done(&self) -> bool {
        self.evicted.is_empty() && self.ending.is_empty() && self.blocked.is_empty()
    }

    /// The forecast in words, for a plan: what goes, what stays, what blocks and how to help it, what will be noticed.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![named("evicts", &self.evicted)];
        if !self.ending.is_empty() {
            lines.push(named("waits for the end of", &self.ending));
        }
        let stays =
            [(Stay::DaemonSet, "of DaemonSets"), (Stay::Mirror, "run by kubelet itself"), (Stay::Finished, "finished")];
        let count = |stay: Stay| self.left.iter().filter(|(_, reason)| *reason == stay).count();
        let counts = stays.iter().map(|(stay, words)| (count(*stay), words)).filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, words)| format!("{count} {words}")).collect();
        if !counts.is_empty() {
            lines.push(format!("leaves {}", counts.join(", ")));
        }
        for blocked in &self.blocked {
            let word = if blocked.obstacle.may_pass() { "waits" } else { "blocked" };
            lines.push(format!("{word}: {}", blocked.line()));
        }
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines
    }
}

fn named(verb: &str, pods: &[PodRef]) -> String {
    let names: Vec<String> = pods.iter().take(NAMED).map(ToString::to_string).collect();
    let more = pods.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match pods.len() {
        0 => format!("{verb} no pod"),
        1 => format!("{verb} pod {}", names[0]),
        count => format!("{verb} {count} pods: {}{more}", names.join(", ")),
    }
}

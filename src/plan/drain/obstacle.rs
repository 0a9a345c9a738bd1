//! What keeps a pod on its node.

use std::fmt;

use super::{BudgetState, PodRef};
use crate::state::ObjectKey;

/// A pod that a drain does not get away, and why. One with several reasons stands there once for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The pod.
    pub pod: PodRef,
    /// What keeps it.
    pub obstacle: Obstacle,
}

impl Blocked {
    /// What keeps which pod, and how to help it.
    pub(super) fn line(&self) -> String {
        format!("pod {}: {}; {}", self.pod, self.obstacle, self.obstacle.way_out(&self.pod))
    }
}

/// Why a pod does not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Its budget allows no pod to go; [`BudgetState::never`] says whether that can change by waiting.
    Budget(BudgetState),
    /// Its budget allows no pod to go, and it ends by itself: it is a Job's.
    AtWork(BudgetState),
    /// Several budgets cover it, which the apiserver refuses whatever they allow.
    SeveralBudgets(Vec<String>),
    /// Nobody makes it anew, and `force` is not set. The owner is named where there was one.
    NobodyMakesItAnew(Option<ObjectKey>),
    /// Its `emptyDir` volumes would be lost, and `delete_local_data` is not set.
    LocalData(Vec<String>),
    /// It is a DaemonSet's, and `ignore_daemonsets` is off.
    DaemonSet,
}

impl Obstacle {
    /// Whether it may pass while the drain waits.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Budget(budget) => !budget.never,
            Self::AtWork(_) => true,
            Self::SeveralBudgets(_) | Self::NobodyMakesItAnew(_) | Self::LocalData(_) | Self::DaemonSet => false,
        }
    }

    /// What the operator can do about it.
    pub fn way_out(&self, pod: &PodRef) -> String {
        let option = |key: &str, value: bool| format!("set `upgrade_strategy.node_drain_input.{key}: {value}`");
        let PodRef { namespace, name, .. } = pod;
        let delete = format!("kubectl -n {namespace} delete pod {name}");
        match self {
            Self::Budget(BudgetState { namespace, name, never: true, .. }) => {
                format!("add replicas, or change it: kubectl -n {namespace} edit poddisruptionbudget {name}")
            }
            Self::Budget(BudgetState { namespace, .. }) => {
                format!(
                    "see why pods are not healthy: kubectl -n {namespace} get pods -o wide; or raise `upgrade_strategy.node_drain_input.timeout`"
                )
            }
            Self::AtWork(BudgetState { namespace, name, .. }) => {
                format!(
                    "raise `upgrade_strategy.node_drain_input.timeout`, or have it begin anew elsewhere: \
                     kubectl -n {namespace} delete poddisruptionbudget {name}"
                )
            }
            Self::SeveralBudgets(_) => format!("keep one of them: kubectl -n {namespace} get poddisruptionbudget"),
            Self::NobodyMakesItAnew(_) => format!("{}, or: {delete}", option("force", true)),
            Self::LocalData(_) => format!("{}, or: {delete}", option("delete_local_data", true)),
            Self::DaemonSet => option("ignore_daemonsets", true),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget(budget) if budget.never => {
                let BudgetState { wanted, expected, .. } = budget;
                write!(formatter, "{budget} can never let a pod go: it wants {wanted} of {expected} healthy")
            }
            Self::Budget(budget) => {
                let BudgetState { wanted, healthy, .. } = budget;
                write!(formatter, "{budget} lets no pod go now: it wants {wanted} healthy and has {healthy}")
            }
            Self::AtWork(budget) => write!(formatter, "{budget} keeps it until its Job is done with it"),
            Self::SeveralBudgets(names) => {
                write!(
                    formatter,
                    "several PodDisruptionBudgets cover it, and Kubernetes evicts no such pod: {}",
                    names.join(", ")
                )
            }
            Self::NobodyMakesItAnew(None) => write!(formatter, "nobody makes it anew, it has no controller"),
            Self::NobodyMakesItAnew(Some(owner)) => write!(formatter, "nobody makes it anew, {owner} is gone"),
            Self::LocalData(volumes) => {
                write!(formatter, "data in its emptyDir volumes would be lost: {}", volumes.join(", "))
            }
            Self::DaemonSet => write!(formatter, "it is a DaemonSet's, and `ignore_daemonsets` is off"),
        }
    }
}

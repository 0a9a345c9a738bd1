//! What somebody notices of a drain that goes well.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::pod::{controller, has_pre_stop};
use super::{BudgetState, DrainInput, PodRef, budget};
use crate::state::ObjectKey;

/// Something that a drain does to a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrainWarning {
    /// The workload has one replica: it is away until its pod is ready elsewhere.
    OneReplica(ObjectKey),
    /// All replicas are on this node.
    AllHere {
        /// The workload.
        workload: ObjectKey,
        /// Its replicas.
        replicas: u64,
    },
    /// Pods that end at once when they are told to, while others may still send them requests.
    NoPreStop(Vec<ObjectKey>),
    /// Pods of a Job that go may be more failures than it allows.
    JobMayFail {
        /// The Job.
        job: ObjectKey,
        /// Its pods on the node that go.
        pods: u64,
        /// Failures that it allows and that have not happened yet.
        allowed: u64,
    },
    /// Fewer pods may go at a time than there are on the node.
    Turns {
        /// The budget.
        budget: BudgetState,
        /// Its pods on the node.
        pods: usize,
    },
}

impl fmt::Display for DrainWarning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneReplica(workload) => {
                write!(formatter, "{workload} has one replica: it is away until its pod is ready elsewhere")
            }
            Self::AllHere { workload, replicas } => {
                write!(formatter, "all {replicas} replicas of {workload} are on this node")
            }
            Self::NoPreStop(workloads) => {
                let names: Vec<String> = workloads.iter().map(ToString::to_string).collect();
                write!(
                    formatter,
                    "without a preStop delay, requests may be lost while their pods end: {}",
                    names.join(", ")
                )
            }
            Self::JobMayFail { job, pods, allowed } => {
                let pods = if *pods == 1 { "its pod counts".to_owned() } else { format!("its {pods} pods count") };
                write!(
                    formatter,
                    "{job} may fail: from Kubernetes 1.25 on {pods} as failed, and its backoffLimit leaves {allowed}"
                )
            }
            Self::Turns { budget, pods } => {
                write!(formatter, "{budget} lets {} of its {pods} pods here go at a time", budget.allowed)
            }
        }
    }
}

/// The warnings about pods that go, sorted by workload.
pub(super) fn warnings(input: &DrainInput<'_>, going: &[&Value]) -> Vec<DrainWarning> {
    let mut warnings = replicas(input, going);
    let mut sudden: Vec<ObjectKey> = Vec::new();
    // What a Job does is asked for by nobody over the network.
    for pod in going.iter().filter(|pod| !has_pre_stop(pod)) {
        sudden.extend(workload(input, pod).filter(|workload| workload.kind != "Job"));
    }
    sudden.sort();
    sudden.dedup();
    if !sudden.is_empty() {
        warnings.push(DrainWarning::NoPreStop(sudden));
    }
    warnings.extend(failing_jobs(input, going));
    warnings.extend(turns(input, going));
    warnings
}

fn replicas(input: &DrainInput<'_>, going: &[&Value]) -> Vec<DrainWarning> {
    let mut here: BTreeMap<ObjectKey, u64> = BTreeMap::new();
    for owner in going.iter().filter_map(|pod| controller(pod)) {
        *here.entry(owner).or_default() += 1;
    }
    let warning = |(owner, count): (ObjectKey, u64)| {
        let replicas = input.owners.get(&owner)?["spec"]["replicas"].as_u64()?;
        let workload = above(input, owner);
        match replicas {
            1 => Some(DrainWarning::OneReplica(workload)),
            2.. if count >= replicas => Some(DrainWarning::AllHere { workload, replicas }),
            _ => None,
        }
    };
    here.into_iter().filter_map(warning).collect()
}

/// Jobs that do not ask for evictions not to count.
fn failing_jobs(input: &DrainInput<'_>, going: &[&Value]) -> Vec<DrainWarning> {
    let mut here: BTreeMap<ObjectKey, u64> = BTreeMap::new();
    for owner in going.iter().filter_map(|pod| controller(pod)).filter(|owner| owner.kind == "Job") {
        *here.entry(owner).or_default() += 1;
    }
    let warning = |(key, pods): (ObjectKey, u64)| {
        let job = input.owners.get(&key)?;
        let allowed = job["spec"]["backoffLimit"].as_u64()?;
        let allowed = allowed.saturating_sub(job["status"]["failed"].as_u64().unwrap_or_default());
        let counts = pods > allowed && !forgives_evictions(job);
        counts.then_some(DrainWarning::JobMayFail { job: key, pods, allowed })
    };
    here.into_iter().filter_map(warning).collect()
}

/// Whether a Job does not count pods that were evicted.
fn forgives_evictions(job: &Value) -> bool {
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_array().into_iter().flatten();
    let mut ignoring = rules.filter(|rule| rule["action"] == "Ignore");
    ignoring.any(|rule| {
        let conditions = rule["onPodConditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|condition| condition["type"] == "DisruptionTarget")
    })
}

fn turns(input: &DrainInput<'_>, going: &[&Value]) -> Vec<DrainWarning> {
    let mut covered: BTreeMap<PodRef, (BudgetState, usize)> = BTreeMap::new();
    for pod in going {
        if let [budget] = budget::of_pod(pod, input.budgets)[..]
            && !budget::exempts(budget, pod)
        {
            covered.entry(PodRef::of(budget)).or_insert_with(|| (BudgetState::of(budget), 0)).1 += 1;
        }
    }
    let slow = |(state, pods): (BudgetState, usize)| {
        let allowed = usize::try_from(state.allowed).unwrap_or(usize::MAX);
        (allowed > 0 && allowed < pods).then_some(DrainWarning::Turns { budget: state, pods })
    };
    covered.into_values().filter_map(slow).collect()
}

/// What people call a pod's workload: a Deployment, and not its ReplicaSet.
fn workload(input: &DrainInput<'_>, pod: &Value) -> Option<ObjectKey> {
    controller(pod).map(|owner| above(input, owner))
}

fn above(input: &DrainInput<'_>, owner: ObjectKey) -> ObjectKey {
    input.owners.get(&owner).and_then(controller).unwrap_or(owner)
}

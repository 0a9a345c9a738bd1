//! In what order steps come, for whoever reads a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use crate::base::StepId;
use crate::host::Change;

use super::rolling;
use super::step::{Action, Plan, Step};

/// Puts every step behind those that it needs; otherwise they stay as they are. Steps that wait for each other, which are
/// refused, come last.
pub(super) fn sort(plan: &mut Plan) {
    let mut left = mem::take(&mut plan.steps);
    let mut sorted = BTreeSet::new();
    let is_next = |step: &Step, sorted: &BTreeSet<StepId>| step.after.iter().all(|id| sorted.contains(id));
    while let Some(position) = left.iter().position(|step| is_next(step, &sorted)) {
        let step = left.remove(position);
        sorted.insert(step.id.clone());
        plan.steps.push(step);
    }
    plan.steps.append(&mut left);
}

/// Steps that change what runs, each with its place: one comes after all those with a lower place that it needs, and steps of
/// the same place may come at once. Nothing where nothing that runs is replaced or stopped: then no order matters to anybody.
/// The plan is sorted.
pub(super) fn places(plan: &Plan) -> Vec<(usize, &Step)> {
    if !plan.steps.iter().any(|step| rolling::replaced(step).is_some() || suspends(step)) {
        return Vec::new();
    }
    let mut reached: BTreeMap<&StepId, usize> = BTreeMap::new();
    let mut placed = Vec::new();
    for step in &plan.steps {
        let before = step.after.iter().filter_map(|id| reached.get(id)).max().copied().unwrap_or_default();
        let place = before + usize::from(changes_what_runs(step));
        reached.insert(&step.id, place);
        if changes_what_runs(step) {
            placed.push((place, step));
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    placed
}

fn suspends(step: &Step) -> bool {
    let Action::Change(changes) = &step.action else { return false };
    changes.iter().any(|change| matches!(change, Change::SuspendContainer(_)))
}

/// What only sends, writes or notes disturbs nobody.
fn changes_what_runs(step: &Step) -> bool {
    match &step.action {
        Action::Change(changes) => changes.iter().any(Change::touches_what_runs),
        Action::Note(_) | Action::VerifyRuntime => false,
        action => !action.is_wait(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, after: &[&str]) -> Step {
        // Stop, write, start: a replacement where there is no API that could be lost.
        let changes = vec![
            Change::StopContainer("etcd".into()),
            Change::Write { directories: Vec::new(), files: Vec::new(), links: Vec::new() },
            Change::StartContainer("etcd".into()),
        ];
        Step {
            id: StepId(id.into()),
            host: None,
            title: id.into(),
            reason: String::new(),
            details: Vec::new(),
            action: Action::Change(changes),
            after: after.iter().map(|id| StepId((*id).into())).collect(),
            log: None,
            contained: false,
        }
    }

    fn sending(id: &str, after: &[&str]) -> Step {
        Step { action: Action::Change(Vec::new()), ..step(id, after) }
    }

    fn plan(steps: Vec<Step>) -> Plan {
        let mut plan = Plan { steps, ..Plan::default() };
        sort(&mut plan);
        plan
    }

    #[test]
    fn steps_stand_behind_what_they_need_and_otherwise_where_they_were() {
        let plan = plan(vec![step("a", &["d"]), step("b", &[]), step("c", &["a"]), step("d", &["b"])]);
        let ids: Vec<&str> = plan.steps.iter().map(|step| &*step.id.0).collect();
        assert_eq!(ids, ["b", "d", "a", "c"]);
    }

    #[test]
    fn steps_of_a_circle_are_not_lost() {
        let plan = plan(vec![step("a", &["b"]), step("b", &["a"]), step("c", &[])]);
        assert_eq!(plan.steps.len(), 3);
    }

    #[test]
    fn a_place_counts_what_changes_what_runs_and_is_waited_for() {
        let plan = plan(vec![
            step("a", &["image"]),
            sending("image", &[]),
            step("b", &["file"]),
            sending("file", &["a"]),
            step("c", &[]),
        ]);
        let places: Vec<(usize, &str)> = places(&plan).into_iter().map(|(place, step)| (place, &*step.id.0)).collect();
        assert_eq!(places, [(1, "a"), (1, "c"), (2, "b")]);
    }

    #[test]
    fn what_is_stopped_for_a_restore_has_its_place() {
        let suspended = Action::Change(vec![Change::SuspendContainer("etcd".into())]);
        let plan = plan(vec![sending("prepare", &[]), Step { action: suspended, ..step("stop", &["prepare"]) }]);
        let ids: Vec<&str> = places(&plan).into_iter().map(|(_, step)| &*step.id.0).collect();
        assert_eq!(ids, ["stop"]);
    }

    #[test]
    fn without_a_replacement_there_is_no_order_to_tell() {
        assert!(places(&plan(vec![sending("image", &[])])).is_empty());
    }
}

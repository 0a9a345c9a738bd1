//! What earlier replacements of components have left on a host: told, and ended.

use crate::base::StepId;
use crate::host::{Change, LogSource};
use crate::state::ObservedSwap;

use super::host_steps::HostInput;
use super::rolling;
use super::step::{Action, Plan, Step};

/// Adds what ends them. A component that this plan replaces needs no step for it: each replacement first ends the one before.
pub(super) fn add(host: &HostInput<'_>, plan: &mut Plan) {
    for (name, swap) in &host.snapshot.swaps {
        let unit = host.id(&format!("unit/{name}.service"));
        let container = host.id(&format!("container/{name}"));
        // The runtime's steps have no name of a component.
        let runtime = [rolling::RUNTIME, "runtime"].map(|step| host.id(step));
        let is_its = |id: &StepId| *id == unit || *id == container || (name == "containerd" && runtime.contains(id));
        let told = told(swap);
        let own: Vec<StepId> = plan.steps.iter().map(|step| step.id.clone()).filter(is_its).collect();
        let swaps: Vec<StepId> = own.iter().filter(|id| plan.swaps(id)).cloned().collect();
        if swaps.is_empty() {
            let step = settle(host, name, told.clone());
            let after = step.id.clone();
            for step in plan.steps.iter_mut().filter(|step| own.contains(&step.id)) {
                step.after.push(after.clone());
            }
            plan.steps.push(step);
        }
        for step in plan.steps.iter_mut().filter(|step| swaps.contains(&step.id)) {
            if step.details.is_empty() {
                step.details.push(step.reason.clone());
            }
            step.details.push(told.clone());
        }
    }
}

fn settle(host: &HostInput<'_>, name: &str, reason: String) -> Step {
    let change = Change::Settle(name.to_owned());
    let step = host.step(&format!("settle/{name}"), format!("settle {name}"), reason, Action::Change(vec![change]));
    let log = match name {
        "kubelet" | "containerd" => LogSource::Unit(format!("{name}.service")),
        _ => LogSource::Container(name.to_owned()),
    };
    Step { log: Some(log), ..step }
}

fn told(swap: &ObservedSwap) -> String {
    match swap {
        ObservedSwap::Running => "its replacement is under way".into(),
        ObservedSwap::Interrupted => "its last replacement was interrupted".into(),
        ObservedSwap::Reverted(reason) => format!("its last replacement was taken back: {reason}"),
        ObservedSwap::NeitherWorks(reason) => {
            format!("neither its last replacement nor what was there before works: {reason}")
        }
        ObservedSwap::Unfinished(reason) => format!("its last replacement works, and is not ended: {reason}"),
    }
}

//! What a run that has failed or was stopped gives back: nodes that it keeps pods from and that work.

use std::collections::BTreeSet;

use crate::base::{NodeName, StepId};
use crate::event::Event;
use crate::host::HostError;
use crate::plan::{Action, Plan};

use super::Context;
use super::actions::StepError;

/// Whether a failure leaves its host as it was: the old component is back and has proven itself.
pub(super) fn leaves_host_sound(error: &StepError) -> bool {
    matches!(error, StepError::Host(HostError::Reverted { .. }))
}

/// Nodes that were cordoned, whose cordon was to be lifted later, and on which nothing is broken.
pub(super) fn still_cordoned<'a>(
    plan: &'a Plan,
    done: &BTreeSet<&StepId>,
    unsound: &BTreeSet<&NodeName>,
) -> Vec<&'a NodeName> {
    let finished = |action: fn(&Action) -> Option<&NodeName>| {
        plan.steps.iter().filter(|step| done.contains(&step.id)).filter_map(move |step| action(&step.action))
    };
    let uncordoned: BTreeSet<&NodeName> = finished(|action| match action {
        Action::Uncordon(node) => Some(node),
        _ => None,
    })
    .collect();
    let cordoned = finished(|action| match action {
        Action::Cordon(node) => Some(node),
        _ => None,
    });
    cordoned.filter(|node| !uncordoned.contains(node) && !unsound.contains(node)).collect()
}

/// Lets pods onto them again: what was to be changed there is as before, or changed and proven.
pub(super) async fn uncordon(nodes: &[&NodeName], context: &Context<'_>) {
    for node in nodes {
        let text = match context.world.endpoints.uncordon(context.world.epoch, node).await {
            Ok(()) => format!("{node} takes pods again, unless you have cordoned it yourself"),
            Err(error) => format!("{node} stays cordoned until the next `provision up`: {error}"),
        };
        context.events.emit(Event::Notice { text });
    }
}

//! The steps that take a node out of service and put it back.

use serde_json::Value;

use crate::base::NodeName;
use crate::cluster::DrainOptions;
use crate::kubeapi::{has_stale_note, is_cordoned_by_us};
use crate::plan::cluster_steps::host_id;
use crate::plan::{Action, Input, Plan, Step};
use crate::state::{ObjectKey, ObservedApi};

/// The steps before a change for which a node is emptied. Their order is an edge; what comes before the first and the lines
/// of a forecast are the caller's to add.
pub fn drain_steps(node: &NodeName, options: &DrainOptions) -> [Step; 2] {
    let cordon = step(node, "cordon", Action::Cordon(node.clone()));
    let drain = step(node, "drain", Action::Drain { node: node.clone(), options: options.clone() });
    let after = vec![cordon.id.clone()];
    let cordon = Step { title: format!("cordon {node}"), reason: "no new pods while it changes".into(), ..cordon };
    let title = format!("drain {node}");
    let reason = format!("pods leave before it changes, within {} s", options.timeout.as_secs());
    [cordon, Step { title, reason, after, ..drain }]
}

/// The step that puts a node back into service; what it comes after is the caller's to add.
pub fn uncordon_step(node: &NodeName) -> Step {
    let step = step(node, "uncordon", Action::Uncordon(node.clone()));
    Step { title: format!("uncordon {node}"), reason: "it takes pods again".into(), ..step }
}

fn step(node: &NodeName, word: &str, action: Action) -> Step {
    Step {
        id: host_id(node, word),
        host: Some(node.clone()),
        title: String::new(),
        reason: String::new(),
        details: Vec::new(),
        action,
        after: Vec::new(),
        log: None,
        contained: false,
    }
}

/// Puts nodes back into service that an interrupted run has cordoned, after all that is still done on them. A cordon of the
/// operator is left alone; only the note of ours that was there before it goes.
pub(in crate::plan) fn leftover_cordons(input: &Input<'_>, plan: &mut Plan) {
    let ObservedApi::Reached { objects, .. } = &input.observed.api else { return };
    for node in &input.cluster.nodes {
        let Some(live) = objects.get(&ObjectKey::node(&node.name)) else { continue };
        let Some(step) = leftover(&node.name, live).filter(|step| !plan.has(&step.id)) else { continue };
        let on_it = plan.steps.iter().filter(|step| step.host.as_ref() == Some(&node.name));
        let after = on_it.map(|step| step.id.clone()).collect();
        plan.steps.push(Step { after, ..step });
    }
}

fn leftover(node: &NodeName, live: &Value) -> Option<Step> {
    let step = uncordon_step(node);
    if is_cordoned_by_us(live) {
        let reason = "an earlier run has cordoned it and ended before it could undo that".into();
        return Some(Step { reason, ..step });
    }
    let title = format!("forget that {node} was cordoned");
    let reason = "somebody has lifted the cordon of an earlier run; whether it takes pods now is not changed".into();
    has_stale_note(live).then_some(Step { title, reason, ..step })
}

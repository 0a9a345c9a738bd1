//! Steps that keep the inventory, and that delete what it holds and nobody wants any more.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Input;
use super::addon_steps::Stage;
use super::cluster_steps::{first_api, live};
use super::object_difference::object_difference;
use super::refusal::Refusal;
use super::step::{Action, Plan, Step};
use crate::base::StepId;
use crate::desired::{KEEP, MANAGED_BY, POD_SECURITY};
use crate::state::{Deletion, Inventory, InventoryEntry, ObjectKey, ObservedApi, Resident, Resource, ResourceKind};

/// The step that writes down what the plan will apply. Everything that is applied comes after it.
pub(super) const NOTE: &str = "cluster/inventory";
/// Residents that are named in a reason.
const RESIDENTS_SHOWN: usize = 3;
/// Kinds whose objects hold data: deleting one deletes what no file can bring back.
const DATA: [&str; 2] = ["PersistentVolume", "PersistentVolumeClaim"];

/// What the cluster says that we keep, before anything is applied.
fn stored(input: &Input<'_>) -> Result<Inventory, String> {
    live(input, &Inventory::key()).map_or_else(|| Ok(Inventory::default()), Inventory::of)
}

/// What is stored and what is wanted, together.
fn noted(input: &Input<'_>, stored: &Inventory) -> Inventory {
    let mut inventory = stored.clone();
    entries(input).into_iter().for_each(|entry| inventory.note(entry));
    inventory
}

/// The wanted objects as entries. What is missing now is made by us.
fn entries(input: &Input<'_>) -> Vec<InventoryEntry> {
    let entry = |object: &crate::state::Object| InventoryEntry {
        addon: object.addon.clone(),
        key: object.key.clone(),
        made: live(input, &object.key).is_none(),
    };
    input.desired.objects.iter().map(entry).collect()
}

/// Writes the inventory with all that is wanted, before any of it is applied.
pub(super) fn note(input: &Input<'_>, plan: &mut Plan) {
    let is_known = matches!(input.observed.api, ObservedApi::Reached { .. }) || input.history.untouched;
    let entries = entries(input);
    let count = entries.len();
    let (action, reason, details) = if is_known {
        let stored = match stored(input) {
            Ok(stored) => stored,
            Err(reason) => return plan.refusals.push(unreadable(reason)),
        };
        let noted = noted(input, &stored);
        let Some(reason) = write_reason(input, &stored, &noted) else { return };
        let new = noted.entries().iter().filter(|entry| stored.entry(&entry.key).is_none());
        let details = new.map(|entry| format!("{} of add-on {}", entry.key, entry.addon)).collect();
        (Action::Apply(vec![noted.object()]), reason, details)
    } else {
        (Action::Note(entries), "it could not be read".into(), Vec::new())
    };
    plan.steps.push(Step {
        id: StepId(NOTE.into()),
        host: None,
        title: format!("note in the inventory what is applied ({count} objects)"),
        reason,
        details,
        action,
        after: first_api(input).into_iter().collect(),
        log: None,
        contained: false,
    });
}

fn write_reason(input: &Input<'_>, stored: &Inventory, noted: &Inventory) -> Option<String> {
    let Some(live) = live(input, &Inventory::key()) else { return Some("missing".into()) };
    let new = noted.entries().iter().filter(|entry| stored.entry(&entry.key).is_none()).count();
    if new > 0 {
        return Some(format!("{new} of them are new"));
    }
    let difference = object_difference(&noted.object().body, live);
    (!difference.is_empty()).then(|| "it differs".into())
}

fn unreadable(reason: String) -> Refusal {
    Refusal {
        host: None,
        subject: Inventory::key().to_string(),
        reason: format!("somebody has changed it, and it cannot be read: {reason}"),
        hint: "put it back, or delete it: then all objects that are there count as not made by provision, and none of them \
               is ever deleted"
            .into(),
        details: Vec::new(),
    }
}

/// What becomes of an object that nobody wants any more.
enum Verdict {
    /// It is not there.
    Gone,
    /// It stays, and is no longer ours.
    Keep(String),
    /// It goes.
    Delete(Deletion),
}

/// Deletes what is no longer wanted and forgets it, after everything else.
pub(super) fn prune(input: &Input<'_>, plan: &mut Plan) {
    let ObservedApi::Reached { .. } = &input.observed.api else { return };
    let Ok(stored) = stored(input) else { return };
    let wanted = |key: &ObjectKey| input.desired.objects.iter().any(|object| object.key.is_same_object(key));
    let is_left = |entry: &&InventoryEntry| !wanted(&entry.key) && !is_way_back(input, entry);
    let leftovers: Vec<&InventoryEntry> = stored.entries().iter().filter(is_left).collect();
    if leftovers.is_empty() {
        return;
    }
    let judged = judge(input, leftovers);
    for stage in Stage::ALL.into_iter().rev() {
        delete(input, stage, &judged, plan);
    }
    forget(input, &judged, noted(input, &stored), wanted, plan);
}

/// Policies of a version that has no more use for them stay, with the roles that allow their use: who goes back to the
/// version before finds pods admitted as ever.
fn is_way_back(input: &Input<'_>, entry: &InventoryEntry) -> bool {
    let is_wanted = |object: &crate::state::Object| object.addon == entry.addon;
    entry.addon == POD_SECURITY && !input.desired.objects.iter().any(is_wanted)
}

/// Namespaces and definitions come last: what is deleted does not hold them.
fn judge<'a>(input: &Input<'_>, leftovers: Vec<&'a InventoryEntry>) -> Vec<(&'a InventoryEntry, Verdict)> {
    let holds = |entry: &&InventoryEntry| Stage::of(&entry.key) <= Stage::Namespaces;
    let (holders, others): (Vec<_>, Vec<_>) = leftovers.into_iter().partition(holds);
    let mut judged: Vec<_> = others.into_iter().map(|entry| (entry, verdict(input, entry))).collect();
    let going: BTreeSet<String> = judged
        .iter()
        .filter_map(|(_, verdict)| match verdict {
            Verdict::Delete(deletion) => Some(deletion.uid.clone()),
            _ => None,
        })
        .collect();
    for entry in holders {
        let verdict = match verdict(input, entry) {
            Verdict::Delete(deletion) => holder_verdict(input, deletion, &going),
            other => other,
        };
        judged.push((entry, verdict));
    }
    judged
}

fn verdict(input: &Input<'_>, entry: &InventoryEntry) -> Verdict {
    let Some(live) = live(input, &entry.key) else { return Verdict::Gone };
    let metadata = &live["metadata"];
    let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
    let keep = |reason: &str| Verdict::Keep(reason.to_owned());
    if is_wanted_elsewhere(input, &uid) {
        return keep("it is wanted under another name");
    }
    if metadata["annotations"][KEEP] == "true" {
        return Verdict::Keep(format!("it has the annotation {KEEP}"));
    }
    if !entry.made {
        return keep("it was there before provision took it over");
    }
    if metadata["labels"][MANAGED_BY.0] != MANAGED_BY.1 {
        return Verdict::Keep(format!("somebody took the label {} from it", MANAGED_BY.0));
    }
    if DATA.contains(&entry.key.kind.as_str()) {
        return keep("it holds data");
    }
    Verdict::Delete(Deletion { key: entry.key.clone(), uid })
}

/// Some objects are served by two groups: what was Ingress of `extensions` is one of `networking.k8s.io` too.
fn is_wanted_elsewhere(input: &Input<'_>, uid: &str) -> bool {
    let mut live = input.desired.objects.iter().filter_map(|object| live(input, &object.key));
    !uid.is_empty() && live.any(|live| live["metadata"]["uid"] == *uid)
}

/// Deleting a namespace or a definition deletes all that lies in it: it goes only when that is nothing of anybody else's.
fn holder_verdict(input: &Input<'_>, deletion: Deletion, going: &BTreeSet<String>) -> Verdict {
    let ObservedApi::Reached { residents, .. } = &input.observed.api else { return Verdict::Delete(deletion) };
    let Some(residents) = residents.get(&deletion.key) else {
        return Verdict::Keep("what lies in it could not be found out".into());
    };
    if let Some(user) =
        input.desired.objects.iter().find(|object| uses(&object.key, &deletion.key, live(input, &deletion.key)))
    {
        return Verdict::Keep(format!("{} of add-on {} needs it", user.key, user.addon));
    }
    let others = strangers(residents, going);
    if others.is_empty() {
        return Verdict::Delete(deletion);
    }
    let shown: Vec<String> = others.iter().take(RESIDENTS_SHOWN).map(|key| key.to_string()).collect();
    let more = others.len().saturating_sub(RESIDENTS_SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Verdict::Keep(format!("provision did not make {}{more}", shown.join(", ")))
}

fn uses(key: &ObjectKey, holder: &ObjectKey, live: Option<&Value>) -> bool {
    if holder.kind == "Namespace" {
        return key.namespace == holder.name;
    }
    let kind: ResourceKind = key.resource_kind();
    live.is_some_and(|live| Resource::defined_by(live).iter().any(|(defined, _)| *defined == kind))
}

/// Residents that are neither going themselves nor made by Kubernetes for every namespace, nor deleted with one that is
/// here too.
pub fn strangers<'a>(residents: &'a [Resident], going: &BTreeSet<String>) -> Vec<&'a ObjectKey> {
    let is_here = |uid: &String| going.contains(uid) || residents.iter().any(|resident| resident.uid == *uid);
    let is_service = |name: &str| residents.iter().any(|one| one.key.kind == "Service" && one.key.name == name);
    let is_stranger = |resident: &&Resident| {
        let Resident { key, uid, owners, account } = resident;
        let is_token = key.kind == "Secret" && account.is_some();
        let follows = owners.iter().any(is_here) || is_token;
        let made_for_all = match (key.kind.as_str(), key.name.as_str()) {
            ("Event", _) | ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt") => true,
            ("Endpoints", name) => is_service(name),
            _ => false,
        };
        !going.contains(uid) && !follows && !made_for_all
    };
    residents.iter().filter(is_stranger).map(|resident| &resident.key).collect()
}

fn delete(input: &Input<'_>, stage: Stage, judged: &[(&InventoryEntry, Verdict)], plan: &mut Plan) {
    let (mut objects, mut details) = (Vec::new(), Vec::new());
    for (entry, verdict) in judged.iter().filter(|(entry, _)| Stage::of(&entry.key) == stage) {
        let Verdict::Delete(deletion) = verdict else { continue };
        objects.push(deletion.clone());
        details.push(format!("{}: {}", entry.key, why(input, entry)));
    }
    if objects.is_empty() {
        return;
    }
    let count = objects.len();
    plan.steps.push(Step {
        id: StepId(format!("cluster/delete/{}", stage.id())),
        host: None,
        title: format!("delete what is no longer wanted ({count} object{})", if count == 1 { "" } else { "s" }),
        reason: "provision made it, and cluster.yml no longer asks for it".into(),
        details,
        action: Action::Delete(objects),
        // Last, and only when all went well: what goes may be what something new still stands on.
        after: plan.steps.iter().map(|step| step.id.clone()).collect(),
        log: None,
        contained: true,
    });
}

fn why(input: &Input<'_>, entry: &InventoryEntry) -> String {
    let addon = &entry.addon;
    let lives = input.desired.objects.iter().any(|object| object.addon == *addon);
    if lives { format!("add-on {addon} no longer has it") } else { format!("add-on {addon} is gone") }
}

/// Takes out of the inventory what is gone and what is somebody else's from now on.
fn forget(
    input: &Input<'_>,
    judged: &[(&InventoryEntry, Verdict)],
    noted: Inventory,
    wanted: impl Fn(&ObjectKey) -> bool,
    plan: &mut Plan,
) {
    let mut inventory = noted;
    inventory.retain(|entry| wanted(&entry.key) || is_way_back(input, entry));
    let mut details = Vec::new();
    for (InventoryEntry { key, .. }, verdict) in judged {
        match verdict {
            Verdict::Delete(_) => {}
            Verdict::Gone => details.push(format!("{key}: gone already")),
            Verdict::Keep(reason) => details.push(format!("{key}: kept, {reason}; from now on it is yours")),
        }
    }
    let kept = judged.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Keep(_))).count();
    plan.steps.push(Step {
        id: StepId(format!("{NOTE}/forget")),
        host: None,
        title: format!("take out of the inventory what is no longer wanted ({} objects)", judged.len()),
        reason: if kept > 0 { format!("{kept} of them are kept") } else { "none of them is kept".into() },
        details,
        action: Action::Apply(vec![inventory.object()]),
        after: plan.steps.iter().map(|step| step.id.clone()).collect(),
        log: None,
        contained: true,
    });
}

//! Labels and taints of a Node that others write to as well.

use serde_json::{Value, json};

use crate::cluster::Taint;

/// Where the taints that the tool has set are noted, so that a later run can tell them from those of others.
pub(super) const TAINTS_ANNOTATION: &str = "provision/taints";

/// Joins wanted taints with those of others. `spec.taints` is one value to server-side apply, so the node controller's
/// (`not-ready`, `unreachable`) and other people's must be carried over; `ours` are those that an earlier run has set.
pub fn merge_taints(live: &[Value], ours: &[Taint], wanted: &[Taint]) -> Vec<Value> {
    let is_in = |list: &[Taint], taint: &Value| list.iter().any(|known| same(known, taint));
    let kept = live.iter().filter(|taint| is_in(wanted, taint) || !is_in(ours, taint));
    let mut merged: Vec<Value> = kept.cloned().map(|taint| with_value(taint, wanted)).collect();
    for taint in wanted {
        if !merged.iter().any(|known| same(taint, known)) {
            merged.push(json!({ "key": taint.key, "value": taint.value, "effect": taint.effect }));
        }
    }
    merged
}

/// Kubernetes allows one taint for each key and effect.
fn same(taint: &Taint, live: &Value) -> bool {
    live["key"] == *taint.key && live["effect"] == *taint.effect
}

fn with_value(mut live: Value, wanted: &[Taint]) -> Value {
    if let Some(taint) = wanted.iter().find(|taint| same(taint, &live))
        && live["value"].as_str().unwrap_or_default() != taint.value
    {
        live["value"] = taint.value.clone().into();
    }
    live
}

/// Writes taints into the annotation: `key=value:effect`, one after the other.
pub(super) fn write_annotation(taints: &[Taint]) -> String {
    let text = |taint: &Taint| format!("{}={}:{}", taint.key, taint.value, taint.effect);
    taints.iter().map(text).collect::<Vec<_>>().join(",")
}

/// Reads the annotation; what does not parse is not ours.
pub(super) fn read_annotation(text: &str) -> Vec<Taint> {
    let taint = |part: &str| {
        let (key, rest) = part.split_once('=')?;
        let (value, effect) = rest.split_once(':')?;
        Some(Taint { key: key.into(), value: value.into(), effect: effect.into() })
    };
    text.split(',').filter_map(taint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str) -> Taint {
        Taint { key: key.into(), value: value.into(), effect: "NoSchedule".into() }
    }

    #[test]
    fn taints_of_others_stay_and_ours_come_and_go() {
        let foreign = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule", "timeAdded": "2026"});
        let live = [foreign.clone(), json!({"key": "old", "value": "1", "effect": "NoSchedule"})];
        let merged = merge_taints(&live, &[taint("old", "1")], &[taint("new", "2")]);
        assert_eq!(merged, [foreign, json!({"key": "new", "value": "2", "effect": "NoSchedule"})]);
    }

    #[test]
    fn a_wanted_taint_that_is_there_is_not_touched() {
        let live = [json!({"key": "a", "value": "1", "effect": "NoSchedule", "timeAdded": "2026"})];
        assert_eq!(merge_taints(&live, &[], &[taint("a", "1")]), live);
        let changed = merge_taints(&live, &[taint("a", "1")], &[taint("a", "2")]);
        assert_eq!(changed[0]["value"], "2");
    }

    #[test]
    fn the_annotation_reads_back() {
        let taints = [taint("a", "1"), taint("example.org/b", "")];
        assert_eq!(read_annotation(&write_annotation(&taints)), taints);
        assert_eq!(read_annotation(""), []);
    }
}

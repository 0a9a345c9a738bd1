//! What is lost when an upgrade to a minor is taken back, and what forbids that while the cluster runs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stored::uses;
use crate::base::Minor;
use crate::release::{OneWay, PodSecurityMechanism, Release};
use crate::state::StoredObject;

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct WayBackInput<'a> {
    /// The row of the version that is taken back.
    pub newer: &'a Release,
    /// The row of the version that is gone back to.
    pub older: &'a Release,
    /// What etcd has, by [`OneWay::keys`]: everything below, or why it could not be read.
    pub stored: &'a BTreeMap<String, Result<Vec<StoredObject>, String>>,
}

/// What the way back loses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WayBack {
    /// The minor that is taken back.
    pub from: Minor,
    /// The minor that is gone back to.
    pub to: Minor,
    /// Whether PodSecurityPolicy takes the place of Pod Security admission again.
    pub to_policies: bool,
    /// What is lost, in the order of the catalog.
    pub losses: Vec<Loss>,
    /// What could not be read and why; it may be anything.
    pub unread: Vec<String>,
}

/// Objects of which the older minor makes something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Kind, and the field where it is one: `CronJob spec.timeZone`.
    pub what: String,
    /// What becomes of them there.
    pub meaning: String,
    /// Whether that forbids the way back while the cluster runs.
    pub refused: bool,
    /// Namespace and name of each, or the name alone.
    pub objects: Vec<String>,
}

/// Judges everything that etcd has.
pub fn way_back(input: &WayBackInput<'_>) -> WayBack {
    let WayBackInput { newer, older, .. } = input;
    let mechanisms = (newer.pod_security, older.pod_security);
    let mut back = WayBack {
        from: newer.minor,
        to: older.minor,
        to_policies: mechanisms == (PodSecurityMechanism::Admission, PodSecurityMechanism::Policy),
        losses: Vec::new(),
        unread: Vec::new(),
    };
    for one_way in &input.newer.one_way {
        match input.stored.get(&one_way.keys) {
            Some(Ok(objects)) => judge(one_way, objects, &mut back),
            Some(Err(reason)) => back.unread.push(format!("objects of kind {}: {reason}", one_way.kind)),
            None => back.unread.push(format!("objects of kind {}: nobody asked for them", one_way.kind)),
        }
    }
    back
}

fn judge(one_way: &OneWay, objects: &[StoredObject], back: &mut WayBack) {
    let mut found = Vec::new();
    for object in objects.iter().filter(|object| !one_way.own.contains(&object.name)) {
        match uses(&object.value, one_way) {
            Some(true) => found.push(object.name.clone()),
            Some(false) => {}
            None => {
                back.unread.push(format!("{} {}: etcd has it in a form that is not known", one_way.kind, object.name))
            }
        }
    }
    if found.is_empty() {
        return;
    }
    let fields: Vec<&str> = one_way.fields.keys().map(String::as_str).collect();
    let what = format!("{} {}", one_way.kind, fields.join(" or "));
    let (what, meaning) = (what.trim_end().to_owned(), one_way.meaning.clone());
    back.losses.push(Loss { what, meaning, refused: one_way.refused, objects: found });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::KubernetesVersion;
    use crate::release::Catalog;

    fn release(version: &str) -> Release {
        Catalog::shipped().unwrap().release(&KubernetesVersion::parse(version).unwrap()).unwrap()
    }

    fn object(name: &str, json: &str) -> StoredObject {
        StoredObject { name: name.into(), value: json.as_bytes().to_vec() }
    }

    /// What etcd has where nothing else is said: nothing.
    fn judged(changes: &[(&str, Result<Vec<StoredObject>, String>)]) -> WayBack {
        let (newer, older) = (release("v1.25.4"), release("v1.24.17"));
        let mut stored: BTreeMap<_, _> = newer.one_way.iter().map(|row| (row.keys.clone(), Ok(Vec::new()))).collect();
        stored.extend(changes.iter().map(|(keys, objects)| ((*keys).to_owned(), objects.clone())));
        way_back(&WayBackInput { newer: &newer, older: &older, stored: &stored })
    }

    #[test]
    fn objects_of_which_the_older_minor_makes_something_else_are_named() {
        let zoned = object("shop/report", r#"{"spec": {"timeZone": "Europe/Berlin"}}"#);
        let plain = object("shop/plain", r#"{"spec": {"schedule": "@daily"}}"#);
        let back = judged(&[("cronjobs", Ok(vec![zoned, plain]))]);
        assert_eq!(back.losses.len(), 1, "{back:?}");
        let Loss { what, refused, objects, .. } = &back.losses[0];
        assert_eq!(
            (what.as_str(), *refused, objects.as_slice()),
            ("CronJob spec.timeZone", true, &["shop/report".to_owned()][..])
        );
        assert!(back.unread.is_empty());
    }

    #[test]
    fn what_the_older_minor_only_does_not_go_by_is_told_and_not_refused() {
        let definition =
            r#"{"spec": {"versions": [{"schema": {"x-kubernetes-validations": [{"rule": "self.a > 1"}]}}]}}"#;
        let keys = "apiextensions.k8s.io/customresourcedefinitions";
        let back = judged(&[(keys, Ok(vec![object("things.example.org", definition)]))]);
        assert_eq!(back.losses.iter().map(|loss| loss.refused).collect::<Vec<_>>(), [false]);
        // A pod's own time to end is none of a probe.
        let pods = r#"{"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5, "containers": [{"livenessProbe": {}}]}}}}"#;
        assert!(judged(&[("deployments", Ok(vec![object("a/b", pods)]))]).losses.is_empty());
    }

    #[test]
    fn what_could_not_be_read_is_said() {
        let back = judged(&[("cronjobs", Err("etcd of h1: connection refused".into()))]);
        assert_eq!(back.unread, ["objects of kind CronJob: etcd of h1: connection refused"]);
        let back = judged(&[("cronjobs", Ok(vec![object("a/b", "k8s:enc:")]))]);
        assert!(back.unread[0].starts_with("CronJob a/b: "), "{back:?}");
    }
}

//! The Pod Security Standards on pods as files, and the report on namespaces.
//!
//! `UPDATE_EXPECTED=1` writes the reports anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use provision::base::Minor;
use provision::cluster::PodSecurity;
use provision::podsecurity::{
    BorderInput, LABELS_MANAGER, as_mutated, border_report, controls, labelled, level_of, unlabelled,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    #[serde(default = "border")]
    minor: u64,
    pod: Value,
    level: String,
    #[serde(default)]
    reasons: Vec<String>,
}

fn border() -> u64 {
    25
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

fn cases() -> Vec<Case> {
    let files = ["baseline.yml", "restricted.yml", "versions.yml"];
    let read = |name| std::fs::read_to_string(folder("podsecurity").join(name)).unwrap();
    files.into_iter().flat_map(|name| serde_yaml::from_str::<Vec<Case>>(&read(name)).unwrap()).collect()
}

/// Passes every control of every minor.
fn blameless() -> Value {
    json!({
        "metadata": {},
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "web",
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    })
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return *target = patch.clone() };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(key)),
            value => merge(target.as_object_mut().unwrap().entry(key).or_insert(Value::Null), value),
        }
    }
}

fn level(word: &str) -> PodSecurity {
    let levels = [PodSecurity::Restricted, PodSecurity::Baseline, PodSecurity::Privileged];
    levels.into_iter().find(|level| level.as_str() == word).unwrap()
}

#[test]
fn each_pod_is_judged_as_its_case_says() {
    let mut wrong = String::new();
    for case in cases() {
        let mut pod = blameless();
        merge(&mut pod, &case.pod);
        let verdict = level_of(&pod, Minor(case.minor));
        let reasons: Vec<String> = verdict.violations.into_iter().map(|violation| violation.reason).collect();
        if verdict.level != level(&case.level) || reasons != case.reasons {
            let _ = writeln!(wrong, "{}: {:?} {reasons:#?}", case.case, verdict.level);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_control_refuses_some_pod_of_the_cases() {
    let newest = Minor(35);
    let mut refusing = BTreeSet::new();
    for case in cases() {
        let mut pod = blameless();
        merge(&mut pod, &case.pod);
        let verdict = level_of(&pod, Minor(case.minor));
        refusing.extend(verdict.violations.into_iter().map(|violation| (violation.control, violation.level)));
    }
    let all: BTreeSet<_> = controls(newest).map(|control| (control.name, control.level)).collect();
    assert_eq!(refusing, all);
    assert!(controls(newest).all(|control| !control.fields.is_empty() && !control.allowed.is_empty()));
}

#[test]
fn what_a_policy_fills_in_passes_its_level() {
    let silent = json!({"spec": {"containers": [{"name": "web"}], "initContainers": [{"name": "first"}]}});
    let level = |policy| level_of(&as_mutated(&silent, policy), Minor(25)).level;
    assert_eq!(level(PodSecurity::Restricted), PodSecurity::Restricted);
    assert_eq!(level(PodSecurity::Baseline), PodSecurity::Baseline);
    assert_eq!(as_mutated(&silent, PodSecurity::Privileged), silent);
    let mut loud = blameless();
    merge(&mut loud, &json!({"spec": {"hostPID": true}}));
    assert_eq!(as_mutated(&loud, PodSecurity::Restricted), loud, "what is said stays");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scene {
    minor: u64,
    default: String,
    policy: String,
    namespaces: Vec<Value>,
    workloads: Vec<Value>,
}

impl Scene {
    fn read(name: &str) -> Self {
        serde_yaml::from_str(&std::fs::read_to_string(folder("border").join(format!("{name}.yml"))).unwrap()).unwrap()
    }

    fn input(&self) -> BorderInput<'_> {
        BorderInput {
            minor: Minor(self.minor),
            default: level(&self.default),
            policy: level(&self.policy),
            namespaces: &self.namespaces,
            workloads: &self.workloads,
        }
    }
}

#[test]
fn reports_are_as_expected() {
    for name in ["shop", "lax"] {
        let report = border_report(&Scene::read(name).input());
        let mut text = format!("{report}\n");
        for object in labelled(&report) {
            let _ = writeln!(text, "apply {}: {}", object.key, object.body["metadata"]);
        }
        let _ = writeln!(text, "\n{}", serde_json::to_string_pretty(&report).unwrap());
        let path = folder("border").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{}", path.display());
    }
}

#[test]
fn a_labelled_cluster_needs_no_label_and_gets_rid_of_ours_alone() {
    let mut scene = Scene::read("shop");
    for object in labelled(&border_report(&scene.input())) {
        let live = scene.namespaces.iter_mut().find(|live| live["metadata"]["uid"] == object.body["metadata"]["uid"]);
        merge(live.unwrap(), &object.body);
        assert_eq!(object.manager, LABELS_MANAGER);
    }
    assert!(labelled(&border_report(&scene.input())).is_empty(), "nothing is left to do");
    let changed = scene.namespaces.iter_mut().find(|live| live["metadata"]["name"] == "agents").unwrap();
    changed["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline".into();
    let taken: Vec<String> = unlabelled(&scene.namespaces).iter().map(|object| object.key.name.clone()).collect();
    assert_eq!(taken, ["shop", "empty", "ours"], "neither the operator's own nor the one that somebody changed");
    assert!(unlabelled(&scene.namespaces).iter().all(|object| object.body["metadata"]["labels"].is_null()));
}

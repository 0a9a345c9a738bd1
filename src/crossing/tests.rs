//! Reports from what was read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::base::{KubernetesVersion, Minor, NodeName};
use crate::cluster::PodSecurity;
use crate::release::{Catalog, Release};

/// 2026-11-24T12:00:00Z.
const NOW: i64 = 1_795_521_600;

const METRICS: &str = r#"# HELP apiserver_requested_deprecated_apis [STABLE] Gauge of deprecated APIs that have been requested
# TYPE apiserver_requested_deprecated_apis gauge
apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",resource="podsecuritypolicies",subresource="",version="v1beta1"} 1
apiserver_requested_deprecated_apis{group="autoscaling",removed_release="1.26",resource="horizontalpodautoscalers",subresource="status",version="v2beta2"} 1
apiserver_requested_deprecated_apis{group="autoscaling",removed_release="1.26",resource="horizontalpodautoscalers",subresource="",version="v2beta2"} 1
apiserver_requested_deprecated_apis{group="",removed_release="",resource="componentstatuses",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="a",removed_release="1.25",resource="b\"},{\\",subresource="",version="v1"} 1
apiserver_requested_deprecated_apis{group="batch",removed_release="1.25",resource="cronjobs",subresource="",version="v1beta1"} 0
apiserver_requested_deprecated_apis{group="cut
apiserver_request_total{resource="pods"} 4
process_start_time_seconds 1.79552130012e+09
"#;

fn release(version: &str) -> Release {
    Catalog::shipped().unwrap().release(&KubernetesVersion::parse(version).unwrap()).unwrap()
}

#[test]
fn metrics_tell_what_was_asked_for_and_since_when() {
    let requests = Requests::parse(METRICS);
    assert_eq!(requests.since, Some(1_795_521_300));
    let apis: Vec<_> =
        requests.apis.iter().map(|api| (api.api_version.as_str(), api.resource.as_str(), api.removed_in)).collect();
    let expected = [
        ("a/v1", "b\"},{\\", Some(Minor(25))),
        ("autoscaling/v2beta2", "horizontalpodautoscalers", Some(Minor(26))),
        ("policy/v1beta1", "podsecuritypolicies", Some(Minor(25))),
        ("v1", "componentstatuses", None),
    ];
    assert_eq!(apis, expected);
    assert_eq!(Requests::parse("<html>not found</html>"), Requests::default());
}

fn event(hour: &str, user: &str, agent: &str, resource: &str) -> AuditGroup {
    let told = json!({"hour": hour, "user": user, "agent": agent, "resource": resource, "group": "policy", "version": "v1beta1"});
    AuditGroup::parse(&format!("  3 {told}")).unwrap()
}

#[test]
fn lines_that_no_host_tells_are_no_groups() {
    assert_eq!(event("h", "u", "a\u{1b}\"\\", "r").count, 3);
    for line in ["", "3", "x {}", "3 {\"user\": 1}", "{}"] {
        assert_eq!(AuditGroup::parse(line), None, "{line}");
    }
}

struct Scene {
    current: Release,
    target: Release,
    namespaces: Vec<Value>,
    workloads: Vec<Value>,
    services: Vec<Value>,
    stranded: BTreeMap<RemovedApi, Vec<String>>,
    control_planes: BTreeMap<NodeName, ControlPlaneFacts>,
    unread: Vec<String>,
}

impl Scene {
    fn new(current: &str, target: &str) -> Self {
        let psp = RemovedApi { api_version: "policy/v1beta1".into(), kind: "PodSecurityPolicy".into(), instead: None };
        let facts = ControlPlaneFacts {
            requests: Some(Requests::parse(METRICS)),
            deprecated: vec![
                event("2026-11-24T11", "system:serviceaccount:ops:old", "kubectl/v1.20", "podsecuritypolicies"),
                event("2026-11-23T12", "system:serviceaccount:ops:old", "kubectl/v1.20", "podsecuritypolicies"),
                event("2026-11-23T11", "anna", "kubectl/v1.20", "podsecuritypolicies"),
                event("2026-11-24T11", "provision:run", "", "podsecuritypolicies"),
                event("2026-11-24T11", "anna", "", "poddisruptionbudgets"),
            ],
            stale_tokens: vec![event("2026-11-24T11", "system:serviceaccount:shop:slow", "java/8", "pods")],
        };
        let meta = |name: &str| json!({"namespace": "shop", "name": name, "uid": name});
        Self {
            current: release(current),
            target: release(target),
            namespaces: vec![json!({"metadata": {"name": "shop", "uid": "n1"}})],
            workloads: vec![
                json!({"kind": "Deployment", "metadata": meta("web"), "spec": {"template": {"spec": {"containers": [{"name": "web"}]}}}}),
            ],
            services: vec![
                json!({"metadata": meta("open"), "spec": {"externalIPs": ["192.0.2.1"]}}),
                json!({"metadata": meta("plain"), "spec": {"externalIPs": []}}),
            ],
            stranded: [(psp, vec!["PodSecurityPolicy of-a-tenant".to_owned()])].into(),
            control_planes: [
                (NodeName::new("h1").unwrap(), facts),
                (NodeName::new("h2").unwrap(), ControlPlaneFacts::default()),
            ]
            .into(),
            unread: vec!["the audit log of h2: no such folder".into()],
        }
    }

    fn report(&self) -> CrossingReport {
        crossing_report(&CrossingInput {
            current: &self.current,
            target: &self.target,
            policy: PodSecurity::Restricted,
            default: PodSecurity::Restricted,
            now: NOW,
            namespaces: Some(&self.namespaces),
            workloads: &self.workloads,
            services: &self.services,
            stranded: &self.stranded,
            control_planes: &self.control_planes,
            unread: &self.unread,
        })
    }
}

#[test]
fn the_plan_tells_who_still_asks_for_what_goes() {
    let report = Scene::new("v1.24.17", "v1.34.1").report();
    let psp = report.apis.iter().find(|finding| finding.api.kind == "PodSecurityPolicy").unwrap();
    let of_old = "system:serviceaccount:ops:old (kubectl/v1.20), 6 times".to_owned();
    assert_eq!(psp.by, [of_old], "neither our own requests nor what is older than a day");
    assert_eq!(psp.asked.iter().map(|asked| asked.node.as_str()).collect::<Vec<_>>(), ["h1"]);
    assert_eq!(psp.stranded, ["PodSecurityPolicy of-a-tenant"]);
    let text = report.to_string();
    let expected = "  no longer served: policy/v1beta1 PodSecurityPolicy; nothing takes its place\n      asked for on h1 since it \
                    started (2026-11-24 11:55:00Z)\n      by system:serviceaccount:ops:old (kubectl/v1.20), 6 times in the \
                    last 24 hours\n      PodSecurityPolicy of-a-tenant is not shown any more\n";
    assert!(text.contains(expected), "{text}");
    assert!(
        text.contains("no longer served: autoscaling/v2beta2 HorizontalPodAutoscaler; write autoscaling/v2\n"),
        "{text}"
    );
    assert!(text.contains("  not known: the audit log of h2: no such folder\n"), "{text}");
    let unasked: Vec<_> = report.unasked.iter().map(|api| (api.api_version.as_str(), api.kind.as_str())).collect();
    assert!(unasked.contains(&("batch/v1beta1", "CronJob")), "{unasked:?}");
}

#[test]
fn turned_defaults_name_those_whom_they_touch() {
    let report = Scene::new("v1.24.17", "v1.34.1").report();
    let affected: Vec<&[String]> = report.flips.iter().map(|flip| flip.affected.as_slice()).collect();
    let expected: [&[String]; 3] = [
        &["system:serviceaccount:shop:slow (java/8), 3 times".into()],
        &["Service shop/open".into()],
        &["Deployment shop/web".into()],
    ];
    assert_eq!(affected, expected);
    assert!(report.brings_pod_security && report.pod_security.is_some());
}

#[test]
fn every_turned_default_names_what_keeps_the_old_one() {
    let scene = Scene::new("v1.24.17", "v1.25.4");
    let flips = scene.report().flips;
    assert_eq!(flips.len(), 3);
    for flip in &flips {
        let catalog = Catalog::shipped().unwrap().with_overlay(&flip.keep).unwrap();
        let target = catalog.release(&KubernetesVersion::parse("v1.25.4").unwrap()).unwrap();
        let kept = Scene { target, ..Scene::new("v1.24.17", "v1.25.4") }.report().flips;
        let left: Vec<_> = kept.iter().map(|flip| flip.setting).collect();
        assert!(left.len() == 2 && !left.contains(&flip.setting), "{}: {left:?}", flip.keep);
    }
    let text = scene.report().to_string();
    assert!(text.contains("      the old one stays with a --catalog of {\"releases\":{\"1.25\":{"), "{text}");
}

#[test]
fn within_a_minor_nothing_goes_and_nothing_turns() {
    let mut scene = Scene::new("v1.34.1", "v1.34.2");
    scene.stranded.clear();
    let report = scene.report();
    assert!(report.apis.is_empty() && report.unasked.is_empty() && report.flips.is_empty());
    assert_eq!(report.pod_security, None);
}

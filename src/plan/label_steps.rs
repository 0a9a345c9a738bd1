//! Labels of namespaces for Pod Security admission.

use crate::base::StepId;
use crate::podsecurity::{BorderReport, labelled};
use crate::state::Object;

use super::{Action, Step};

/// The step's name, for steps that must come after it.
pub const LABEL_NAMESPACES: &str = "cluster/pod-security/labels";

/// The name of the step that takes them back.
pub(super) const UNLABEL_NAMESPACES: &str = "cluster/pod-security/unlabel";

/// The step that labels namespaces before the first apiserver is replaced by one whose Pod Security admission enforces; none
/// where every namespace has a label, or nothing is enforced in it. It waits for `after`.
pub fn label_namespaces(report: &BorderReport, after: Vec<StepId>) -> Option<Step> {
    let objects = labelled(report);
    if objects.is_empty() {
        return None;
    }
    let due = report.namespaces.iter().filter_map(|report| Some((&report.name, report.label?)));
    Some(Step {
        id: StepId(LABEL_NAMESPACES.into()),
        host: None,
        title: "label namespaces for Pod Security admission".into(),
        reason: "the next version has no PodSecurityPolicy; each gets a level that all its pods and templates pass"
            .into(),
        details: due.map(|(name, level)| format!("{name}: {}", level.as_str())).collect(),
        action: Action::Apply(objects),
        after,
        log: None,
        contained: false,
    })
}

/// The step that takes our labels away again once every apiserver has PodSecurityPolicy; none where no namespace has one.
pub fn unlabel_namespaces(objects: &[Object]) -> Option<Step> {
    (!objects.is_empty()).then(|| Step {
        id: StepId(UNLABEL_NAMESPACES.into()),
        host: None,
        title: "take our labels for Pod Security admission from namespaces".into(),
        reason: "PodSecurityPolicy is back".into(),
        details: objects.iter().map(|object| object.key.name.clone()).collect(),
        action: Action::Apply(objects.to_vec()),
        after: Vec::new(),
        log: None,
        contained: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::Minor;
    use crate::cluster::PodSecurity;
    use crate::podsecurity::{BorderInput, border_report};

    #[test]
    fn only_namespaces_without_a_label_are_labelled() {
        let label = json!({"pod-security.kubernetes.io/enforce": "privileged"});
        let namespaces = [
            json!({"metadata": {"name": "a", "uid": "1"}}),
            json!({"metadata": {"name": "b", "uid": "2", "labels": label}}),
            json!({"metadata": {"name": "kube-system", "uid": "3"}}),
        ];
        let step = |namespaces| {
            let (minor, default, policy) = (Minor(25), PodSecurity::Restricted, PodSecurity::Restricted);
            let input = BorderInput { minor, default, policy, namespaces, workloads: &[] };
            label_namespaces(&border_report(&input), vec![StepId("before".into())])
        };
        let found = step(&namespaces).unwrap();
        assert_eq!(found.details, ["a: restricted"]);
        assert_eq!(found.after, [StepId("before".into())]);
        assert!(step(&namespaces[1..]).is_none());
    }
}

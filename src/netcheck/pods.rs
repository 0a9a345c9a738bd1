//! What the API says of a test pod.

use serde_json::Value;

/// How far a pod has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// It runs at this address.
    Runs(String),
    /// Its image is not there and cannot be had: the runtime's words.
    NoImage(String),
    /// It does not run yet, and why.
    Waits(String),
}

/// Reasons for which a container waits that time alone does not mend.
const IMAGE_REASONS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
];

/// Reads a Pod object.
pub fn pod_state(pod: &Value) -> PodState {
    let status = &pod["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let container = &status["containerStatuses"][0];
    let waiting = &container["state"]["waiting"];
    let reason = text(&waiting["reason"]);
    let message = text(&waiting["message"]);
    if IMAGE_REASONS.contains(&reason.as_str()) {
        return PodState::NoImage(told(reason, message));
    }
    let ip = text(&status["podIP"]);
    if container["state"]["running"].is_object() && !ip.is_empty() {
        return PodState::Runs(ip);
    }
    if !reason.is_empty() {
        return PodState::Waits(told(reason, message));
    }
    let reason = text(&status["reason"]);
    let phase = text(&status["phase"]);
    let reason = if reason.is_empty() { phase } else { reason };
    PodState::Waits(told(reason, text(&status["message"])))
}

fn told(reason: String, message: String) -> String {
    match (reason.is_empty(), message.is_empty()) {
        (true, true) => "not seen by its kubelet yet".into(),
        (_, true) => reason,
        (true, false) => message,
        (false, false) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting(reason: &str, message: &str) -> PodState {
        let waiting = json!({ "waiting": { "reason": reason, "message": message } });
        pod_state(&json!({ "status": { "phase": "Pending", "containerStatuses": [{ "state": waiting }] } }))
    }

    #[test]
    fn a_pod_runs_once_its_container_does_and_it_has_an_address() {
        let status =
            |ip: Value| json!({ "status": { "podIP": ip, "containerStatuses": [{ "state": { "running": {} } }] } });
        assert_eq!(pod_state(&status(json!("10.42.0.5"))), PodState::Runs("10.42.0.5".into()));
        assert!(matches!(pod_state(&status(Value::Null)), PodState::Waits(_)));
        assert_eq!(pod_state(&json!({})), PodState::Waits("not seen by its kubelet yet".into()));
    }

    #[test]
    fn a_missing_image_is_told_from_other_waits() {
        let words = "failed to resolve reference";
        assert_eq!(waiting("ErrImagePull", words), PodState::NoImage(format!("ErrImagePull: {words}")));
        assert_eq!(waiting("ContainerCreating", ""), PodState::Waits("ContainerCreating".into()));
        let refused =
            json!({ "status": { "phase": "Failed", "reason": "OutOfpods", "message": "Node didn't have enough" } });
        assert_eq!(pod_state(&refused), PodState::Waits("OutOfpods: Node didn't have enough".into()));
    }
}

//! Pods of a node, and asking for their eviction.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::paths::{encode, with_query};
use super::{KubeApi, KubeApiError, ReadApi};
use crate::base::NodeName;
use crate::https::Answer;

/// A pod that shall leave its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What tells it from a later one of that name.
    pub uid: String,
    /// Seconds that it gets to end; none for what it asks for itself.
    pub grace_period: Option<u32>,
}

/// What the apiserver says to an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvictionAnswer {
    /// The pod is on its way out.
    Accepted,
    /// It is not there any more.
    Gone,
    /// Not now: a budget forbids it.
    Budget {
        /// Name of the PodDisruptionBudget, where the apiserver tells it.
        budget: Option<String>,
        /// The apiserver's sentence, such as `The disruption budget web needs 2 healthy pods and has 2 currently`.
        message: String,
    },
    /// Not now, for this reason: it has just changed, or its namespace goes and the pod with it.
    NotNow(String),
    /// This apiserver evicts nothing.
    Unserved,
}

impl ReadApi {
    /// All pods that are bound to a node, finished ones included.
    pub async fn pods_on(&self, node: &NodeName) -> Result<Vec<Value>, KubeApiError> {
        let selector = format!("spec.nodeName={node}");
        let path = with_query("/api/v1/pods", &[("fieldSelector", &selector)]);
        self.list(&path, &format!("listing the pods of {node}")).await
    }

    /// All PodDisruptionBudgets of the cluster.
    pub async fn disruption_budgets(&self) -> Result<Vec<Value>, KubeApiError> {
        self.list("/apis/policy/v1/poddisruptionbudgets", "listing PodDisruptionBudgets").await
    }
}

impl KubeApi {
    /// Asks for the eviction of a pod, in the form of `policy/v1` (Kubernetes 1.22 and later).
    ///
    /// # Errors
    ///
    /// What the apiserver refuses for another reason than a budget.
    pub async fn evict(&self, eviction: &Eviction) -> Result<EvictionAnswer, KubeApiError> {
        let Eviction { namespace, name, uid, grace_period } = eviction;
        let mut options = json!({ "preconditions": { "uid": uid } });
        if let Some(seconds) = grace_period {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "namespace": namespace, "name": name },
            "deleteOptions": options,
        });
        let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", encode(namespace), encode(name));
        let operation = format!("evicting Pod {namespace}/{name}");
        let content = Some(("application/json", &body));
        let answer = self.read().send(Method::POST, &path, &operation, content).await?;
        understood(&answer).ok_or_else(|| KubeApiError::of_answer(self.read().host(), &operation, &answer))
    }
}

/// What an answer means; none for errors that have nothing to do with eviction.
fn understood(answer: &Answer) -> Option<EvictionAnswer> {
    if answer.status.is_success() {
        return Some(EvictionAnswer::Accepted);
    }
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let cause = |reason: &str| {
        let causes = status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
        causes.filter(|cause| cause["reason"] == reason).map(|cause| text(&cause["message"])).next()
    };
    match answer.status {
        StatusCode::NOT_FOUND if status.pointer("/details/kind").is_some_and(|kind| kind == "pods") => {
            Some(EvictionAnswer::Gone)
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Some(EvictionAnswer::Unserved),
        // Also where another pod of its name is there by now; a new list of pods tells.
        StatusCode::CONFLICT => Some(EvictionAnswer::NotNow(text(&status["message"]))),
        StatusCode::TOO_MANY_REQUESTS => {
            let message = cause("DisruptionBudget")?;
            Some(EvictionAnswer::Budget { budget: named(&message), message })
        }
        StatusCode::FORBIDDEN => cause("NamespaceTerminating").map(EvictionAnswer::NotNow),
        _ => None,
    }
}

/// The budget's name, which stands in the sentence only.
fn named(message: &str) -> Option<String> {
    let rest = message.strip_prefix("The disruption budget ")?;
    rest.split(' ').next().map(str::to_owned)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &Value) -> Option<EvictionAnswer> {
        understood(&Answer { status: StatusCode::from_u16(status).unwrap(), body: body.to_string().into() })
    }

    #[test]
    fn a_budget_that_forbids_it_is_named_in_the_apiservers_words() {
        let message = "The disruption budget web needs 2 healthy pods and has 2 currently";
        let causes = json!([{"reason": "DisruptionBudget", "message": message}]);
        let body = json!({"kind": "Status", "reason": "TooManyRequests", "details": {"causes": causes}});
        let wanted = EvictionAnswer::Budget { budget: Some("web".into()), message: message.into() };
        assert_eq!(answer(429, &body), Some(wanted));
    }

    #[test]
    fn an_apiserver_with_too_much_to_do_is_no_budget() {
        assert_eq!(answer(429, &json!({"kind": "Status", "reason": "TooManyRequests"})), None);
        assert_eq!(answer(500, &json!({"message": "This pod has more than one PodDisruptionBudget"})), None);
    }

    #[test]
    fn a_pod_that_is_gone_is_told_from_evictions_that_nobody_serves() {
        let gone = json!({"kind": "Status", "reason": "NotFound", "details": {"name": "web-1", "kind": "pods"}});
        assert_eq!(answer(404, &gone), Some(EvictionAnswer::Gone));
        let unserved = json!({"message": "the server could not find the requested resource", "details": {}});
        assert_eq!(answer(404, &unserved), Some(EvictionAnswer::Unserved));
        let changed = json!({"reason": "Conflict", "message": "the object has been modified"});
        assert_eq!(answer(409, &changed), Some(EvictionAnswer::NotNow("the object has been modified".into())));
        assert_eq!(answer(201, &json!({"status": "Success"})), Some(EvictionAnswer::Accepted));
    }

    #[test]
    fn a_namespace_that_goes_takes_its_pods_along() {
        let causes = json!([{"reason": "NamespaceTerminating", "message": "namespace a is being terminated"}]);
        assert_eq!(
            answer(403, &json!({"details": {"causes": causes}})),
            Some(EvictionAnswer::NotNow("namespace a is being terminated".into()))
        );
        assert_eq!(answer(403, &json!({"reason": "Forbidden"})), None);
    }
}

//! Asking again where the answer was "not now".

use std::future::Future;
use std::time::Duration;

use crate::kubeapi::KubeApiError;
use crate::state::{Deletion, Object, ObjectKey};

use super::EndpointError;

/// How often objects are sent before the last refusal counts.
const ATTEMPTS: usize = 20;
/// The same for objects that a webhook must pass whose pods are about to start.
const WEBHOOK_ATTEMPTS: usize = 240;
/// Between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// What is sent for an object.
pub(super) trait Request {
    /// Whose it is.
    fn key(&self) -> &ObjectKey;
}

impl Request for Object {
    fn key(&self) -> &ObjectKey {
        &self.key
    }
}

impl Request for Deletion {
    fn key(&self) -> &ObjectKey {
        &self.key
    }
}

/// Applies or deletes objects until all is taken. An apiserver that has just started, or whose etcd elects a leader, refuses for
/// moments what it takes a moment later. Both may be repeated: they say how an object shall be, and not what to do.
///
/// `send` gets the objects that are left and gives a result for each, in their order; an error where nothing could be
/// sent.
///
/// # Errors
///
/// The first refusal, and the names of all objects that were refused.
pub(super) async fn until_taken<'a, T, S, F>(objects: &'a [T], pause: Duration, send: S) -> Result<(), EndpointError>
where
    T: Request,
    S: Fn(Vec<&'a T>) -> F,
    F: Future<Output = Result<Vec<Result<(), KubeApiError>>, EndpointError>>,
{
    let mut left: Vec<&T> = objects.iter().collect();
    let mut attempt = 1;
    loop {
        let (failure, attempts) = match send(left.clone()).await {
            Ok(results) => {
                let refused: Vec<_> = left
                    .into_iter()
                    .zip(results)
                    .filter_map(|(object, result)| Some((object, result.err()?)))
                    .collect();
                if refused.is_empty() {
                    return Ok(());
                }
                left = refused.iter().map(|(object, _)| *object).collect();
                (refusal(&refused), attempts(&refused))
            }
            Err(failure) => (failure, ATTEMPTS),
        };
        if attempt >= attempts {
            return Err(failure);
        }
        attempt += 1;
        tokio::time::sleep(pause).await;
    }
}

/// How often it is worth trying: once where something will not pass by itself.
fn attempts<T>(refused: &[(&T, KubeApiError)]) -> usize {
    if !refused.iter().all(|(_, error)| error.may_pass()) {
        return 1;
    }
    if refused.iter().all(|(_, error)| error.is_of_webhook()) { WEBHOOK_ATTEMPTS } else { ATTEMPTS }
}

/// One error for all: the first that will not pass by itself, else the first.
fn refusal<T: Request>(refused: &[(&T, KubeApiError)]) -> EndpointError {
    let lasting = refused.iter().position(|(_, error)| !error.may_pass()).unwrap_or(0);
    let mut failure = EndpointError::of_api(&refused[lasting].1);
    let others = refused.iter().enumerate().filter(|(position, _)| *position != lasting);
    let others: Vec<String> = others.map(|(_, (object, _))| object.key().to_string()).collect();
    if !others.is_empty() {
        failure.reason = format!("{}; also refused: {}", failure.reason, others.join(", "));
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::base::NodeName;
    use crate::kubeapi::RefusalReason;

    fn object(name: &str) -> Object {
        Object::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})).unwrap()
    }

    fn refused(name: &str, reason: RefusalReason) -> KubeApiError {
        KubeApiError::Refused {
            host: NodeName::new("h1").unwrap(),
            operation: format!("applying ConfigMap {name}"),
            status: StatusCode::FORBIDDEN,
            reason,
            message: "not now".into(),
        }
    }

    /// Notes what is sent in each attempt, and gives to each object what `answer` says.
    async fn run(
        answer: impl Fn(usize, &str) -> Result<(), KubeApiError> + Copy,
    ) -> (Vec<Vec<String>>, Result<(), EndpointError>) {
        let sent = Mutex::new(Vec::new());
        let objects = [object("a"), object("b"), object("c")];
        let result = until_taken(&objects, Duration::ZERO, |left| {
            let names: Vec<String> = left.iter().map(|object| object.key.name.clone()).collect();
            sent.lock().unwrap().push(names.clone());
            let attempt = sent.lock().unwrap().len();
            async move { Ok(names.iter().map(|name| answer(attempt, name)).collect()) }
        })
        .await;
        (sent.into_inner().unwrap(), result)
    }

    #[tokio::test]
    async fn only_what_was_refused_is_sent_again() {
        let (sent, result) = run(|attempt, name| match (attempt, name) {
            (1, "b") => Err(refused(name, RefusalReason::Unavailable)),
            _ => Ok(()),
        })
        .await;
        assert_eq!(sent, [vec!["a", "b", "c"], vec!["b"]]);
        assert_eq!(result, Ok(()));
    }

    #[tokio::test]
    async fn what_will_not_pass_is_told_at_once_before_what_may() {
        let (sent, result) = run(|_, name| match name {
            "a" => Err(refused(name, RefusalReason::Unavailable)),
            "c" => Err(refused(name, RefusalReason::Invalid)),
            _ => Ok(()),
        })
        .await;
        assert_eq!(sent.len(), 1);
        let message = "Kubernetes API: applying ConfigMap c through h1: not now (403 Forbidden); \
                       also refused: ConfigMap a";
        assert_eq!(result.unwrap_err().to_string(), message);
    }

    #[tokio::test]
    async fn a_webhook_whose_pods_start_is_waited_for_longer() {
        let unanswered = |name: &str| KubeApiError::Refused {
            host: NodeName::new("h1").unwrap(),
            operation: format!("applying ConfigMap {name}"),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            reason: RefusalReason::Unavailable,
            message: "Internal error occurred: failed calling webhook \"a.example.org\": connection refused".into(),
        };
        let (sent, result) =
            run(|attempt, name| if attempt <= ATTEMPTS + 1 { Err(unanswered(name)) } else { Ok(()) }).await;
        assert_eq!((sent.len(), result), (ATTEMPTS + 2, Ok(())));
    }

    #[tokio::test]
    async fn the_last_refusal_counts_in_the_end() {
        let (sent, result) = run(|_, name| Err(refused(name, RefusalReason::Unavailable))).await;
        assert_eq!(sent.len(), ATTEMPTS);
        assert!(result.is_err());
    }

    #[tokio::test]
    async fn an_apiserver_that_went_away_may_come_back() {
        let attempts = Mutex::new(0);
        let objects = [object("a")];
        let result = until_taken(&objects, Duration::ZERO, |left| {
            *attempts.lock().unwrap() += 1;
            let gone = EndpointError { operation: "Kubernetes API".into(), reason: "gone".into() };
            let result =
                if *attempts.lock().unwrap() < 3 { Err(gone) } else { Ok(left.iter().map(|_| Ok(())).collect()) };
            async move { result }
        })
        .await;
        assert_eq!(result, Ok(()));
        assert_eq!(*attempts.lock().unwrap(), 3);
    }
}

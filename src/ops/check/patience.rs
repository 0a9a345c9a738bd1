//! Asking the API again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::endpoints::EndpointError;

/// An API that gives no answer for as long is gone.
const ANSWERS_AFTER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(300);

/// Asks until there is an answer, for some seconds: an API whose etcd elects a leader, or that restarts, says nothing of the
/// network between pods. A refusal that will last costs that time too.
///
/// # Errors
///
/// The last one.
pub(super) async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, EndpointError>
where
    F: Future<Output = Result<T, EndpointError>>,
{
    let started = Instant::now();
    loop {
        match ask().await {
            Err(_) if started.elapsed() < ANSWERS_AFTER => sleep(PAUSE).await,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_api_that_stays_silent_is_given_up_with_its_reason() {
        let started = Instant::now();
        let gone = || EndpointError { operation: "reading pods".into(), reason: "gone".into() };
        let result: Result<(), _> = patiently(|| async { Err(gone()) }).await;
        assert_eq!(result, Err(gone()));
        assert!(started.elapsed() >= ANSWERS_AFTER && started.elapsed() < 2 * ANSWERS_AFTER);
    }
}

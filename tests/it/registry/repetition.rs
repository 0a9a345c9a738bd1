//! What may pass is waited for, within bounds.

use std::time::{Duration, Instant};

use provision::registry::{RegistryError, RegistrySettings};

use super::image::{NAME, two_architectures};
use super::server::{Behaviour, Fault, Server, error};
use super::{check_text, open, reference, refusal, resolve, settings};

/// A registry that answers with a fault the first so many times that a path is asked for.
async fn ill(times: usize, fault: Fault) -> Server {
    let faults = move |_: &_, earlier| (earlier < times).then(|| fault.clone());
    Behaviour::new(two_architectures().0).faults(faults).start().await
}

fn busy(status: u16, wait: Option<&str>) -> Fault {
    let headers = wait.map(|wait| vec![("retry-after", wait.to_owned())]).unwrap_or_default();
    Fault::Answer(status, headers, error("TOOMANYREQUESTS", "slow down"))
}

#[tokio::test]
async fn a_registry_that_recovers_is_waited_for() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = ill(3, busy(status, None)).await;
        resolve(&settings(open(&server)), &reference(&server, NAME)).await.unwrap();
        assert_eq!(server.asked().len(), 3 * 4, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_names_a_time_is_given_it() {
    let server = ill(1, busy(429, Some("1"))).await;
    let began = Instant::now();
    resolve(&settings(open(&server)), &reference(&server, NAME)).await.unwrap();
    // One pause for each of the three documents.
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_registry_that_does_not_recover_is_given_up() {
    for status in [429, 500] {
        let server = ill(usize::MAX, busy(status, None)).await;
        let refused = refusal(&settings(open(&server)), &reference(&server, NAME)).await;
        let RegistryError::Busy { tries, reason, .. } = refused else { panic!("{refused}") };
        assert_eq!(tries, 4);
        assert!(reason.starts_with(&status.to_string()) && reason.contains("slow down"), "{reason}");
        assert_eq!(server.asked().len(), 4);
    }
}

#[tokio::test]
async fn a_registry_that_wants_hours_is_given_up_at_once() {
    let server = ill(usize::MAX, busy(429, Some("21600"))).await;
    let refused = refusal(&settings(open(&server)), &reference(&server, NAME)).await;
    let RegistryError::Busy { tries, reason, .. } = refused else { panic!("{refused}") };
    assert_eq!(tries, 1);
    assert!(reason.contains("21600 s"), "{reason}");
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let server = ill(usize::MAX, Fault::Answer(404, Vec::new(), error("MANIFEST_UNKNOWN", "unknown"))).await;
    refusal(&settings(open(&server)), &reference(&server, NAME)).await;
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_registry_that_is_silent_is_given_up_after_the_time_that_was_set() {
    for fault in [Fault::Silence, Fault::Stall(10)] {
        let server = ill(usize::MAX, fault).await;
        let limits = RegistrySettings { answer_timeout: Duration::from_secs(1), ..settings(open(&server)) };
        let refused = refusal(&limits, &reference(&server, NAME)).await;
        assert!(matches!(refused, RegistryError::TimedOut { seconds: 1, .. }), "{refused}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_asked_for_again() {
    for at in [0, 1, 100] {
        let server = ill(2, Fault::Cut(at)).await;
        resolve(&settings(open(&server)), &reference(&server, NAME)).await.unwrap();
        assert_eq!(server.asked().len(), 3 * 3);
    }
    let server = ill(usize::MAX, Fault::Cut(10)).await;
    let image = reference(&server, NAME);
    let refused = refusal(&settings(open(&server)), &image).await;
    check_text(&refused, &image);
    assert!(matches!(refused, RegistryError::Broken { tries: 4, .. }), "{refused}");
}

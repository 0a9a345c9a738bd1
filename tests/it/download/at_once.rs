//! Two runs that want the same.

use std::sync::Arc;

use tokio::sync::Notify;

use super::site::{Reply, Site};
use super::*;

#[tokio::test]
async fn two_runs_fetch_a_file_once() {
    let bytes = content(200_000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let person = Arc::new(Person::new(&settings()));
    let request = kubelet(&site.base());
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (person, request) = (Arc::clone(&person), request.clone());
            tokio::spawn(async move {
                // As another process would: with a cache and a client of its own.
                let cache = Cache::open(&person.cache()).unwrap();
                let downloads = Downloads::new(Web::new(&settings()).unwrap(), cache);
                downloads.fetch(&request, &|_| {}).await
            })
        })
        .collect();
    for run in runs {
        assert_content(&run.await.unwrap().unwrap(), &bytes);
    }
    assert_eq!(site.seen(FILE).len(), 1);
    assert_eq!((person.names("sha256").len(), person.names("partial").len(), person.names("locks").len()), (1, 0, 1));
}

#[tokio::test]
async fn a_run_waits_for_another_one_and_takes_over_when_that_one_dies() {
    let bytes = content(50_000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, count| {
        let reply = Reply::file(&copy, "\"a\"", seen);
        if count == 0 { reply.stall_after(20_000) } else { reply }
    })
    .await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    let (came, waits) = (Notify::new(), Notify::new());
    let first = async {
        let listener = |progress| {
            if let Progress::Received { bytes: 20_000, .. } = progress {
                came.notify_one();
            }
        };
        tokio::select! {
            result = person.downloads.fetch(&request, &listener) => panic!("{result:?}"),
            () = waits.notified() => {}
        }
    };
    let second = async {
        came.notified().await;
        let listener = |progress| match progress {
            Progress::Waits { reason } => {
                assert_eq!(reason, "another run of provision fetches kubelet v1.34.1; waiting for it");
                waits.notify_one();
            }
            Progress::Received { bytes, .. } => assert!(bytes >= 20_000, "it began anew"),
        };
        person.downloads.fetch(&request, &listener).await
    };
    let ((), file) = tokio::join!(first, second);
    assert_content(&file.unwrap(), &bytes);
    assert_eq!(site.seen(FILE)[1].from(), Some(20_000));
}

//! Downloads that end early and go on.

use std::fs;
use std::sync::Arc;

use tokio::sync::Notify;

use super::site::{Reply, Site};
use super::*;

/// Fetches a file whose first answer ends after some bytes; gives the requests.
async fn cut_once(bytes: &[u8], position: usize) -> Vec<(Option<usize>, Option<String>)> {
    let copy = bytes.to_vec();
    let site = Site::with_file(bytes, move |seen, count| {
        let reply = Reply::file(&copy, "\"a\"", seen);
        if count == 0 { reply.cut_after(position) } else { reply }
    })
    .await;
    let person = Person::new(&settings());
    assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), bytes);
    site.seen(FILE).iter().map(|seen| (seen.from(), seen.if_range.clone())).collect()
}

#[tokio::test]
async fn a_file_cut_anywhere_goes_on_where_it_was_cut() {
    let bytes = content(200_000);
    for position in [1, 2, 4096, 65_536, 100_000, 199_998, 199_999] {
        let asked = cut_once(&bytes, position).await;
        assert_eq!(asked, [(None, None), (Some(position), Some("\"a\"".to_owned()))], "cut after {position}");
    }
    assert_eq!(cut_once(&bytes, 0).await, [(None, None), (None, None)]);
}

#[tokio::test]
async fn a_small_file_is_mended_whichever_byte_was_the_last() {
    let bytes = content(40);
    for position in 0..40 {
        assert_eq!(cut_once(&bytes, position).await.len(), 2, "cut after {position}");
    }
}

#[tokio::test]
async fn a_line_that_breaks_all_the_time_ends_well_as_long_as_bytes_come() {
    let bytes = content(10_000);
    let copy = bytes.clone();
    // Ten cuts are more than the two repetitions that are allowed in a row.
    let site = Site::with_file(&bytes, move |seen, _| {
        let reply = Reply::file(&copy, "\"a\"", seen);
        if seen.from().unwrap_or(0) < 9000 { reply.cut_after(1000) } else { reply }
    })
    .await;
    let person = Person::new(&settings());
    assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
    assert_eq!(site.seen(FILE).len(), 10);
    assert_words(&person.reasons(), &["broke", "asking again in 0.001 s"]);
}

#[tokio::test]
async fn a_line_that_gives_no_more_bytes_is_given_up_and_the_next_run_goes_on() {
    let bytes = content(10_000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, count| match count {
        0 => Reply::file(&copy, "\"a\"", seen).cut_after(6000),
        1..=3 => Reply::file(&copy, "\"a\"", seen).cut_after(0),
        _ => Reply::file(&copy, "\"a\"", seen),
    })
    .await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    let error = person.fetch(&request).await.unwrap_err().to_string();
    assert_words(&error, &["kubelet v1.34.1: ", &site.base(), "the connection broke", "run the command again"]);
    assert_eq!(site.seen(FILE).len(), 3);
    assert_eq!((fs::read(person.partial(&request)).unwrap().len(), mode(&person.partial(&request))), (6000, 0o600));
    // Another cut at the same place, by the fourth answer, and then the rest.
    assert_content(&person.fetch(&request).await.unwrap(), &bytes);
    let later: Vec<_> = site.seen(FILE)[3..].iter().map(|seen| (seen.from(), seen.if_range.clone())).collect();
    // A new process knows no entity tag before the first answer; the digest finds what was mixed.
    assert_eq!(later, [(Some(6000), None), (Some(6000), Some("\"a\"".to_owned()))]);
}

#[tokio::test]
async fn a_fetch_that_is_dropped_is_continued_by_the_next_one() {
    let bytes = content(50_000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, count| {
        let reply = Reply::file(&copy, "\"a\"", seen);
        if count == 0 { reply.stall_after(20_000) } else { reply }
    })
    .await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    let came = Arc::new(Notify::new());
    let tell = Arc::clone(&came);
    let listener = move |progress| {
        if let Progress::Received { bytes: 20_000, .. } = progress {
            tell.notify_one();
        }
    };
    tokio::select! {
        result = person.downloads.fetch(&request, &listener) => panic!("{result:?}"),
        () = came.notified() => {}
    }
    assert_content(&person.fetch(&request).await.unwrap(), &bytes);
    assert_eq!(site.seen(FILE)[1].from(), Some(20_000));
}

#[tokio::test]
async fn a_whole_file_that_a_killed_run_left_is_not_fetched_again() {
    let bytes = content(5000);
    let site = Site::with_file(&bytes, |_, _| Reply::new(500, "")).await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    fs::write(person.partial(&request), &bytes).unwrap();
    assert_content(&person.fetch(&request).await.unwrap(), &bytes);
    assert_eq!((site.seen(FILE).len(), person.names("partial").len()), (0, 0));
}

#[tokio::test]
async fn a_server_without_ranges_sends_all_of_it_again() {
    let bytes = content(10_000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |_, count| {
        let reply = Reply::new(200, copy.clone());
        if count == 0 { reply.cut_after(7000) } else { reply }
    })
    .await;
    let person = Person::new(&settings());
    assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
    assert_eq!(site.seen(FILE)[1].from(), Some(7000));
}

/// How a server answers for the rest of a file that has another content since the cut.
#[tokio::test]
async fn a_file_that_changed_after_the_cut_is_fetched_anew() {
    type Second = fn(&[u8], &site::Seen) -> Reply;
    let cases: [(&str, Second, usize); 6] = [
        ("compares the tag", |new, seen| Reply::file(new, "\"new\"", seen), 2),
        ("has another tag", |new, _| part(new, 6000).header("etag", "\"new\""), 3),
        ("has another length", |new, _| part(&[new, b"more"].concat(), 6000), 3),
        ("says nothing", |new, _| part(new, 6000), 3),
        ("gives another part", |new, _| part(new, 5999), 3),
        ("has no such part", |_, _| Reply::new(416, ""), 3),
    ];
    for (name, second, requests) in cases {
        let (old, new) = (content(10_000), content(10_001)[1..].to_vec());
        let copy = new.clone();
        let site = Site::with_file(&new, move |seen, count| match count {
            0 => Reply::file(&old, "\"old\"", seen).cut_after(6000),
            1 => second(&copy, seen),
            _ => Reply::file(&copy, "\"new\"", seen),
        })
        .await;
        let person = Person::new(&settings());
        assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), &new);
        assert_eq!(site.seen(FILE).len(), requests, "a server that {name}");
        // Only what no header tells is found out by the digest, after all bytes have come.
        let by_digest = person.reasons().contains("has changed between two parts");
        assert_eq!(by_digest, name == "says nothing", "a server that {name}");
    }
}

fn part(content: &[u8], from: usize) -> Reply {
    let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
    Reply::new(206, &content[from..]).header("content-range", range)
}

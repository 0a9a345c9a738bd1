//! Sites that are busy, broken or silent.

use std::net::TcpListener;
use std::time::Instant;

use jiff::{Timestamp, ToSpan as _};

use super::site::{Reply, Site};
use super::*;

#[tokio::test]
async fn a_busy_site_is_asked_again_after_the_time_that_it_wants() {
    for (status, dated) in [(429, false), (503, false), (429, true)] {
        let bytes = content(5000);
        let copy = bytes.clone();
        let site = Site::with_file(&bytes, move |seen, count| {
            // A date has whole seconds, so that one in three seconds may be little more than two seconds away.
            let date = Timestamp::now() + 3.seconds();
            let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let after = if dated { date } else { "1".to_owned() };
            match count {
                0 => Reply::new(status, "").header("retry-after", after),
                _ => Reply::file(&copy, "\"a\"", seen),
            }
        })
        .await;
        let person = Person::new(&settings());
        let start = Instant::now();
        assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
        assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
        assert_words(&person.reasons(), &[&site.base(), &format!("answered {status} ")]);
        // The way of the answer takes some of a date's time.
        let waits: &[&str] = if dated { &["asking again in 1", "asking again in 2"] } else { &["asking again in 1"] };
        assert!(waits.iter().any(|words| person.reasons().contains(words)), "{}", person.reasons());
    }
}

#[tokio::test]
async fn a_busy_site_is_asked_again_for_a_checksum_too() {
    let bytes = content(100);
    let copy = bytes.clone();
    let site = Site::new(move |seen, count| {
        Some(match (seen.path.as_str(), count) {
            (CHECKSUM, 0) => Reply::new(500, ""),
            (CHECKSUM, 1) => Reply::new(200, "a".repeat(64)).cut_after(10),
            (CHECKSUM, _) => Reply::new(200, Digest::of(&copy).hexadecimal()),
            _ => Reply::file(&copy, "\"a\"", seen),
        })
    })
    .await;
    assert_content(&Person::new(&settings()).fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
}

#[tokio::test]
async fn a_site_that_stays_broken_is_given_up() {
    for (status, name) in
        [(500, "500 Internal Server Error"), (503, "503 Service Unavailable"), (429, "429 Too Many Requests")]
    {
        let site = Site::with_file(b"x", move |_, _| Reply::new(status, "")).await;
        let error = Person::new(&settings()).refusal(&kubelet(&site.base())).await;
        let words = format!("kubelet v1.34.1: {}{FILE} answered {name}, 3 times in a row", site.base());
        assert_words(&error, &[&words, "run the command again later, or name another site in `downloads`"]);
        assert_eq!(site.seen(FILE).len(), 3);
    }
}

fn impatient() -> WebSettings {
    WebSettings { idle_timeout: Duration::from_secs(1), ..settings() }
}

#[tokio::test]
async fn a_site_that_never_answers_is_named_with_the_setting() {
    let site = Site::new(|_, _| None).await;
    let error = Person::new(&impatient()).refusal(&kubelet(&site.base())).await;
    assert_words(&error, &[&format!("kubelet v1.34.1: {}{CHECKSUM}: not a byte for 1 s", site.base())]);
    assert_words(&error, &["raise `downloads.timeout`"]);
    assert_eq!(site.seen(CHECKSUM).len(), 1, "it was waited for once");
}

#[tokio::test]
async fn a_site_that_falls_silent_is_asked_for_the_rest() {
    let bytes = content(5000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, count| {
        let reply = Reply::file(&copy, "\"a\"", seen);
        if count == 0 { reply.stall_after(3000) } else { reply }
    })
    .await;
    let person = Person::new(&impatient());
    assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
    assert_eq!(site.seen(FILE)[1].from(), Some(3000));
    assert_words(&person.reasons(), &["not a byte for 1 s"]);
}

#[tokio::test]
async fn a_site_that_accepts_and_says_nothing_is_named_with_the_setting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let settings = WebSettings { connect_timeout: Duration::from_millis(300), ..settings() };
    let error = Person::new(&settings).refusal(&kubelet(&base)).await;
    assert_words(&error, &[&format!("{base}{CHECKSUM}: no connection within 0.3 s"), "raise `downloads.timeout`"]);
}

#[tokio::test]
async fn a_site_that_is_not_there_is_refused_at_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = format!("http://127.0.0.1:{port}");
    let person = Person::new(&WebSettings { first_pause: Duration::from_secs(60), ..settings() });
    let error = person.refusal(&kubelet(&base)).await;
    assert_words(&error, &[&format!("{base}{CHECKSUM} cannot be reached: "), "onnection refused", "HTTPS_PROXY"]);
    assert_eq!(person.reasons(), "");
}

//! What is not taken.

use std::os::unix::fs::symlink;

use super::site::{Reply, Site};
use super::*;

const PAGE: &str = "<!DOCTYPE html>\n<html><title>Please log in</title>";

#[tokio::test]
async fn another_content_is_refused_with_both_digests() {
    let bytes = content(5000);
    let other = content(5001);
    let copy = other.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let error = Person::new(&settings()).refusal(&kubelet(&site.base())).await;
    let words = [
        "kubelet v1.34.1: ".to_owned(),
        format!("{}{FILE} has {}", site.base(), Digest::of(&other)),
        format!("{}{CHECKSUM} says {}", site.base(), Digest::of(&bytes)),
        "thrown away".to_owned(),
    ];
    assert_words(&error, &words.each_ref().map(String::as_str));
    assert_eq!(site.seen(FILE).len(), 1, "one whole answer proves it");
}

#[tokio::test]
async fn another_content_than_the_locked_one_is_refused() {
    let bytes = content(5000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let request = locked(kubelet(&site.base()), b"other");
    let error = Person::new(&settings()).refusal(&request).await;
    assert_words(&error, &[&format!("the digest that was locked before says {}", Digest::of("other"))]);
    assert_eq!(site.seen(CHECKSUM).len(), 0);
}

#[tokio::test]
async fn pieces_that_do_not_fit_are_fetched_anew_once_and_then_refused() {
    let (bytes, other) = (content(5000), content(5001));
    let site = Site::with_file(&bytes, move |seen, count| {
        let reply = Reply::file(&other, "\"a\"", seen);
        if count == 0 { reply.cut_after(3000) } else { reply }
    })
    .await;
    let person = Person::new(&settings());
    let error = person.refusal(&kubelet(&site.base())).await;
    assert_words(&error, &["has sha256:", "says sha256:"]);
    assert_words(&person.reasons(), &["has changed between two parts"]);
    assert_eq!(site.seen(FILE).len(), 3);
}

#[tokio::test]
async fn a_page_in_the_place_of_a_checksum_is_shown() {
    let long = format!("{PAGE}{}", "x".repeat(100_000));
    for (text, shown) in
        [(PAGE, "<!DOCTYPE html> <html><title>Please log in</title>`"), (&long, "log in</title>xxx"), ("", "but ``")]
    {
        let text = text.to_owned();
        let site = Site::new(move |_, _| Some(Reply::new(200, text.clone()))).await;
        let error = Person::new(&settings()).refusal(&kubelet(&site.base())).await;
        let whose = format!("kubelet v1.34.1: {}{CHECKSUM} holds no SHA-256 checksum", site.base());
        assert_words(&error, &[&whose, shown, "a proxy or a login page"]);
        assert!(!error.contains(&"x".repeat(80)), "{error}");
        assert_eq!(site.seen(FILE).len(), 0);
    }
}

#[tokio::test]
async fn a_page_in_the_place_of_the_file_is_called_one() {
    let bytes = content(5000);
    let site = Site::with_file(&bytes, |_, _| Reply::new(200, PAGE).header("content-type", "text/html")).await;
    let error = Person::new(&settings()).refusal(&kubelet(&site.base())).await;
    assert_words(&error, &[&site.base(), "is an HTML page (`<!DOCTYPE html> <html><title>Please log in", "login page"]);
}

#[tokio::test]
async fn a_status_that_will_not_pass_is_explained_at_once() {
    let cases = [
        (404, "404 Not Found", "this version or architecture does not exist at this site"),
        (410, "410 Gone", "does not exist at this site"),
        (401, "401 Unauthorized", "write user and password into its address in `downloads`"),
        (403, "403 Forbidden", "look whether this version and architecture exist there"),
        (407, "407 Proxy Authentication Required", "write them into HTTP_PROXY or HTTPS_PROXY"),
        (418, "418 I'm a teapot", "that is not a file"),
        (204, "204 No Content", "that is not a file"),
        (206, "206 Partial Content", "that is not a file"),
        (304, "304 Not Modified", "that is not a file"),
    ];
    let bytes = content(100);
    for (status, name, meaning) in cases {
        let site = Site::with_file(&bytes, move |_, _| Reply::new(status, "")).await;
        let error = Person::new(&settings()).refusal(&kubelet(&site.base())).await;
        assert_words(&error, &[&format!("kubelet v1.34.1: {}{FILE} answered {name}: ", site.base()), meaning]);
        assert_eq!(site.seen(FILE).len(), 1);
    }
    let site = Site::new(|_, _| Some(Reply::new(404, ""))).await;
    let error = Person::new(&settings()).refusal(&kubelet(&site.base())).await;
    assert_words(&error, &[CHECKSUM, "404 Not Found", "does not exist at this site"]);
}

#[tokio::test]
async fn a_file_beyond_all_measure_is_not_begun() {
    let site = Site::with_file(b"x", |_, _| Reply::new(206, "").header("content-range", "bytes 3-9/2000000000")).await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    std::fs::write(person.partial(&request), "abc").unwrap();
    let error = person.refusal(&request).await;
    assert_words(&error, &[FILE, "is larger than 1073741824 bytes"]);
}

#[tokio::test]
async fn a_full_disk_is_named_with_what_is_still_to_come() {
    let bytes = content(3 << 20);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    // The kernel answers every write to it as a full disk does.
    symlink("/dev/full", person.partial(&request)).unwrap();
    let error = person.refusal(&request).await;
    let folder = person.cache().display().to_string();
    assert_words(
        &error,
        &["kubelet v1.34.1: the disk of ", &folder, "is full", "3145728 bytes (3 MiB) are still to come"],
    );
    assert_words(&error, &["make room there, or set XDG_CACHE_HOME"]);
    assert_content(&person.fetch(&request).await.unwrap(), &bytes);
}

#[tokio::test]
async fn a_password_is_in_no_refusal() {
    let (absent, page) =
        (Site::new(|_, _| Some(Reply::new(404, ""))).await, Site::new(|_, _| Some(Reply::new(200, PAGE))).await);
    for base in [absent.base(), page.base(), "http://127.0.0.1:1".to_owned()] {
        let request = kubelet(&base.replace("//", "//me:s3cret@"));
        for request in [locked(request.clone(), b"x"), request] {
            let error = Person::new(&settings()).fetch(&request).await.unwrap_err();
            assert_words(&error.to_string(), &["127.0.0.1:"]);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}

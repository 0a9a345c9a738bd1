//! What is there already.

use std::fs;

use super::site::{Reply, Site};
use super::*;

#[tokio::test]
async fn what_was_met_once_needs_no_network() {
    let bytes = content(5000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    person.fetch(&request).await.unwrap();
    for request in [request.clone(), locked(request, &bytes), locked(kubelet("http://127.0.0.1:1"), &bytes)] {
        assert_content(&person.fetch(&request).await.unwrap(), &bytes);
        assert_eq!(person.downloads.digest(&request, &|_| {}).await.unwrap(), Digest::of(&bytes));
    }
    assert_eq!((site.seen(CHECKSUM).len(), site.seen(FILE).len()), (1, 1));
}

#[tokio::test]
async fn a_file_that_another_site_gave_is_not_fetched_again() {
    let bytes = content(5000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let person = Person::new(&settings());
    person.fetch(&kubelet(&site.base())).await.unwrap();
    let mirror = Site::with_file(&bytes, |_, _| Reply::new(500, "")).await;
    assert_content(&person.fetch(&kubelet(&mirror.base())).await.unwrap(), &bytes);
    assert_eq!((mirror.seen(CHECKSUM).len(), mirror.seen(FILE).len()), (1, 0));
    assert_eq!(person.names("locks").len(), 2);
}

#[tokio::test]
async fn rotten_bytes_are_thrown_away_and_fetched_again() {
    let bytes = content(5000);
    let mut flipped = bytes.clone();
    flipped[2500] ^= 1;
    for (name, rotten) in [("one flipped bit", &flipped[..]), ("cut short", &bytes[..4999]), ("empty", &[])] {
        let copy = bytes.clone();
        let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
        let person = Person::new(&settings());
        let request = kubelet(&site.base());
        let file = person.fetch(&request).await.unwrap();
        fs::write(&file.path, rotten).unwrap();
        assert_content(&person.fetch(&request).await.unwrap(), &bytes);
        assert_eq!(site.seen(FILE).len(), 2, "{name}");
        assert_words(&person.reasons(), &["kubelet v1.34.1 is damaged in ", "fetching it anew"]);
    }
}

#[tokio::test]
async fn an_address_that_gives_other_bytes_than_before_is_refused_by_its_record() {
    let (old, new) = (content(5000), content(5001));
    let copy = old.clone();
    let site = Site::new(move |seen, count| {
        let bytes = if count == 0 { &copy } else { &new };
        Some(match seen.path.as_str() {
            CHECKSUM => Reply::new(200, Digest::of(bytes).hexadecimal()),
            _ => Reply::file(bytes, "\"a\"", seen),
        })
    })
    .await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    let file = person.fetch(&request).await.unwrap();
    fs::remove_file(&file.path).unwrap();
    let error = person.fetch(&request).await.unwrap_err().to_string();
    let record = person.cache().join("locks").join(Digest::of(request.url.without_login()).hexadecimal());
    let witness = format!("{} (what this address gave before) says {}", record.display(), Digest::of(&old));
    assert_words(&error, &["has sha256:", &witness]);
    assert_eq!((person.names("sha256").len(), person.names("partial").len()), (0, 0));
    // The operator's word that the new bytes are right.
    fs::remove_file(&record).unwrap();
    assert_eq!(person.fetch(&request).await.unwrap().size, 5001);
}

#[tokio::test]
async fn a_damaged_record_is_named() {
    let site = Site::with_file(b"x", |seen, _| Reply::file(b"x", "\"a\"", seen)).await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    let record = person.cache().join("locks").join(Digest::of(request.url.without_login()).hexadecimal());
    for text in ["", "{}", "{\"url\":\"a\",\"digest\":\"sha256:12\"}"] {
        fs::write(&record, text).unwrap();
        let error = person.fetch(&request).await.unwrap_err().to_string();
        let words = format!("{} does not say which digest was met before: ", record.display());
        assert_words(&error, &[&words, "remove it to trust the site's checksum anew"]);
    }
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_named() {
    let site = Site::with_file(b"x", |seen, _| Reply::file(b"x", "\"a\"", seen)).await;
    let person = Person::new(&settings());
    fs::remove_dir(person.cache().join("partial")).unwrap();
    let request = kubelet(&site.base());
    let error = person.fetch(&request).await.unwrap_err().to_string();
    let words = format!("opening {}: ", person.partial(&request).display());
    assert_words(&error, &[&words, "No such file or directory", "XDG_CACHE_HOME"]);
}

//! Files that arrive.

use std::fs;

use provision::download::{Progress, cni_plugins};
use provision::web::BaseUrl;

use super::site::{Reply, Site};
use super::*;

#[tokio::test]
async fn a_file_is_fetched_checked_and_kept_for_its_owner_only() {
    let bytes = content(300_000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    let file = person.fetch(&request).await.unwrap();
    assert_content(&file, &bytes);
    assert_eq!(file.path, person.cache().join("sha256").join(Digest::of(&bytes).hexadecimal()));
    assert_eq!((mode(&file.path), mode(&person.cache()), mode(&person.cache().join("locks"))), (0o600, 0o700, 0o700));
    assert_eq!(person.names("partial"), [""; 0]);
    let told = person.told.lock().unwrap();
    let all = Progress::Received { bytes: 300_000, total: Some(300_000) };
    assert_eq!((told.first(), told.last()), (Some(&Progress::Received { bytes: 0, total: Some(300_000) }), Some(&all)));
    assert_eq!((site.seen(CHECKSUM).len(), site.seen(FILE).len()), (1, 1));
}

#[tokio::test]
async fn an_archive_with_a_line_of_sha256sum_beside_it_is_fetched_after_redirections() {
    let bytes = content(5000);
    let line = format!("{}  cni-plugins-linux-amd64-v1.6.2.tgz\n", Digest::of(&bytes).hexadecimal());
    let copy = bytes.clone();
    let site = Site::new(move |seen, _| {
        Some(match seen.path.as_str() {
            "/v1.6.2/cni-plugins-linux-amd64-v1.6.2.tgz.sha256" => Reply::new(200, line.clone()),
            "/v1.6.2/cni-plugins-linux-amd64-v1.6.2.tgz" => {
                Reply::new(302, "").header("location", "/assets/1?sig=s3cret")
            }
            "/assets/1" => Reply::new(307, "").header("location", "2"),
            "/assets/2" => Reply::file(&copy, "\"a\"", seen),
            _ => Reply::new(404, ""),
        })
    })
    .await;
    let request = cni_plugins(&BaseUrl::parse(&site.base()).unwrap(), "v1.6.2", "amd64");
    assert_content(&Person::new(&settings()).fetch(&request).await.unwrap(), &bytes);
}

#[tokio::test]
async fn a_body_without_a_length_is_as_good() {
    let bytes = content(70_000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |_, count| {
        let reply = Reply::new(200, copy.clone()).without_length();
        if count == 0 { reply.cut_after(50_000) } else { reply }
    })
    .await;
    let person = Person::new(&settings());
    assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
    let told = person.told.lock().unwrap();
    assert_eq!(told.last(), Some(&Progress::Received { bytes: 70_000, total: None }));
}

#[tokio::test]
async fn user_and_password_go_to_their_site_only_and_into_no_text() {
    let bytes = content(5000);
    let copy = bytes.clone();
    let elsewhere = Site::new(move |seen, _| Some(Reply::file(&copy, "\"a\"", seen))).await;
    let target = format!("{}/assets", elsewhere.base());
    let site = Site::with_file(&bytes, move |_, _| Reply::new(302, "").header("location", target.clone())).await;
    let base = site.base().replace("//", "//me:s3cret@");
    let person = Person::new(&settings());
    let request = kubelet(&base);
    assert_content(&person.fetch(&request).await.unwrap(), &bytes);
    // base64 of me:s3cret
    assert_eq!(site.seen(FILE)[0].authorization.as_deref(), Some("Basic bWU6czNjcmV0"));
    assert_eq!(elsewhere.seen("/assets")[0].authorization, None);
    assert!(!format!("{request:?}").contains("s3cret"), "{request:?}");
    for name in person.names("locks") {
        let record = fs::read_to_string(person.cache().join("locks").join(name)).unwrap();
        assert!(record.contains("***@127.0.0.1") && !record.contains("s3cret"), "{record}");
    }
    // Whoever comes with another password, or with none, knows the same file.
    drop(site);
    assert_content(&person.fetch(&kubelet(&base.replace("me:s3cret@", ""))).await.unwrap(), &bytes);
}

#[tokio::test]
async fn a_digest_alone_can_be_asked_for() {
    let bytes = content(100);
    let site = Site::with_file(&bytes, |_, _| Reply::new(500, "")).await;
    let person = Person::new(&settings());
    let request = kubelet(&site.base());
    let digest = person.downloads.digest(&request, &|_| {}).await.unwrap();
    assert_eq!((digest, site.seen(FILE).len()), (Digest::of(&bytes), 0));
}

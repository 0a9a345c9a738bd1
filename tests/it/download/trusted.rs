//! Sites with certificates, good and bad.

use super::site::{Reply, Seen, Site};
use super::trust::OwnAuthority;
use super::*;

/// Answers for file and checksum.
fn kubelet_of(bytes: &[u8]) -> impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static {
    let bytes = bytes.to_vec();
    move |seen, _| match seen.path.as_str() {
        CHECKSUM => Some(Reply::new(200, Digest::of(&bytes).hexadecimal())),
        _ => Some(Reply::file(&bytes, "\"a\"", seen)),
    }
}

fn trusting(authority: &OwnAuthority) -> WebSettings {
    WebSettings { extra_authorities: vec![authority.authority()], ..settings() }
}

#[tokio::test]
async fn an_authority_of_the_operators_own_is_trusted_once_it_is_named() {
    let (bytes, authority) = (content(5000), OwnAuthority::new("own"));
    let site = Site::with_tls(authority.server("127.0.0.1", 2999), kubelet_of(&bytes)).await;
    let request = kubelet(&site.base());
    assert_content(&Person::new(&trusting(&authority)).fetch(&request).await.unwrap(), &bytes);
    let unknown = "its certificate is signed by no authority that this machine knows";
    let another_key =
        "its certificate is not signed with the key that this machine knows for the authority of that name";
    for (settings, words) in [
        (settings(), unknown),
        (trusting(&OwnAuthority::new("other")), unknown),
        (trusting(&OwnAuthority::new("own")), another_key),
    ] {
        let error = Person::new(&settings).refusal(&request).await;
        let words = format!("kubelet v1.34.1: {}{CHECKSUM}: {words}", site.base());
        assert_words(&error, &[&words, "certificate in `downloads.ca_file`"]);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_named_with_its_date() {
    let authority = OwnAuthority::new("own");
    let site = Site::with_tls(authority.server("127.0.0.1", 2020), kubelet_of(b"x")).await;
    let error = Person::new(&trusting(&authority)).refusal(&kubelet(&site.base())).await;
    assert_words(&error, &[&site.base(), "its certificate expired at 2020-12-31T00:00:00Z", "this machine's clock"]);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_named_with_that_name() {
    let authority = OwnAuthority::new("own");
    let site = Site::with_tls(authority.server("other.example.org", 2999), kubelet_of(b"x")).await;
    let error = Person::new(&trusting(&authority)).refusal(&kubelet(&site.base())).await;
    assert_words(&error, &["its certificate is for other names", "other.example.org", "look at the address"]);
}

#[tokio::test]
async fn a_site_without_tls_at_an_https_address_is_told_from_a_bad_certificate() {
    let site = Site::new(kubelet_of(b"x")).await;
    let base = site.base().replace("http:", "https:");
    let error = Person::new(&settings()).refusal(&kubelet(&base)).await;
    assert_words(&error, &[&base, "what answers there does not speak TLS", "its port"]);
}

#[tokio::test]
async fn nobody_is_led_from_a_safe_site_to_an_unsafe_one() {
    let (bytes, authority) = (content(100), OwnAuthority::new("own"));
    let unsafe_site = Site::new(kubelet_of(&bytes)).await;
    let target = format!("{}{FILE}?signature=s3cret", unsafe_site.base());
    let answer = kubelet_of(&bytes);
    let site = Site::with_tls(authority.server("127.0.0.1", 2999), move |seen, count| match seen.path.as_str() {
        FILE => Some(Reply::new(302, "").header("location", target.clone())),
        _ => answer(seen, count),
    })
    .await;
    let error = Person::new(&trusting(&authority)).refusal(&kubelet(&site.base())).await;
    let words =
        format!("{}{FILE} redirects to {}{FILE}?***, where anybody on the way", site.base(), unsafe_site.base());
    assert_words(&error, &[&words]);
    assert_eq!(unsafe_site.seen(FILE).len(), 0);
}

#[tokio::test]
async fn a_circle_of_redirections_has_an_end() {
    let site = Site::new(|seen, _| Some(Reply::new(302, "").header("location", seen.path.clone()))).await;
    let error = Person::new(&settings()).refusal(&kubelet(&site.base())).await;
    assert_words(&error, &[CHECKSUM, "redirects in a circle or too often"]);
    assert_eq!(site.seen(CHECKSUM).len(), 11);
}

//! Sites behind proxies.

use std::net::TcpListener;

use provision::web::ProxySettings;

use super::proxy::TestProxy;
use super::site::{Reply, Site};
use super::trust::OwnAuthority;
use super::*;

fn through(variables: &[(&str, &str)]) -> WebSettings {
    let proxy = ProxySettings::from_variables(variables.iter().copied()).unwrap();
    WebSettings { proxy, ..settings() }
}

#[tokio::test]
async fn a_plain_site_is_asked_through_the_proxy_with_its_user_and_password() {
    let bytes = content(5000);
    let copy = bytes.clone();
    let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
    let proxy = TestProxy::new(None).await;
    let settings = through(&[("HTTP_PROXY", &format!("http://me:s3cret@{}", proxy.address))]);
    assert_content(&Person::new(&settings).fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
    let head = proxy.heads().remove(0);
    assert!(head.starts_with(&format!("get {}{CHECKSUM} http/1.1\r\n", site.base())), "{head}");
    assert_words(&head, &["proxy-authorization: basic bwu6cznjcmv0\r\n"]);
}

#[tokio::test]
async fn a_safe_site_is_asked_through_a_tunnel() {
    let (bytes, authority) = (content(5000), OwnAuthority::new("own"));
    let copy = bytes.clone();
    let site = Site::with_tls(authority.server("127.0.0.1", 2999), move |seen, _| {
        let checksum = Digest::of(&copy).hexadecimal().to_owned();
        Some(if seen.path == CHECKSUM { Reply::new(200, checksum) } else { Reply::file(&copy, "\"a\"", seen) })
    })
    .await;
    let proxy = TestProxy::new(None).await;
    let settings = through(&[("https_proxy", &format!("me:s3cret@{}", proxy.address))]);
    let settings = WebSettings { extra_authorities: vec![authority.authority()], ..settings };
    assert_content(&Person::new(&settings).fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
    let head = proxy.heads().remove(0);
    assert!(head.starts_with(&format!("connect {} http/1.1\r\n", site.address())), "{head}");
    assert_words(&head, &["proxy-authorization: basic bwu6cznjcmv0\r\n"]);
}

#[tokio::test]
async fn exceptions_and_other_schemes_are_asked_directly() {
    let bytes = content(5000);
    let proxy = TestProxy::new(None).await;
    let address = proxy.address.to_string();
    for variables in [
        &[("HTTP_PROXY", address.as_str()), ("NO_PROXY", "example.org,127.0.0.0/8")][..],
        &[("HTTP_PROXY", address.as_str()), ("no_proxy", "127.0.0.1:80")],
        &[("HTTP_PROXY", address.as_str()), ("no_proxy", "*")],
        &[("HTTPS_PROXY", address.as_str())],
        &[],
    ] {
        let copy = bytes.clone();
        let site = Site::with_file(&bytes, move |seen, _| Reply::file(&copy, "\"a\"", seen)).await;
        let person = Person::new(&through(variables));
        assert_content(&person.fetch(&kubelet(&site.base())).await.unwrap(), &bytes);
        assert_eq!(proxy.heads(), [""; 0], "{variables:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_or_refuses_is_named() {
    let tunnel = [
        ("HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n", "the proxy wants a user and a password (407)"),
        ("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", "the proxy refuses to connect to the site"),
        ("<html>", "the proxy refuses to connect to the site"),
    ];
    for (answer, words) in tunnel {
        let proxy = TestProxy::new(Some(answer)).await;
        let settings = through(&[("HTTPS_PROXY", &format!("http://me:s3cret@{}", proxy.address))]);
        let error = Person::new(&settings).refusal(&kubelet("https://site.invalid")).await;
        let way = format!("cannot be reached through the proxy http://***@{}/: {words}", proxy.address);
        assert_words(&error, &["https://site.invalid", &way, "HTTPS_PROXY"]);
        assert!(!error.contains("s3cret"), "{error}");
    }
    let proxy = TestProxy::new(Some("HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")).await;
    let error = Person::new(&through(&[("HTTP_PROXY", &proxy.address.to_string())]))
        .refusal(&kubelet("http://site.invalid"))
        .await;
    assert_words(&error, &["407 Proxy Authentication Required", "write them into HTTP_PROXY or HTTPS_PROXY"]);
}

#[tokio::test]
async fn a_proxy_that_answers_with_a_page_is_found_out() {
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<html>Blocked.\n";
    let proxy = TestProxy::new(Some(page)).await;
    let settings = through(&[("HTTP_PROXY", &proxy.address.to_string())]);
    let request = kubelet("http://site.invalid");
    let error = Person::new(&settings).refusal(&request).await;
    assert_words(&error, &["holds no SHA-256 checksum, but `<html>Blocked.`", "a proxy or a login page"]);
    let error = Person::new(&settings).refusal(&locked(request, b"x")).await;
    assert_words(&error, &["is an HTML page (`<html>Blocked.`), not the file", "a proxy or a login page"]);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (variable, base) in [("HTTP_PROXY", "http://site.invalid"), ("HTTPS_PROXY", "https://site.invalid")] {
        let settings = through(&[(variable, &format!("me:s3cret@{address}"))]);
        let error = Person::new(&settings).refusal(&kubelet(base)).await;
        assert_words(&error, &[base, &format!("through the proxy http://***@{address}/: "), "onnection refused"]);
    }
}

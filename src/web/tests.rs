//! What needs no network; the rest stands in `tests/it/download`.

use std::time::Duration;

use super::*;

fn proxies(variables: &[(&str, &str)]) -> Result<ProxySettings, WebError> {
    ProxySettings::from_variables(variables.iter().copied())
}

fn url(text: &str) -> WebUrl {
    WebUrl::parse(text).unwrap()
}

#[test]
fn an_address_is_shown_without_user_password_and_query() {
    let address = url("https://me:s3cret@example.org:8443/a/b?signature=abc");
    assert_eq!(address.to_string(), "https://***@example.org:8443/a/b?***");
    assert_eq!(format!("{address:?}"), "https://***@example.org:8443/a/b?***");
    assert_eq!(address.without_login(), "https://example.org:8443/a/b?signature=abc");
    assert_eq!(url("http://example.org/").to_string(), "http://example.org/");
    assert_eq!(url("https://example.org/a@b").to_string(), "https://example.org/a@b");
}

#[test]
fn what_is_no_address_is_refused_without_its_password() {
    let cases = [
        ("ftp://example.org/", "it must begin with http:// or https://"),
        ("example.org", "it must begin with"),
        ("https:example.org", "it must begin with"),
        ("", "it must begin with"),
        ("https://", "empty host"),
        ("https://me:s3cret@", "empty host"),
        ("https://me:s3cret@exa mple.org/", "it holds a space"),
        ("https://example.org/\n", "it holds a space"),
        ("https://me:s3/cret@example.org:port/", "invalid port number"),
        ("https://example.org/#top", "it holds a `#`"),
    ];
    for (text, reason) in cases {
        let error = WebUrl::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert!(!error.contains("s3"), "{error}");
    }
}

#[test]
fn a_base_takes_parts_of_paths_and_no_query() {
    let base = BaseUrl::parse("https://me:s3cret@example.org/release//").unwrap();
    assert_eq!(base.to_string(), "https://***@example.org/release");
    assert_eq!(base.join(&["v1", "a b?", "c"]).to_string(), "https://***@example.org/release/v1/a%20b%3F/c");
    assert_eq!(BaseUrl::parse("http://h:1").unwrap().join(&["x"]).to_string(), "http://h:1/x");
    let error = BaseUrl::parse("https://example.org/?version=1").unwrap_err().to_string();
    assert!(error.contains("it can hold no `?`"), "{error}");
    assert_eq!(url("https://example.org/a?b=c").beside(".sha256").without_login(), "https://example.org/a.sha256?b=c");
}

#[test]
fn variables_are_read_as_go_reads_them() {
    let found = proxies(&[
        ("PATH", "/bin"),
        ("http_proxy", "http://lower:1"),
        ("HTTP_PROXY", "http://upper:1"),
        ("HTTPS_PROXY", ""),
        ("https_proxy", "me:s3cret@proxy.lan:3128"),
        ("NO_PROXY", "*.lan, registry.lan:5000 ,[fd00::1]:443,fd00::2,10.0.0.0/8,,*"),
    ])
    .unwrap();
    assert_eq!(found.http.as_ref().map(ProxyUrl::expose), Some("http://upper:1/"));
    assert_eq!(found.https.as_ref().map(ProxyUrl::expose), Some("http://me:s3cret@proxy.lan:3128/"));
    assert_eq!(found.no_proxy.as_deref(), Some(".lan,registry.lan,fd00::1,fd00::2,10.0.0.0/8,*,0.0.0.0/0,::/0"));
    assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
    assert_eq!(proxies(&[]).unwrap(), ProxySettings::default());
}

#[test]
fn a_variable_that_names_no_proxy_is_refused_by_name() {
    let cases = [
        ("socks5://me:s3cret@h:1080", "provision does not speak socks5 to a proxy"),
        ("http://", "empty host"),
        ("http://me:s3cret@h:port", "invalid port number"),
    ];
    for (value, reason) in cases {
        let error = proxies(&[("https_proxy", value)]).unwrap_err().to_string();
        assert!(error.starts_with("https_proxy: `") && error.contains(reason), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn exceptions_are_asked_directly() {
    let settings =
        proxies(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", ".lan,example.org,10.0.0.0/8,h:5000")]).unwrap();
    let asked = |address: &str| settings.proxy_for(&url(address)).is_some();
    for direct in
        ["https://a.lan/", "https://example.org/", "https://www.example.org/", "https://10.1.2.3/", "https://h:1/"]
    {
        assert!(!asked(direct), "{direct}");
    }
    for through in ["https://notexample.org/", "https://11.1.2.3/", "https://lan.org/"] {
        assert!(asked(through), "{through}");
    }
    assert!(!asked("http://notexample.org/"), "no proxy is set for http");
}

#[test]
fn pauses_grow_and_have_an_end() {
    let second = Duration::from_secs;
    let settings = WebSettings { retries: 7, ..WebSettings::default() };
    let mut patience = Patience::new(&settings);
    let pauses: Vec<_> = std::iter::from_fn(|| patience.pause(None)).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30].map(second));
    assert_eq!(patience.tries(), 8);
    patience.renew();
    assert_eq!(patience.pause(Some(second(5))), Some(second(5)));
    assert_eq!(patience.pause(Some(second(0))), Some(second(2)));
    assert_eq!(patience.pause(Some(second(86_400))), Some(second(60)));
}

#[test]
fn an_authority_that_is_no_certificate_is_refused_by_its_origin() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let authority = Authority { origin: "/etc/own-ca.pem".into(), pem: pem.into() };
        let settings = WebSettings { extra_authorities: vec![authority], ..WebSettings::default() };
        let error = Web::new(&settings).unwrap_err().to_string();
        assert!(error.starts_with("/etc/own-ca.pem cannot be used as a certificate authority: "), "{error}");
    }
}

//! Who is believed to be the registry.

use provision::registry::{Registries, RegistryAccess, RegistryError, RegistrySettings};
use provision::web::ProxyUrl;

use super::certificates::Authority;
use super::image::{NAME, two_architectures};
use super::server::{Behaviour, Content, Fault, Server, Users};
use super::{PASSWORD, open, reference, refusal, resolve, settings, with_password};

const ADDRESS: &str = "127.0.0.1";

async fn server(authority: &Authority, name: &str, days: i64) -> Server {
    Behaviour::new(two_architectures().0).tls(authority.acceptor(name, days)).start().await
}

fn trusting(server: &Server, authority: &Authority) -> RegistryAccess {
    RegistryAccess { authority: Some(authority.pem()), plain_http: false, ..open(server) }
}

#[tokio::test]
async fn an_authority_of_its_own_is_trusted_for_its_registry() {
    let authority = Authority::new();
    let behaviour = Behaviour::new(two_architectures().0).users(Users::ByToken);
    let server = behaviour.tls(authority.acceptor(ADDRESS, 1)).start().await;
    let access = with_password(trusting(&server, &authority), PASSWORD);
    resolve(&settings(access), &reference(&server, NAME)).await.unwrap();
}

#[tokio::test]
async fn an_authority_is_trusted_for_no_other_registry() {
    let authority = Authority::new();
    let (one, other) = (server(&authority, ADDRESS, 1).await, server(&authority, ADDRESS, 1).await);
    let settings = settings(trusting(&one, &authority));
    resolve(&settings, &reference(&one, NAME)).await.unwrap();
    let refused = refusal(&settings, &reference(&other, NAME)).await;
    assert!(matches!(refused, RegistryError::UnknownAuthority { .. }), "{refused}");
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let server = server(&right, ADDRESS, 1).await;
    let none = RegistryAccess { authority: None, ..trusting(&server, &right) };
    for access in [none, trusting(&server, &wrong)] {
        let refused = refusal(&settings(access), &reference(&server, NAME)).await;
        assert!(matches!(refused, RegistryError::UnknownAuthority { .. }), "{refused}");
        assert!(server.asked().is_empty());
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let server = server(&authority, ADDRESS, -1).await;
    let refused = refusal(&settings(trusting(&server, &authority)), &reference(&server, NAME)).await;
    assert!(matches!(refused, RegistryError::CertificateExpired { .. }), "{refused}");
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let server = server(&authority, "other.lab", 1).await;
    let refused = refusal(&settings(trusting(&server, &authority)), &reference(&server, NAME)).await;
    let RegistryError::Certificate { reason, .. } = refused else { panic!("{refused}") };
    assert!(reason.contains("other.lab"), "{reason}");
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_was_written() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let access = with_password(RegistryAccess { plain_http: false, ..open(&server) }, PASSWORD);
    for settings in [settings(access), RegistrySettings::default()] {
        let refused = refusal(&settings, &reference(&server, NAME)).await;
        assert!(matches!(refused, RegistryError::PlainHttp { .. }), "{refused}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_registry_with_tls_tells_that_plain_http_was_written_by_mistake() {
    // The words of Go's server, which most registries are, and of nginx.
    for words in ["Client sent an HTTP request to an HTTPS server.", "The plain HTTP request was sent to HTTPS port"] {
        let fault = Fault::Answer(400, Vec::new(), words.into());
        let server = Behaviour::new(Content::default()).faults(move |_, _| Some(fault.clone())).start().await;
        let refused = refusal(&settings(open(&server)), &reference(&server, NAME)).await;
        assert!(matches!(refused, RegistryError::NotPlainHttp { .. }), "{refused}");
    }
}

#[tokio::test]
async fn nobody_is_sent_from_tls_to_an_address_without() {
    let authority = Authority::new();
    let store = Behaviour::new(two_architectures().0).start().await;
    let address = format!("http://{}/v2/", store.host);
    let realm = format!("Bearer realm=\"http://{}/token\"", store.host);
    for (status, header, value) in [(307, "location", address), (401, "www-authenticate", realm)] {
        let fault = Fault::Answer(status, vec![(header, value)], String::new());
        let behaviour = Behaviour::new(Content::default()).faults(move |_, _| Some(fault.clone()));
        let server = behaviour.tls(authority.acceptor(ADDRESS, 1)).start().await;
        let access = with_password(trusting(&server, &authority), PASSWORD);
        let refused = refusal(&settings(access), &reference(&server, NAME)).await;
        let RegistryError::Unexpected { reason, .. } = refused else { panic!("{refused}") };
        assert!(reason.contains("TLS"), "{reason}");
        assert!(store.asked().is_empty());
    }
}

#[tokio::test]
async fn a_host_that_a_registry_sends_to_is_named_and_its_address_is_not() {
    let (own, other) = (Authority::new(), Authority::new());
    let store = Behaviour::new(Content::default()).tls(other.acceptor("localhost", 1)).start().await;
    let port = store.host.rsplit_once(':').unwrap().1;
    let address = format!("https://localhost:{port}/blob?X-Signature=1");
    let fault = Fault::Answer(307, vec![("location", address)], String::new());
    let behaviour = Behaviour::new(Content::default()).faults(move |_, _| Some(fault.clone()));
    let server = behaviour.tls(own.acceptor(ADDRESS, 1)).start().await;
    let refused = refusal(&settings(trusting(&server, &own)), &reference(&server, NAME)).await;
    let RegistryError::UnknownAuthority { registry, .. } = refused else { panic!("{refused}") };
    assert_eq!(registry, format!("{} (at localhost)", server.host));
}

#[test]
fn settings_that_cannot_be_used_are_refused_at_once() {
    let access = |authority: &str| RegistryAccess {
        host: "registry.lab".into(),
        credentials: None,
        authority: Some(authority.into()),
        plain_http: false,
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for authority in ["", "no certificate", broken] {
        let refused = Registries::new(&settings(access(authority))).err().unwrap();
        assert!(matches!(refused, RegistryError::Settings { .. }), "{refused}");
        assert!(refused.to_string().contains("registry.lab"), "{refused}");
    }
    let refused = ProxyUrl::parse("HTTPS_PROXY", "http://user:hunter2@:::").unwrap_err();
    assert!(refused.to_string().contains("HTTPS_PROXY"), "{refused}");
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
}

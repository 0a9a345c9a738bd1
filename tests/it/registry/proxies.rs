//! Registries behind a proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use provision::registry::{RegistryAccess, RegistryError, RegistrySettings};
use provision::state::ImageReference;
use provision::web::{ProxySettings, ProxyUrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::Authority;
use super::image::{NAME, two_architectures};
use super::server::Behaviour;
use super::{PASSWORD, open, refusal, resolve, settings};

/// The registry's name, which only the proxy can find.
const REGISTRY: &str = "registry.invalid:443";

/// A proxy that connects everybody to one address, or answers everybody with one text.
struct TestProxy {
    url: String,
    connections: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Does {
    ConnectTo(String),
    Answer(&'static str),
}

impl TestProxy {
    async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:{PASSWORD}@{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, does.clone()));
            }
        });
        Self { url, connections }
    }

    fn settings(&self, access: RegistryAccess, none_for: Option<&str>) -> RegistrySettings {
        let url = ProxyUrl::parse("HTTPS_PROXY", &self.url).unwrap();
        let proxy = ProxySettings { http: Some(url.clone()), https: Some(url), no_proxy: none_for.map(str::to_owned) };
        RegistrySettings { proxy, ..settings(access) }
    }
}

async fn serve(mut stream: TcpStream, does: Does) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(format!("CONNECT {REGISTRY} ").as_bytes()), "{}", String::from_utf8_lossy(&head));
    match does {
        Does::ConnectTo(address) => {
            let mut registry = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let _end = copy_bidirectional(&mut stream, &mut registry).await;
        }
        Does::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
    }
}

fn image() -> ImageReference {
    ImageReference(format!("{REGISTRY}/{NAME}"))
}

#[tokio::test]
async fn a_registry_with_tls_is_reached_through_the_proxy() {
    let authority = Authority::new();
    let behaviour = Behaviour::new(two_architectures().0).tls(authority.acceptor("registry.invalid", 1));
    let server = behaviour.start().await;
    let proxy = TestProxy::start(Does::ConnectTo(server.host.clone())).await;
    let host = REGISTRY.to_owned();
    let access = RegistryAccess { host, credentials: None, authority: Some(authority.pem()), plain_http: false };
    resolve(&proxy.settings(access.clone(), None), &image()).await.unwrap();
    assert_eq!(proxy.connections.load(Ordering::Relaxed), 1);
    // Without the proxy nobody knows the name.
    let refused = refusal(&proxy.settings(access, Some("registry.invalid")), &image()).await;
    assert!(matches!(refused, RegistryError::Unreachable { .. }), "{refused}");
    assert_eq!(proxy.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_registry_without_tls_is_asked_for_by_its_whole_address() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let mut through = settings(RegistryAccess { host: "registry.invalid".into(), ..open(&server) });
    through.proxy.http = Some(ProxyUrl::parse("HTTP_PROXY", &server.host).unwrap());
    resolve(&through, &ImageReference(format!("registry.invalid/{NAME}"))).await.unwrap();
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_as_the_reason() {
    for answer in [
        "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\n\r\n<html><title>Blocked</title></html>",
    ] {
        let proxy = TestProxy::start(Does::Answer(answer)).await;
        let access = RegistryAccess { host: REGISTRY.into(), credentials: None, authority: None, plain_http: false };
        let refused = refusal(&proxy.settings(access, None), &image()).await;
        let RegistryError::Proxy { reason, .. } = refused else { panic!("{refused}") };
        assert!(reason == "proxy authorization required" || reason == "unsuccessful", "{reason}");
    }
}

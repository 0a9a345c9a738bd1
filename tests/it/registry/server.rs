//! A registry: a fixed content, a way to ask for users, and faults on request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::{StreamExt as _, iter, once, pending};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use provision::base::Digest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{PASSWORD_IN_BASE64, TOKEN};

/// What is in a registry, by path.
#[derive(Default, Clone)]
pub struct Content(BTreeMap<String, (String, Bytes)>);

impl Content {
    pub fn manifest(&mut self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) {
        let path = format!("/v2/{repository}/manifests/{name}");
        self.0.insert(path, (media_type.to_owned(), Bytes::copy_from_slice(bytes)));
    }

    pub fn blob(&mut self, repository: &str, bytes: &[u8]) {
        self.blob_as(repository, &Digest::of(bytes), bytes);
    }

    /// Under a digest that need not be its own.
    pub fn blob_as(&mut self, repository: &str, digest: &Digest, bytes: &[u8]) {
        let path = format!("/v2/{repository}/blobs/{digest}");
        self.0.insert(path, ("application/octet-stream".into(), Bytes::copy_from_slice(bytes)));
    }
}

/// How a registry wants to know who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Users {
    Anybody,
    ByPassword,
    ByToken,
}

/// An answer instead of the right one.
#[derive(Clone)]
pub enum Fault {
    /// Status, headers, and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The right answer for somebody who is not known.
    Forgotten,
    /// Never a word.
    Silence,
    /// So many bytes of the right answer, then an end of the connection.
    Cut(usize),
    /// So many bytes of the right answer, then silence.
    Stall(usize),
}

/// What was asked: path with query, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
}

type Faults = Arc<dyn Fn(&Asked, usize) -> Option<Fault> + Send + Sync>;
type Body = BoxBody<Bytes, io::Error>;

/// A server on a port of its own; it ends with the test's runtime.
pub struct Server {
    pub host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What a server does.
#[derive(Clone)]
pub struct Behaviour {
    pub content: Content,
    pub users: Users,
    pub faults: Faults,
    pub tls: Option<TlsAcceptor>,
}

impl Behaviour {
    pub fn new(content: Content) -> Self {
        Self { content, users: Users::Anybody, faults: Arc::new(|_, _| None), tls: None }
    }

    pub fn users(self, users: Users) -> Self {
        Self { users, ..self }
    }

    pub fn tls(self, acceptor: TlsAcceptor) -> Self {
        Self { tls: Some(acceptor), ..self }
    }

    /// Is asked for each request, with the number of earlier ones for the same path.
    pub fn faults(self, faults: impl Fn(&Asked, usize) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { faults: Arc::new(faults), ..self }
    }

    /// Starts a server that does this.
    pub async fn start(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let site = Arc::new(Site { behaviour: self, host: host.clone(), asked: Arc::clone(&asked) });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    match site.behaviour.tls.clone() {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                site.serve(stream).await;
                            }
                        }
                        None => site.serve(stream).await,
                    }
                });
            }
        });
        Server { host, asked }
    }
}

impl Server {
    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often a path with this in it was asked for.
    pub fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path.contains(part)).count()
    }
}

struct Site {
    behaviour: Behaviour,
    host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Site {
    async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(|request| {
            let site = Arc::clone(&self);
            async move { site.answer(&request).await }
        });
        // What breaks is broken on purpose.
        let _end = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: &Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path_and_query().unwrap().as_str().to_owned();
        let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let asked = Asked { path, authorization };
        let earlier = {
            let mut all = self.asked.lock().unwrap();
            let earlier = all.iter().filter(|earlier| earlier.path == asked.path).count();
            all.push(asked.clone());
            earlier
        };
        let right = self.right_answer(&asked);
        Ok(match (self.behaviour.faults)(&asked, earlier) {
            None => right,
            Some(Fault::Answer(status, headers, body)) => answer(status, &headers, body.into()),
            Some(Fault::Forgotten) => self.right_answer(&Asked { authorization: None, ..asked }),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Cut(at)) => part(right, at, false).await,
            Some(Fault::Stall(at)) => part(right, at, true).await,
        })
    }

    fn right_answer(&self, asked: &Asked) -> Response<Body> {
        let scheme = if self.behaviour.tls.is_some() { "https" } else { "http" };
        if asked.path.starts_with("/token?") {
            return match &asked.authorization {
                Some(text) if *text == format!("Basic {PASSWORD_IN_BASE64}") => {
                    answer(200, &[], format!(r#"{{"token":"{TOKEN}"}}"#).into())
                }
                _ => answer(401, &[], r#"{"details":"incorrect username or password"}"#.into()),
            };
        }
        let (wanted, challenge) = match self.behaviour.users {
            Users::Anybody => (None, String::new()),
            Users::ByPassword => (Some(format!("Basic {PASSWORD_IN_BASE64}")), "Basic realm=\"lab\"".into()),
            Users::ByToken => {
                let realm = format!("{scheme}://{}/token", self.host);
                (Some(format!("Bearer {TOKEN}")), format!("Bearer realm=\"{realm}\",service=\"lab\""))
            }
        };
        if wanted.is_some() && asked.authorization != wanted {
            let body = error("UNAUTHORIZED", "authentication required");
            return answer(401, &[(WWW_AUTHENTICATE.as_str(), challenge)], body.into());
        }
        match self.behaviour.content.0.get(&asked.path) {
            Some((media_type, bytes)) => answer(200, &[(CONTENT_TYPE.as_str(), media_type.clone())], bytes.clone()),
            None => answer(404, &[], self.unknown(&asked.path).into()),
        }
    }

    fn unknown(&self, path: &str) -> String {
        let repository = path.split("/manifests/").next().unwrap().split("/blobs/").next().unwrap();
        let known = self.behaviour.content.0.keys().any(|path| path.starts_with(&format!("{repository}/")));
        match known {
            true => error("MANIFEST_UNKNOWN", "manifest unknown"),
            false => error("NAME_UNKNOWN", "repository name not known to registry"),
        }
    }
}

/// A complaint as the distribution API words it.
pub fn error(code: &str, message: &str) -> String {
    format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#)
}

fn answer(status: u16, headers: &[(&str, String)], body: Bytes) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Full::new(body).map_err(|never| match never {}).boxed()).unwrap()
}

/// Waits once, so that what comes before it is sent.
async fn cut() -> io::Result<Frame<Bytes>> {
    tokio::task::yield_now().await;
    Err(io::Error::other("cut"))
}

/// An answer whose head promises all and whose body breaks off.
async fn part(right: Response<Body>, at: usize, stall: bool) -> Response<Body> {
    let (mut head, body) = right.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    head.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let sent = iter([Ok(Frame::data(bytes.slice(..at)))]);
    let body: Body = match stall {
        true => BodyExt::boxed(StreamBody::new(sent.chain(pending()))),
        false => BodyExt::boxed(StreamBody::new(sent.chain(once(cut())))),
    };
    Response::from_parts(head, body)
}

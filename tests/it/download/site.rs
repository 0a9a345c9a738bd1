//! A server that answers as a test says, and remembers what it was asked.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::header::{AUTHORIZATION, HeaderName, IF_RANGE, RANGE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use provision::base::Digest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{CHECKSUM, FILE};

/// One request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) range: Option<String>,
    pub(super) if_range: Option<String>,
    pub(super) authorization: Option<String>,
}

impl Seen {
    /// First byte that is wanted.
    pub(super) fn from(&self) -> Option<usize> {
        self.range
            .as_ref()
            .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap())
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Whether its length is said.
    length: bool,
    /// After how many bytes of the body the connection ends, or (without an end) nothing more comes.
    stop: Option<(usize, Stop)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cut,
    Stall,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), length: true, stop: None }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What a server with ranges and entity tags answers.
    pub(super) fn file(content: &[u8], tag: &str, seen: &Seen) -> Self {
        let same = seen.if_range.as_deref().is_none_or(|wanted| wanted == tag);
        let reply = match seen.from().filter(|_| same) {
            None => Self::new(200, content),
            Some(from) if from >= content.len() => {
                Self::new(416, "").header("content-range", format!("bytes */{}", content.len()))
            }
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
                Self::new(206, &content[from..]).header("content-range", range)
            }
        };
        reply.header("etag", tag)
    }

    /// The body comes in chunks.
    pub(super) fn without_length(self) -> Self {
        Self { length: false, ..self }
    }

    pub(super) fn cut_after(self, bytes: usize) -> Self {
        Self { stop: Some((bytes, Stop::Cut)), ..self }
    }

    pub(super) fn stall_after(self, bytes: usize) -> Self {
        Self { stop: Some((bytes, Stop::Stall)), ..self }
    }

    fn into_response(self) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
        let mut response = Response::builder().status(self.status);
        if self.length {
            response = response.header("content-length", self.body.len());
        }
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        let (length, stop) = self.stop.map_or((self.body.len(), None), |(length, stop)| (length, Some(stop)));
        let first = Bytes::copy_from_slice(&self.body[..length]);
        let first = stream::iter((length > 0).then(|| Ok(Frame::data(first))));
        let last = stream::once(async move {
            // The server sends what it has whenever the body has nothing ready.
            tokio::task::yield_now().await;
            match stop? {
                Stop::Cut => Some(Err(io::Error::other("cut"))),
                Stop::Stall => std::future::pending().await,
            }
        });
        let body = StreamBody::new(first.chain(last.filter_map(std::future::ready).boxed()));
        response.body(body.boxed_unsync()).unwrap()
    }
}

/// Answers a request; the number says how many came before it for the same path.
type Answerer = dyn Fn(&Seen, usize) -> Option<Reply> + Send + Sync;

/// A server, until the test ends.
pub(super) struct Site {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Site {
    /// Answers by a function; where that gives none, it never answers.
    pub(super) async fn new(answer: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(answer)).await
    }

    /// The same with TLS.
    pub(super) async fn with_tls(
        tls: TlsAcceptor,
        answer: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(tls), Arc::new(answer)).await
    }

    /// Has a kubelet and its checksum, and answers for the file by a function.
    pub(super) async fn with_file(
        content: &[u8],
        answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let checksum = Digest::of(content).hexadecimal().to_owned();
        Self::new(move |seen, count| match seen.path.as_str() {
            CHECKSUM => Some(Reply::new(200, checksum.clone())),
            FILE => Some(answer(seen, count)),
            _ => Some(Reply::new(404, "no such file")),
        })
        .await
    }

    async fn start(tls: Option<TlsAcceptor>, answer: Arc<Answerer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let site = Self { address, scheme, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, tls.clone(), Arc::clone(&answer), Arc::clone(&seen)));
            }
        });
        site
    }

    /// Beginning of its addresses.
    pub(super) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// `127.0.0.1:port`.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests for a path.
    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, answer: Arc<Answerer>, seen: Arc<Mutex<Vec<Seen>>>) {
    match tls {
        None => serve(stream, answer, seen).await,
        // A client that does not trust us ends the handshake; that is its test's subject.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, answer, seen).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answer: Arc<Answerer>, seen: Arc<Mutex<Vec<Seen>>>) {
    let service = service_fn(|request| {
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        async move { Ok::<_, Infallible>(respond(&request, &*answer, &seen).await) }
    });
    // Ends with an error for every cut; the test looks at what the client makes of it.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond<B>(
    request: &Request<B>,
    answer: &Answerer,
    all: &Mutex<Vec<Seen>>,
) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
    let header = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let seen = Seen {
        path: request.uri().path().to_owned(),
        range: header(RANGE),
        if_range: header(IF_RANGE),
        authorization: header(AUTHORIZATION),
    };
    let before = {
        let mut all = all.lock().unwrap();
        all.push(seen.clone());
        all.iter().filter(|other| other.path == seen.path).count() - 1
    };
    match answer(&seen, before) {
        Some(reply) => reply.into_response(),
        None => std::future::pending().await,
    }
}

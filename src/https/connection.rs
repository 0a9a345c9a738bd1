//! A connection that carries many requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{ClientTls, HttpsError, Meter};

/// Enough for a handshake over a slow line; a server that is not there answers at once through its host.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The apiserver ends a request itself after 60 s, and none of ours takes long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Far above every list that is asked for; a bound against a server that never ends.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// One window for all that a look reads, so that no answer waits for another's bytes to be acknowledged.
const WINDOW_BYTES: u32 = 4 << 20;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Whole body.
    pub body: Bytes,
}

/// A TLS connection with HTTP/2. Cheap to clone; closed when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    server: String,
    meter: Option<Arc<dyn Meter>>,
    /// The place at which the handshake was over. No request here waits for another's answer.
    open_at: usize,
}

impl Connection {
    /// Shakes hands on a stream. The requests that follow need no further round trip of their own. The handshake and
    /// each request count on the meter.
    pub async fn open<S>(stream: S, tls: &ClientTls, meter: Option<Arc<dyn Meter>>) -> Result<Self, HttpsError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        timeout(OPEN_TIMEOUT, Self::shake_hands(stream, tls, meter))
            .await
            .map_err(|_| HttpsError::TimedOut(OPEN_TIMEOUT))?
    }

    async fn shake_hands<S>(stream: S, tls: &ClientTls, meter: Option<Arc<dyn Meter>>) -> Result<Self, HttpsError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connector = TlsConnector::from(tls.config());
        let stream = connector.connect(tls.server_name(), stream).await.map_err(|error| HttpsError::of(&error))?;
        let open_at = meter.as_ref().map_or(0, |meter| meter.answered(meter.opened()));
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| HttpsError::of(&error))?;
        // Its error also reaches every request that it breaks, which report it.
        tokio::spawn(driver);
        Ok(Self { sender, server: tls.server_text(), meter, open_at })
    }

    /// Whether the connection has ended; a new one must be opened then.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends one request whose target is a path with query, and reads the whole answer, whatever its status.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Answer, HttpsError> {
        timeout(ANSWER_TIMEOUT, self.exchange(request)).await.map_err(|_| HttpsError::TimedOut(ANSWER_TIMEOUT))?
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Answer, HttpsError> {
        let (mut head, body) = request.into_parts();
        head.uri = self.absolute(&head.uri)?;
        let request = Request::from_parts(head, Full::new(body));
        let response = self.sender.clone().send_request(request).await.map_err(|error| HttpsError::of(&error))?;
        if let Some(meter) = &self.meter {
            meter.answered(self.open_at);
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| HttpsError::of(error.as_ref()))?.to_bytes();
        Ok(Answer { status, body })
    }

    fn absolute(&self, target: &Uri) -> Result<Uri, HttpsError> {
        let path = target.path_and_query().map_or("/", |path| path.as_str());
        Uri::builder()
            .scheme("https")
            .authority(self.server.as_str())
            .path_and_query(path)
            .build()
            .map_err(|error| HttpsError::Settings(error.to_string()))
    }
}

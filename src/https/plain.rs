//! One request without TLS, to a server that stands beside the host through which it is reached.

use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http::header::HOST;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::{Answer, HttpsError};

/// Such servers answer in a few lines; a bound against one that never ends.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Reads `target` (a path with query, at most 64 KiB) from `server` over HTTP/1.1, and closes the stream. The answer has
/// to be whole within `limit`.
///
/// # Errors
///
/// A target that is none, a stream that breaks, an answer that takes too long. A status of the server's is none.
pub async fn plain_get<S>(stream: S, server: &str, target: &str, limit: Duration) -> Result<Answer, HttpsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    timeout(limit, exchange(stream, server, target)).await.map_err(|_| HttpsError::TimedOut(limit))?
}

async fn exchange<S>(stream: S, server: &str, target: &str) -> Result<Answer, HttpsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::builder().method(Method::GET).uri(target).header(HOST, server);
    let request = request.body(Full::new(Bytes::new())).map_err(|error| HttpsError::Settings(error.to_string()))?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| HttpsError::of(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| HttpsError::of(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| HttpsError::of(error.as_ref()))?.to_bytes();
        Ok(Answer { status, body })
    };
    // The driver moves the bytes. When it ends first, all that will ever come of the answer is there, an error included.
    match select(std::pin::pin!(answer), driver).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    async fn asked(reply: &'static str) -> (String, Result<Answer, HttpsError>) {
        let (ours, mut theirs) = duplex(4096);
        let server = async move {
            let mut request = vec![0; 1024];
            let length = theirs.read(&mut request).await.unwrap();
            theirs.write_all(reply.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        futures::future::join(server, plain_get(ours, "10.42.0.2:8080", "/a?b=c", Duration::from_secs(5))).await
    }

    #[tokio::test]
    async fn the_answer_is_read_to_its_end() {
        let (request, answer) = asked("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 5\r\n\r\nhello").await;
        assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\nhost: 10.42.0.2:8080\r\n"), "{request}");
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (417, b"hello".as_ref()));
    }

    #[tokio::test]
    async fn half_an_answer_is_an_error() {
        let (_, answer) = asked("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await;
        assert!(matches!(answer, Err(HttpsError::Transport(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let (ours, _theirs) = duplex(4096);
        let answer = plain_get(ours, "h", "/", Duration::from_millis(20)).await;
        assert!(matches!(answer, Err(HttpsError::TimedOut(_))), "{answer:?}");
    }
}

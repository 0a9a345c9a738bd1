//! containerd's image service over a channel: the two calls of the Container Runtime Interface that pods' images need.
//!
//! `ctr` could pull as well, but takes a password only as an argument or at a terminal.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use super::HostStream;
use super::change::RegistryLogin;

/// Where containerd listens.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
/// The way to it for a user with sudo; socat is among the packages that every node has.
pub(super) const DIAL: &str = "exec sudo -n socat - UNIX-CONNECT:/run/containerd/containerd.sock";
const MOST_ANSWER_BYTES: usize = 1 << 20;
/// The answer to a call that went well (gRPC, "Statuses").
const OK: &str = "0";

/// `runtime.v1.PullImageRequest`, as far as it is used here.
#[derive(Clone, PartialEq, Message)]
struct PullImage {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
    #[prost(message, optional, tag = "2")]
    login: Option<AuthConfig>,
}

/// `runtime.v1.RemoveImageRequest`.
#[derive(Clone, PartialEq, Message)]
struct RemoveImage {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageSpec>,
}

/// `runtime.v1.ImageSpec`.
#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

/// `runtime.v1.AuthConfig`.
#[derive(Clone, PartialEq, Message)]
struct AuthConfig {
    #[prost(string, tag = "1")]
    username: String,
    #[prost(string, tag = "2")]
    password: String,
}

/// Pulls an image under its name; where containerd goes for it is written in its host files. The error is containerd's.
pub(super) async fn pull(
    stream: HostStream,
    name: &str,
    login: Option<&RegistryLogin>,
    limit: Duration,
) -> Result<(), String> {
    let login = login.map(|login| AuthConfig {
        username: login.user.clone(),
        password: String::from_utf8_lossy(login.password.expose()).into_owned(),
    });
    call(stream, "PullImage", &PullImage { image: Some(ImageSpec { image: name.to_owned() }), login }, limit).await
}

/// Takes an image's name away; one that is not there is no error.
pub(super) async fn remove(stream: HostStream, name: &str, limit: Duration) -> Result<(), String> {
    call(stream, "RemoveImage", &RemoveImage { image: Some(ImageSpec { image: name.to_owned() }) }, limit).await
}

async fn call(stream: HostStream, method: &str, request: &impl Message, limit: Duration) -> Result<(), String> {
    match tokio::time::timeout(limit, exchange(stream, method, request)).await {
        Ok(result) => result,
        Err(_) => Err(format!("containerd did not finish within {} s", limit.as_secs())),
    }
}

async fn exchange(stream: HostStream, method: &str, request: &impl Message) -> Result<(), String> {
    let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, driver) = shaken.map_err(|error| format!("containerd does not answer: {error}"))?;
    // Its error also reaches the request that it breaks.
    tokio::spawn(driver);
    let request = Request::post(format!("http://containerd/runtime.v1.ImageService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(framed(request)))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| format!("containerd broke off: {error}"))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| format!("containerd broke off: {error}"))?;
    // A call that fails at once has its status in the head.
    status(body.trailers().filter(|trailers| trailers.contains_key("grpc-status")).unwrap_or(&head.headers))
}

/// One message, not compressed, with its length in front (gRPC, "Length-Prefixed-Message").
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows; there is always room.
    let _ = message.encode(&mut bytes);
    bytes.freeze()
}

fn status(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some(OK) => Ok(()),
        Some(code) => {
            let message = unescaped(text("grpc-message").unwrap_or_default());
            Err(if message.is_empty() { format!("containerd refused with gRPC status {code}") } else { message })
        }
        None => Err("containerd gave no status".into()),
    }
}

/// A message as gRPC writes it into a header: bytes that do not fit are `%` and two digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    #[test]
    fn messages_are_written_as_the_interface_has_them() {
        let login = AuthConfig { username: "u".into(), password: "p".into() };
        let request = PullImage { image: Some(ImageSpec { image: "a/b:1".into() }), login: Some(login) };
        // Field 1, seven bytes: field 1, five bytes; then field 2, six bytes: both texts.
        assert_eq!(framed(&request)[..], *b"\0\0\0\0\x11\x0a\x07\x0a\x05a/b:1\x12\x06\x0a\x01u\x12\x01p");
    }

    #[test]
    fn a_refusal_is_in_containerds_words() {
        let mut headers = HeaderMap::new();
        assert!(status(&headers).is_err());
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert("grpc-message", "not found: %22x%22 100%".parse().unwrap());
        assert_eq!(status(&headers), Err("not found: \"x\" 100%".into()));
        headers.insert("grpc-status", "0".parse().unwrap());
        assert_eq!(status(&headers), Ok(()));
    }

    #[test]
    fn a_password_is_not_in_what_is_printed_of_a_login() {
        let login = RegistryLogin { user: "u".into(), password: Secret::new("geheim") };
        assert!(!format!("{login:?}").contains("geheim"));
    }
}

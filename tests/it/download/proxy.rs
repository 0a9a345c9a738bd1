//! A proxy, for addresses with TLS (CONNECT) and without.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A proxy, until the test ends.
pub(super) struct TestProxy {
    pub(super) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    /// Passes everything on, or answers all by itself.
    pub(super) async fn new(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let proxy = Self { address, heads: Arc::clone(&heads) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let heads = Arc::clone(&heads);
                // Fails when a side goes away, which is how every connection of these tests ends.
                tokio::spawn(async move { pass(stream, answer, &heads).await.ok() });
            }
        });
        proxy
    }

    /// First lines and headers of the requests, in lower case.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn pass(mut client: TcpStream, answer: Option<&str>, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8(head.clone()).unwrap();
    heads.lock().unwrap().push(text.to_lowercase());
    if let Some(answer) = answer {
        return client.write_all(answer.as_bytes()).await;
    }
    let target = text.split(' ').nth(1).unwrap();
    let (tunnel, target) = match target.strip_prefix("http://") {
        None => (true, target),
        Some(rest) => (false, rest.split('/').next().unwrap()),
    };
    let mut server = TcpStream::connect(target).await?;
    if tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

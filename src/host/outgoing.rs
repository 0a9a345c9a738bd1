//! Bytes on their way from this machine to a host.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt as _, try_unfold};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::{HostError, Payload, Transfer};
use crate::base::{Digest, NodeName};

const PIECE_BYTES: usize = 256 << 10;
/// Pieces that wait until the digest is known: what arrives of wrong bytes always lacks its end, which is more than the
/// padding that an archive may end with.
const HELD_PIECES: usize = 2;

/// A transfer under way: what has been read and why it failed.
pub(super) struct Outgoing {
    sent: watch::Receiver<u64>,
    failure: Arc<Mutex<Option<HostError>>>,
}

impl Outgoing {
    /// Opens what is to be sent. The stream digests what it reads and ends with an error, before the last pieces, if
    /// size or digest is not what was promised.
    pub async fn open(
        node: &NodeName,
        transfer: &Transfer,
    ) -> Result<(Self, BoxStream<'static, Result<Bytes, HostError>>), HostError> {
        let source = match &transfer.source {
            Payload::Bytes(bytes) => Source::Bytes(bytes.clone()),
            Payload::File(path) => Source::File(File::open(path).await.map_err(|error| unreadable(node, path, error))?),
            Payload::Part { file, offset, .. } => Source::Part { file: Arc::clone(file), offset: *offset },
        };
        let (progress, sent) = watch::channel(0);
        let reading = Reading {
            node: node.clone(),
            transfer: transfer.clone(),
            source,
            hash: Sha256::new(),
            read: 0,
            held: VecDeque::new(),
            ended: false,
            progress,
        };
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        let stream = try_unfold(reading, move |reading| {
            let told = Arc::clone(&told);
            async move {
                reading.next().await.map_err(|error| {
                    let reason = error.to_string();
                    let host = error.host().clone();
                    told.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
                    HostError::Disconnected { host, operation: "sending".into(), reason }
                })
            }
        });
        Ok((Self { sent, failure }, stream.boxed()))
    }

    /// Waits for what uses the stream and tells how far it has got. An error of the source is the answer then, since
    /// all others follow from it.
    pub async fn accompany<T>(
        mut self,
        work: impl Future<Output = Result<T, HostError>>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<T, HostError> {
        let mut work = std::pin::pin!(work);
        let mut reading = true;
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                changed = self.sent.changed(), if reading => {
                    reading = changed.is_ok();
                    progress(*self.sent.borrow());
                }
            }
        };
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => result,
        }
    }
}

enum Source {
    File(File),
    Part { file: Arc<std::fs::File>, offset: u64 },
    Bytes(Bytes),
}

struct Reading {
    node: NodeName,
    transfer: Transfer,
    source: Source,
    hash: Sha256,
    read: u64,
    held: VecDeque<Bytes>,
    ended: bool,
    progress: watch::Sender<u64>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, HostError> {
        while !self.ended && self.held.len() <= HELD_PIECES {
            let piece = self.piece().await?;
            if piece.is_empty() {
                self.check_end()?;
                self.ended = true;
                break;
            }
            self.hash.update(&piece);
            self.read += piece.len() as u64;
            if self.read > self.transfer.size {
                return Err(self.differs(format!("it has more than {} bytes", self.transfer.size)));
            }
            self.held.push_back(piece);
        }
        let Some(piece) = self.held.pop_front() else { return Ok(None) };
        let waiting: usize = self.held.iter().map(Bytes::len).sum();
        self.progress.send_replace(self.read - waiting as u64);
        Ok(Some((piece, self)))
    }

    /// The next piece, empty at the end.
    async fn piece(&mut self) -> Result<Bytes, HostError> {
        match &mut self.source {
            Source::Bytes(bytes) => Ok(bytes.split_to(bytes.len().min(PIECE_BYTES))),
            Source::File(file) => {
                let mut piece = BytesMut::with_capacity(PIECE_BYTES);
                while piece.len() < PIECE_BYTES {
                    match file.read_buf(&mut piece).await {
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(error) => return Err(unreadable(&self.node, Path::new(&self.path()), error)),
                    }
                }
                Ok(piece.freeze())
            }
            Source::Part { file, offset } => {
                let left = usize::try_from(self.transfer.size - self.read).unwrap_or(PIECE_BYTES);
                let piece = part(Arc::clone(file), *offset + self.read, left.min(PIECE_BYTES)).await;
                piece.map_err(|error| unreadable(&self.node, Path::new(&self.path()), error))
            }
        }
    }

    fn check_end(&mut self) -> Result<(), HostError> {
        let digest = Digest::from_hash(std::mem::take(&mut self.hash).finalize().into());
        if self.read != self.transfer.size {
            return Err(self.differs(format!("it has {} bytes instead of {}", self.read, self.transfer.size)));
        }
        if digest != self.transfer.digest {
            return Err(self.differs(format!("its digest is {digest} instead of {}", self.transfer.digest)));
        }
        Ok(())
    }

    fn differs(&self, reason: String) -> HostError {
        HostError::LocalContent { host: self.node.clone(), path: self.path(), reason }
    }

    fn path(&self) -> String {
        match &self.transfer.source {
            Payload::File(path) => path.display().to_string(),
            Payload::Part { name, .. } => name.clone(),
            Payload::Bytes(_) => "memory".into(),
        }
    }
}

/// Bytes from an offset on: all of them, or those up to the file's end.
async fn part(file: Arc<std::fs::File>, offset: u64, length: usize) -> io::Result<Bytes> {
    let read = move || {
        let (mut piece, mut filled) = (vec![0; length], 0);
        while filled < length {
            match file.read_at(&mut piece[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        piece.truncate(filled);
        Ok(piece.into())
    };
    tokio::task::spawn_blocking(read).await?
}

/// SHA-256 of an open file's bytes from an offset on.
pub(super) fn digest_from(file: &std::fs::File, mut offset: u64) -> io::Result<Digest> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        match file.read_at(&mut piece, offset) {
            Ok(0) => return Ok(Digest::from_hash(hash.finalize().into())),
            Ok(length) => {
                hash.update(&piece[..length]);
                offset += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn unreadable(node: &NodeName, path: &Path, source: io::Error) -> HostError {
    HostError::LocalFile { host: node.clone(), path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::runtime::Runtime;

    use super::*;

    fn transfer(bytes: Vec<u8>, size: u64, digest: Digest) -> Transfer {
        Transfer { source: Payload::Bytes(bytes.into()), size, digest }
    }

    /// Bytes between others, in a file without a name.
    fn part_of_a_file(bytes: &[u8], size: u64, digest: Digest) -> Transfer {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(bytes).unwrap();
        file.write_all(b"behind").unwrap();
        let source = Payload::Part { name: "bridge".into(), file: Arc::new(file), offset: "before".len() as u64 };
        Transfer { source, size, digest }
    }

    /// What arrives, and the error.
    fn send(transfer: &Transfer) -> (Vec<u8>, Option<HostError>) {
        Runtime::new().unwrap().block_on(async {
            let node = NodeName::new("h1").unwrap();
            let (outgoing, mut stream) = Outgoing::open(&node, transfer).await.unwrap();
            let mut arrived = Vec::new();
            let reading = async {
                while let Some(piece) = stream.next().await {
                    arrived.extend_from_slice(&piece?);
                }
                Ok(())
            };
            let error = outgoing.accompany(reading, &|_| {}).await;
            (arrived, error.err())
        })
    }

    #[test]
    fn right_bytes_arrive_whole() {
        for length in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let bytes = vec![7; length];
            let (arrived, error) = send(&transfer(bytes.clone(), length as u64, Digest::of(&bytes)));
            assert!(error.is_none());
            assert_eq!(arrived, bytes);
        }
    }

    #[test]
    fn a_part_of_a_file_arrives_and_nothing_around_it() {
        for length in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let bytes = vec![7; length];
            let part = part_of_a_file(&bytes, length as u64, Digest::of(&bytes));
            for _ in 0..2 {
                let (arrived, error) = send(&part);
                assert!(error.is_none(), "{error:?}");
                assert_eq!(arrived, bytes);
            }
        }
    }

    #[test]
    fn a_part_that_is_not_what_was_promised_is_an_error_with_its_name() {
        let bytes = vec![7; 100];
        for (size, digest) in [(100, Digest::of("other")), (99, Digest::of(&bytes)), (1000, Digest::of(&bytes))] {
            let (arrived, error) = send(&part_of_a_file(&bytes, size, digest));
            let Some(HostError::LocalContent { path, .. }) = error else { panic!("{error:?}") };
            assert_eq!(path, "bridge");
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn of_wrong_bytes_the_end_is_held_back() {
        let length = 5 * PIECE_BYTES;
        let (arrived, error) = send(&transfer(vec![7; length], length as u64, Digest::of("other")));
        assert!(matches!(error, Some(HostError::LocalContent { .. })), "{error:?}");
        assert!(arrived.len() <= length - HELD_PIECES * PIECE_BYTES);
    }

    #[test]
    fn a_wrong_size_is_an_error() {
        let bytes = vec![7; 100];
        for size in [99, 101] {
            let (arrived, error) = send(&transfer(bytes.clone(), size, Digest::of(&bytes)));
            assert!(matches!(error, Some(HostError::LocalContent { .. })), "{error:?}");
            assert!(arrived.is_empty());
        }
    }
}

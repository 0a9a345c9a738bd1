//! A layer on its way into a file, and out of its compression.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Response;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::RegistryError;
use super::attempt::Failure;
use super::client::Client;
use super::manifest::LayerKind;
use super::question::Question;
use super::registries::BLOB;
use super::resolved_image::{Layer, ResolvedImage};
use crate::base::Digest;

const PIECE_BYTES: usize = 256 << 10;
/// Nothing that runs in a cluster's system has layers like this.
const LARGEST_UNPACKED: u64 = 16 << 30;

/// Layers of one image under way, in files without a name: nothing is left of them however the process ends.
pub(super) struct Fetching<'a> {
    pub client: &'a Client,
    pub resolved: &'a ResolvedImage,
    /// Where the files lie.
    pub folder: &'a Path,
    /// Bytes of all layers so far.
    pub received: &'a AtomicU64,
    /// Is told them.
    pub progress: &'a (dyn Fn(u64) + Send + Sync),
}

impl Fetching<'_> {
    /// Brings one layer, as the registry has it but for compressions that engines may not know.
    pub async fn layer(&self, layer: &Layer) -> Result<File, RegistryError> {
        let question = self.question(layer);
        let file = tempfile::tempfile_in(self.folder).map_err(|error| self.disk("writing below", error))?;
        let mut file = tokio::fs::File::from_std(file);
        let mut tries = self.client.patience().tries();
        while let Err(failure) = self.receive(&question, layer, &mut file).await {
            tries.failed(failure).await?;
        }
        let file = file.into_std().await;
        match layer.kind {
            LayerKind::Gzip => Ok(file),
            LayerKind::Plain if layer.digest == layer.diff_id => Ok(file),
            LayerKind::Plain => Err(question.content(&other_content(&layer.digest, layer))),
            LayerKind::Zstd => self.unpack(&question, layer, file).await,
        }
    }

    fn question(&self, layer: &Layer) -> Question<'_> {
        let (what, path) = (format!("layer {}", layer.digest), format!("blobs/{}", layer.digest));
        Question { image: &self.resolved.image, name: &self.resolved.name, what, path, accept: BLOB }
    }

    async fn receive(&self, question: &Question<'_>, layer: &Layer, file: &mut tokio::fs::File) -> Result<(), Failure> {
        let response = self.client.open(question).await?;
        if let Some(said) = response.content_length().filter(|said| *said != layer.size) {
            return Err(question.content(&format!("has {said} bytes instead of {}", layer.size)).into());
        }
        file.rewind().await.map_err(|error| self.disk("writing below", error))?;
        let mut incoming = Incoming { hash: Sha256::new(), length: 0 };
        let result = self.stream(question, layer, response, file, &mut incoming).await;
        if result.is_err() {
            self.received.fetch_sub(incoming.length, Ordering::Relaxed);
        }
        result
    }

    async fn stream(
        &self,
        question: &Question<'_>,
        layer: &Layer,
        mut response: Response,
        file: &mut tokio::fs::File,
        incoming: &mut Incoming,
    ) -> Result<(), Failure> {
        while let Some(piece) = self.client.piece(question, &mut response).await? {
            let length = piece.len() as u64;
            if incoming.length + length > layer.size {
                return Err(question.content(&format!("has more than {} bytes", layer.size)).into());
            }
            incoming.hash.update(&piece);
            incoming.length += length;
            file.write_all(&piece).await.map_err(|error| self.disk("writing below", error))?;
            (self.progress)(self.received.fetch_add(length, Ordering::Relaxed) + length);
        }
        file.flush().await.map_err(|error| self.disk("writing below", error))?;
        let found = Digest::from_hash(std::mem::take(&mut incoming.hash).finalize().into());
        match (incoming.length == layer.size, found == layer.digest) {
            (true, true) => Ok(()),
            (true, false) => Err(question.content(&format!("has digest {found}")).into()),
            (false, _) => {
                let difference = format!("has {} bytes instead of {}", incoming.length, layer.size);
                Err(question.content(&difference).into())
            }
        }
    }

    async fn unpack(&self, question: &Question<'_>, layer: &Layer, packed: File) -> Result<File, RegistryError> {
        let target = tempfile::tempfile_in(self.folder).map_err(|error| self.disk("writing below", error))?;
        let unpacked = tokio::task::spawn_blocking(move || unpack_zstd(packed, target)).await;
        match unpacked.unwrap_or_else(|error| Err(Unpacking::Disk(io::Error::other(error)))) {
            Ok((digest, file)) if digest == layer.diff_id => Ok(file),
            Ok((digest, _)) => Err(question.content(&other_content(&digest, layer))),
            Err(Unpacking::Archive(reason)) => Err(question.content(&format!("cannot be unpacked: {reason}"))),
            Err(Unpacking::Disk(error)) => Err(self.disk("unpacking a layer below", error)),
        }
    }

    fn disk(&self, operation: &'static str, source: io::Error) -> RegistryError {
        disk_error(self.resolved, operation, self.folder, source)
    }
}

fn other_content(found: &Digest, layer: &Layer) -> String {
    format!("holds {found}, and the image's configuration says {}", layer.diff_id)
}

/// Tells a full disk from all else.
pub(super) fn disk_error(
    resolved: &ResolvedImage,
    operation: &'static str,
    path: &Path,
    source: io::Error,
) -> RegistryError {
    let (image, path) = (resolved.image.clone(), path.to_owned());
    match source.kind() {
        // Layers in files of their own, and the archive of them.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            RegistryError::DiskFull { image, path, wanted: resolved.size.saturating_mul(2) }
        }
        _ => RegistryError::Disk { image, operation, path, source },
    }
}

/// What has arrived in one try.
struct Incoming {
    hash: Sha256,
    length: u64,
}

/// What stopped an unpacking.
enum Unpacking {
    Archive(String),
    Disk(io::Error),
}

/// Docker 20.10 does not know zstd. Such a file may have several frames, and some between them that are to be skipped.
fn unpack_zstd(mut packed: File, mut target: File) -> Result<(Digest, File), Unpacking> {
    packed.seek(SeekFrom::Start(0)).map_err(Unpacking::Disk)?;
    let mut packed = BufReader::with_capacity(PIECE_BYTES, packed);
    let (mut hash, mut left) = (Sha256::new(), LARGEST_UNPACKED);
    while !packed.fill_buf().map_err(Unpacking::Disk)?.is_empty() {
        match StreamingDecoder::new(&mut packed) {
            Ok(frame) => copy(frame, &mut target, &mut hash, &mut left)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                io::copy(&mut (&mut packed).take(length.into()), &mut io::sink()).map_err(Unpacking::Disk)?;
            }
            Err(error) => return Err(Unpacking::Archive(error.to_string())),
        }
    }
    Ok((Digest::from_hash(hash.finalize().into()), target))
}

fn copy(mut frame: impl Read, target: &mut File, hash: &mut Sha256, left: &mut u64) -> Result<(), Unpacking> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = frame.read(&mut piece).map_err(|error| Unpacking::Archive(error.to_string()))?;
        let more = length as u64;
        match length {
            0 => return Ok(()),
            _ if more > *left => return Err(Unpacking::Archive(format!("it has more than {LARGEST_UNPACKED} bytes"))),
            _ => *left -= more,
        }
        hash.update(&piece[..length]);
        target.write_all(&piece[..length]).map_err(Unpacking::Disk)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Unpacking> {
        let (digest, mut target) = unpack_zstd(file(bytes), tempfile::tempfile().unwrap())?;
        let mut found = Vec::new();
        target.seek(SeekFrom::Start(0)).unwrap();
        target.read_to_end(&mut found).unwrap();
        assert_eq!(digest, Digest::of(&found));
        Ok(found)
    }

    /// What `zstd` itself makes of "layer" five times, with its checksum.
    const BY_ZSTD: [u8; 24] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x5d, 0x00, 0x00, 0x28, 0x6c, 0x61, 0x79, 0x65, 0x72, 0x01, 0x00, 0xa0,
        0x8b, 0x16, 0xc7, 0x46, 0x35, 0xe1,
    ];

    #[test]
    fn several_frames_and_those_between_them_are_read() {
        let frame = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
        let mut packed = frame(&[1; 300_000]);
        // A frame to be skipped: its number, its length, its bytes.
        packed.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9]);
        packed.extend(frame(b"end"));
        let wanted = [&[1; 300_000][..], b"end"].concat();
        assert!(unpacked(&packed).is_ok_and(|found| found == wanted));
        assert!(unpacked(&BY_ZSTD).is_ok_and(|found| found == "layer".repeat(5).as_bytes()));
    }

    #[test]
    fn what_is_cut_or_no_zstd_is_refused() {
        let packed = compress_to_vec(&[1; 300_000][..], CompressionLevel::Fastest);
        for bytes in [&packed[..packed.len() - 1], &packed[..2], b"plain text"] {
            assert!(matches!(unpacked(bytes), Err(Unpacking::Archive(_))));
        }
    }
}

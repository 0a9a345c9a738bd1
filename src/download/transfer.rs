//! From a site's bytes to a whole file.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::error::failed;
use super::excerpt::{excerpt, looks_like_html};
use super::partial::Partial;
use super::persistence::{Failure, Persistence};
use super::progress::Listener;
use super::{DownloadError, DownloadRequest, Progress};
use crate::base::Digest;
use crate::web::{Answer, Rest, Web};

/// kubelet has 60 to 130 MB; a site that sends more than this sends something else.
const LARGEST: u64 = 1 << 30;
/// Pieces between the network and the disk: some megabytes at most.
const QUEUE: usize = 64;

/// One file on its way.
pub(super) struct Transfer<'a> {
    pub(super) web: &'a Web,
    pub(super) request: &'a DownloadRequest,
    pub(super) wanted: &'a Digest,
    /// Who says what is wanted, for the message.
    pub(super) witness: String,
    /// Where it is written.
    pub(super) path: &'a Path,
    /// The cache, for the message.
    pub(super) folder: &'a Path,
    pub(super) progress: Listener<'a>,
}

/// How an attempt ended.
enum Ended {
    /// The site sent all that it has; `whole` if this answer alone is the file.
    Complete { whole: bool },
    /// What is there does not belong to what the site has now.
    Changed,
    /// It may pass.
    Failed(Failure),
}

/// What one answer after the other says about the file.
#[derive(Default)]
struct Told {
    total: Option<u64>,
    validator: Option<String>,
}

impl Transfer<'_> {
    /// Fetches what is missing until the digest is right.
    pub(super) async fn run(&self, mut partial: Partial) -> Result<Partial, DownloadError> {
        let mut persistence = Persistence::new(self.request, self.web.settings(), self.progress);
        let (mut told, mut fresh) = (Told::default(), false);
        // A run that was killed before the renaming has left the whole file.
        while partial.digest() != *self.wanted {
            let ended;
            (partial, ended) = self.attempt(partial, &mut told, &mut persistence).await?;
            match ended {
                Ended::Complete { .. } if partial.digest() == *self.wanted => break,
                // The pieces may be of two files; one that came at once would prove the site wrong.
                Ended::Complete { whole: false } if !fresh => {
                    self.tell(format!("{} has changed between two parts; fetching it anew", self.request.url));
                    partial = self.restart(partial, &mut told)?;
                    fresh = true;
                }
                Ended::Complete { .. } => return Err(self.wrong(partial)),
                Ended::Changed => partial = self.restart(partial, &mut told)?,
                Ended::Failed(failure) => {
                    persistence.gained(partial.length());
                    persistence.again(failure).await?;
                }
            }
        }
        Ok(partial)
    }

    async fn attempt(
        &self,
        mut partial: Partial,
        told: &mut Told,
        persistence: &mut Persistence<'_>,
    ) -> Result<(Partial, Ended), DownloadError> {
        let from = partial.length();
        let rest = (from > 0).then(|| Rest { from, validator: told.validator.clone() });
        let mut answer = match self.web.get(&self.request.url, rest.as_ref()).await {
            Ok(answer) => answer,
            Err(error) => return Ok((partial, Ended::Failed(Failure::Web(error)))),
        };
        if rest.is_some() && answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok((partial, Ended::Changed));
        }
        if let Err(failure) = persistence.judge(&answer, rest.is_some())? {
            return Ok((partial, Ended::Failed(failure)));
        }
        if answer.status() == StatusCode::OK && from > 0 {
            partial = self.restart(partial, told)?;
        }
        if !told.fits(&answer, partial.length()) {
            return Ok((partial, Ended::Changed));
        }
        self.pour(&mut answer, partial, told.total).await
    }

    /// Takes an answer's body to the disk; digesting and writing go on beside reading.
    async fn pour(
        &self,
        answer: &mut Answer,
        partial: Partial,
        total: Option<u64>,
    ) -> Result<(Partial, Ended), DownloadError> {
        if total.is_some_and(|total| total > LARGEST) {
            return Err(self.too_large(partial));
        }
        let mut bytes = partial.length();
        let whole = bytes == 0;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = spawn_blocking(move || write(partial, receiver));
        let ended = loop {
            (self.progress)(Progress::Received { bytes, total });
            match answer.chunk().await {
                Ok(Some(piece)) => {
                    bytes += piece.len() as u64;
                    // A closed queue means that the disk refused, and the writer says how.
                    if bytes > LARGEST || sender.send(piece).await.is_err() {
                        break Ended::Complete { whole };
                    }
                }
                Ok(None) => break Ended::Complete { whole },
                Err(error) => break Ended::Failed(Failure::Web(error)),
            }
        };
        drop(sender);
        let (partial, written) = writer.await.map_err(|error| failed("writing", self.path)(io::Error::other(error)))?;
        if let Err(error) = written {
            return Err(self.not_written(partial, total, error));
        }
        if bytes > LARGEST {
            return Err(self.too_large(partial));
        }
        Ok((partial, ended))
    }

    fn restart(&self, mut partial: Partial, told: &mut Told) -> Result<Partial, DownloadError> {
        *told = Told::default();
        partial.restart().map_err(failed("emptying", self.path))?;
        Ok(partial)
    }

    /// What fills a disk is taken off it again.
    fn not_written(&self, partial: Partial, total: Option<u64>, error: io::Error) -> DownloadError {
        if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return failed("writing", self.path)(error);
        }
        let missing = total.map(|total| total.saturating_sub(partial.length()));
        let item = self.request.to_string();
        match partial.discard() {
            Ok(()) => DownloadError::Full { item, folder: self.folder.to_owned(), missing },
            Err(error) => failed("removing", self.path)(error),
        }
    }

    fn too_large(&self, partial: Partial) -> DownloadError {
        let (item, url) = (self.request.to_string(), self.request.url.clone());
        match partial.discard() {
            Ok(()) => DownloadError::TooLarge { item, url, limit: LARGEST },
            Err(error) => failed("removing", self.path)(error),
        }
    }

    fn wrong(&self, partial: Partial) -> DownloadError {
        let (item, url) = (self.request.to_string(), self.request.url.clone());
        let (wanted, found, witness) = (self.wanted.clone(), partial.digest(), self.witness.clone());
        let page = looks_like_html(partial.head()).then(|| excerpt(partial.head()));
        if let Err(error) = partial.discard() {
            return failed("removing", self.path)(error);
        }
        match page {
            Some(excerpt) => DownloadError::Html { item, url, excerpt, wanted, witness },
            None => DownloadError::Digest { item, url, wanted, found, witness },
        }
    }

    fn tell(&self, reason: String) {
        (self.progress)(Progress::Waits { reason });
    }
}

impl Told {
    /// Whether an answer goes on where we are, in the file that we know; notes what it says.
    fn fits(&mut self, answer: &Answer, from: u64) -> bool {
        let (first, total) = match answer.status() {
            StatusCode::PARTIAL_CONTENT => answer.range().unwrap_or((None, None)),
            _ => (Some(0), answer.length()),
        };
        let same = |known: &Option<String>, now: &Option<String>| known.is_none() || now.is_none() || known == now;
        let validator = answer.validator();
        let fits = first == Some(from)
            && (self.total.is_none() || total.is_none() || self.total == total)
            && same(&self.validator, &validator);
        self.total = total.or(self.total);
        self.validator = validator.or(self.validator.take());
        fits
    }
}

fn write(mut partial: Partial, mut pieces: mpsc::Receiver<Bytes>) -> (Partial, io::Result<()>) {
    while let Some(piece) = pieces.blocking_recv() {
        if let Err(error) = partial.append(&piece) {
            return (partial, Err(error));
        }
    }
    (partial, Ok(()))
}

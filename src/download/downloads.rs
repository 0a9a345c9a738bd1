//! Fetching through the cache.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::cache::Found;
use super::error::failed;
use super::partial::Partial;
use super::persistence::Persistence;
use super::progress::Listener;
use super::transfer::Transfer;
use super::{Cache, CachedFile, Checksum, DownloadError, DownloadRequest, Progress, checksum};
use crate::base::Digest;
use crate::web::Web;

/// How often it is looked whether another run is done. Waiting for its lock in the kernel could not be interrupted.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A cache and the client that fills it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Downloads {
    web: Web,
    cache: Cache,
}

/// What a file must be, and who says so.
struct Wanted {
    digest: Digest,
    witness: String,
}

/// Where a file is to come from.
enum Source {
    Cache(CachedFile),
    Site(Partial),
}

impl Downloads {
    /// Joins both.
    pub fn new(web: Web, cache: Cache) -> Self {
        Self { web, cache }
    }

    /// What a file's bytes must be: the locked digest, the one that the cache met under the address, or the one that the
    /// site publishes. Only the last asks the site, and does not fetch the file.
    ///
    /// # Errors
    /// [`DownloadError`] of every kind that is about the checksum or the site.
    pub async fn digest(&self, request: &DownloadRequest, progress: Listener<'_>) -> Result<Digest, DownloadError> {
        Ok(self.wanted(request, progress).await?.digest)
    }

    /// Gives a file out of the cache, fetching what is missing of it first. Whatever it returns was digested in this call.
    /// When dropped in between, what has come stays for the next call.
    ///
    /// # Errors
    /// Every kind of [`DownloadError`]; nothing wrong stays in the cache.
    pub async fn fetch(&self, request: &DownloadRequest, progress: Listener<'_>) -> Result<CachedFile, DownloadError> {
        let wanted = self.wanted(request, progress).await?;
        let file = match self.source(request, &wanted.digest, progress).await? {
            Source::Cache(file) => file,
            Source::Site(partial) => self.transfer(request, &wanted, partial, progress).await?,
        };
        if matches!(request.checksum, Checksum::Beside(_)) {
            let (url, digest) = (request.url.clone(), wanted.digest);
            self.on_disk(move |cache| cache.lock(&url, &digest)).await?;
        }
        Ok(file)
    }

    async fn wanted(&self, request: &DownloadRequest, progress: Listener<'_>) -> Result<Wanted, DownloadError> {
        let beside = match &request.checksum {
            Checksum::Known(digest) => {
                return Ok(Wanted { digest: digest.clone(), witness: "the digest that was locked before".into() });
            }
            Checksum::Beside(url) => url,
        };
        let url = request.url.clone();
        if let Some((digest, record)) = self.on_disk(move |cache| cache.lock_of(&url)).await? {
            let witness = format!("{} (what this address gave before)", record.display());
            return Ok(Wanted { digest, witness });
        }
        let persistence = Persistence::new(request, self.web.settings(), progress);
        let digest = checksum::fetch(&self.web, &request.to_string(), beside, persistence).await?;
        Ok(Wanted { digest, witness: beside.to_string() })
    }

    async fn source(
        &self,
        request: &DownloadRequest,
        digest: &Digest,
        progress: Listener<'_>,
    ) -> Result<Source, DownloadError> {
        let tell = |reason: String| progress(Progress::Waits { reason });
        let find = |digest: Digest| self.on_disk(move |cache| cache.find(&digest));
        match find(digest.clone()).await? {
            Found::Whole(file) => return Ok(Source::Cache(file)),
            Found::Damaged => {
                tell(format!("{request} is damaged in {}; fetching it anew", self.cache.folder().display()))
            }
            Found::Nothing => {}
        }
        let mut told = false;
        loop {
            let url = request.url.clone();
            if let Some(partial) = self.on_disk(move |cache| cache.claim(&url)).await? {
                // Whoever had it before us has finished it, most likely.
                let Found::Whole(file) = find(digest.clone()).await? else { return Ok(Source::Site(partial)) };
                partial.discard().map_err(failed("removing", &self.cache.partial(&request.url)))?;
                return Ok(Source::Cache(file));
            }
            if !std::mem::replace(&mut told, true) {
                tell(format!("another run of provision fetches {request}; waiting for it"));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn transfer(
        &self,
        request: &DownloadRequest,
        wanted: &Wanted,
        partial: Partial,
        progress: Listener<'_>,
    ) -> Result<CachedFile, DownloadError> {
        let path = self.cache.partial(&request.url);
        let transfer = Transfer {
            web: &self.web,
            request,
            wanted: &wanted.digest,
            witness: wanted.witness.clone(),
            path: &path,
            folder: self.cache.folder(),
            progress,
        };
        let mut partial = transfer.run(partial).await?;
        self.on_disk(move |cache| cache.keep(&mut partial)).await
    }

    /// Digesting and syncing take long, so they run where they hold up nothing else.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache) -> Result<T, DownloadError> + Send + 'static,
    ) -> Result<T, DownloadError> {
        let cache = self.cache.clone();
        let done = spawn_blocking(move || work(&cache)).await;
        done.map_err(|error| failed("working with", Path::new(self.cache.folder()))(io::Error::other(error)))?
    }
}

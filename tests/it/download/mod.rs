//! Downloads against real servers on this machine: over TCP, with TLS and through proxies.

mod at_once;
mod cached;
mod cut;
mod proxied;
mod proxy;
mod refused;
mod site;
mod trust;
mod trusted;
mod waits;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use provision::base::{Digest, KubernetesVersion};
use provision::download::{
    Cache, CachedFile, Checksum, DownloadError, DownloadRequest, Downloads, Progress, kubernetes_file,
};
use provision::web::{BaseUrl, Web, WebSettings};
use tempfile::TempDir;

/// Where every test's file is at its site.
const FILE: &str = "/release/v1.34.1/bin/linux/amd64/kubelet";
const CHECKSUM: &str = "/release/v1.34.1/bin/linux/amd64/kubelet.sha256";

/// Impatient where nothing is waited for in vain, patient where a slow machine could fail a test.
fn settings() -> WebSettings {
    WebSettings {
        connect_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        retries: 2,
        first_pause: Duration::from_millis(1),
        ..WebSettings::default()
    }
}

/// Bytes that repeat nowhere soon, so that a piece at the wrong place shows.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// kubelet v1.34.1 at a site.
fn kubelet(base: &str) -> DownloadRequest {
    let version = KubernetesVersion::parse("v1.34.1").unwrap();
    kubernetes_file(&BaseUrl::parse(&format!("{base}/release")).unwrap(), &version, "amd64", "kubelet")
}

/// A person's cache, and what was told while it was used.
struct Person {
    home: TempDir,
    downloads: Downloads,
    told: Mutex<Vec<Progress>>,
}

impl Person {
    fn new(settings: &WebSettings) -> Self {
        let home = TempDir::new().unwrap();
        let cache = Cache::open(&home.path().join("cache")).unwrap();
        let downloads = Downloads::new(Web::new(settings).unwrap(), cache);
        Self { home, downloads, told: Mutex::default() }
    }

    async fn fetch(&self, request: &DownloadRequest) -> Result<CachedFile, DownloadError> {
        self.downloads.fetch(request, &|progress| self.told.lock().unwrap().push(progress)).await
    }

    /// The message of a fetch that must fail and leave nothing.
    async fn refusal(&self, request: &DownloadRequest) -> String {
        let error = self.fetch(request).await.unwrap_err().to_string();
        for folder in ["sha256", "partial", "locks"] {
            assert_eq!(self.names(folder), [""; 0], "left in {folder} after {error}");
        }
        error
    }

    fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.cache().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Where the bytes of a request lie until they are whole.
    fn partial(&self, request: &DownloadRequest) -> PathBuf {
        self.cache().join("partial").join(Digest::of(request.url.without_login()).hexadecimal())
    }

    /// All reasons for waiting, as one text.
    fn reasons(&self) -> String {
        let told = self.told.lock().unwrap();
        let reasons = told.iter().filter_map(|progress| match progress {
            Progress::Waits { reason } => Some(reason.as_str()),
            Progress::Received { .. } => None,
        });
        reasons.collect::<Vec<_>>().join("\n")
    }
}

fn assert_words(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

fn assert_content(file: &CachedFile, content: &[u8]) {
    assert!(std::fs::read(&file.path).unwrap() == content, "{} holds other bytes", file.path.display());
    assert_eq!((file.size, &file.digest), (content.len() as u64, &Digest::of(content)));
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn locked(request: DownloadRequest, content: &[u8]) -> DownloadRequest {
    DownloadRequest { checksum: Checksum::Known(Digest::of(content)), ..request }
}

//! Registries and download sites: who is asked for what neither hosts nor bundles hold.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::base::{Digest, KubernetesVersion};
use crate::bundle::{Item, ItemKind, ItemSource};
use crate::cluster::{PrivateRegistry, Supply};
use crate::download::{self, Cache, DownloadRequest, Downloads, Progress};
use crate::event::{Event, EventSink};
use crate::registry::{Registries, RegistryAccess, RegistrySettings, ResolvedImage};
use crate::state::ImageReference;
use crate::web::{Authority, BaseUrl, ProxySettings, Web, WebSettings, WebUrl};

use super::{Authorities, OperationError};

/// What programs and images are for, in Go's words. Pre-flight accepts no other machine.
pub const ARCHITECTURE: &str = "amd64";
/// Between two lines about the same download.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What a registry has under a tag now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedImage {
    /// Digest of what the tag names: containerd's id.
    pub manifest: Digest,
    /// Digest of the configuration: the id in Docker's classic store.
    pub id: Digest,
    /// Bytes to be pulled at most.
    pub size: u64,
}

/// A file that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedFile {
    /// A program of a Kubernetes version.
    Kubernetes {
        /// Such as `kubelet`.
        name: &'static str,
        /// Version.
        version: KubernetesVersion,
    },
    /// The archive of CNI plugins of a version, such as `v1.6.2`.
    CniPlugins(String),
    /// An add-on of the operator's at this address.
    Addon(String),
}

/// Who is asked for what neither hosts nor bundles hold: the network for an operator, a fake for tests.
pub trait Suppliers: Send + Sync {
    /// Asks a registry what it has under a name. The error names image, registry, reason and next step.
    fn image<'a>(&'a self, image: &'a ImageReference) -> BoxFuture<'a, Result<OfferedImage, String>>;

    /// Brings a file to this machine; `digest` is what it must be, where that is locked. The error is whole.
    fn file<'a>(
        &'a self,
        file: &'a WantedFile,
        digest: Option<Digest>,
        events: &'a dyn EventSink,
    ) -> BoxFuture<'a, Result<Item, String>>;
}

/// The variables of the environment that matter here.
#[derive(Debug, Clone, Default)]
pub struct SupplyEnvironment {
    /// Proxies.
    pub proxies: ProxySettings,
    /// The folder of the cache; none where the operator has no home.
    pub cache: Option<PathBuf>,
}

impl SupplyEnvironment {
    /// Takes them out of names and values.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, OperationError> {
        let variables: Vec<(String, String)> = variables.into_iter().collect();
        let proxies = ProxySettings::from_variables(variables.iter().map(|(name, value)| (name, value)));
        let proxies = proxies.map_err(|error| OperationError::Input(error.to_string()))?;
        let cache = download::default_folder(variables, std::env::consts::OS);
        Ok(Self { proxies, cache })
    }
}

/// Registries and sites over the network. Nothing is read or asked before something is wanted.
pub struct NetworkSuppliers {
    supply: Supply,
    authorities: Authorities,
    environment: SupplyEnvironment,
    registries: OnceCell<Registries>,
    downloads: OnceCell<Downloads>,
}

impl NetworkSuppliers {
    /// Prepares.
    pub fn new(supply: &Supply, authorities: &Authorities, environment: SupplyEnvironment) -> Self {
        Self {
            supply: supply.clone(),
            authorities: authorities.clone(),
            environment,
            registries: OnceCell::new(),
            downloads: OnceCell::new(),
        }
    }

    /// The registries, with what is written about them.
    pub async fn registries(&self) -> Result<&Registries, String> {
        let settings = self.registry_settings();
        self.registries
            .get_or_try_init(|| async { Registries::new(&settings).map_err(|error| error.to_string()) })
            .await
    }

    /// Asks what a name means, with its layers. Pods' images of a mirrored registry are asked for at the mirror.
    pub async fn resolve(&self, image: &ImageReference) -> Result<ResolvedImage, String> {
        let source = match self.supply.stand_in(image) {
            Some(registry) => registry.name_of(image),
            None => image.clone(),
        };
        self.registries().await?.resolve(&source, ARCHITECTURE).await.map_err(|error| error.to_string())
    }

    fn registry_settings(&self) -> RegistrySettings {
        let access = |registry: &PrivateRegistry| RegistryAccess {
            host: registry.host.clone(),
            credentials: registry.credentials.clone(),
            authority: self.authorities.registries.get(&registry.host).cloned(),
            plain_http: registry.plain_http,
        };
        RegistrySettings {
            accesses: self.supply.registries.iter().map(access).collect(),
            proxy: self.environment.proxies.clone(),
            connect_timeout: self.silence(),
            answer_timeout: self.silence(),
            ..RegistrySettings::default()
        }
    }

    fn silence(&self) -> Duration {
        Duration::from_secs(self.supply.downloads.timeout_seconds)
    }

    async fn downloads(&self) -> Result<&Downloads, String> {
        self.downloads.get_or_try_init(|| async { self.open_downloads() }).await
    }

    fn open_downloads(&self) -> Result<Downloads, String> {
        let folder = self.environment.cache.as_ref().ok_or("there is no folder for downloads: set HOME")?;
        let pem = self.authorities.downloads.clone();
        let settings = WebSettings {
            proxy: self.environment.proxies.clone(),
            extra_authorities: pem
                .map(|pem| Authority { origin: "downloads.ca_file".into(), pem })
                .into_iter()
                .collect(),
            connect_timeout: self.silence(),
            idle_timeout: self.silence(),
            ..WebSettings::default()
        };
        let web = Web::new(&settings).map_err(|error| error.to_string())?;
        let cache = Cache::open(folder).map_err(|error| error.to_string())?;
        Ok(Downloads::new(web, cache))
    }

    fn request(&self, file: &WantedFile, digest: Option<Digest>) -> Result<DownloadRequest, String> {
        let request = self.published(file)?;
        Ok(match digest {
            Some(digest) => request.locked(digest),
            None => request,
        })
    }

    /// A file with the checksum that stands beside it.
    fn published(&self, file: &WantedFile) -> Result<DownloadRequest, String> {
        let site = |written: &Option<String>, official: &str| {
            BaseUrl::parse(written.as_deref().unwrap_or(official)).map_err(|error| error.to_string())
        };
        let downloads = &self.supply.downloads;
        Ok(match file {
            WantedFile::Kubernetes { name, version } => {
                let base = site(&downloads.kubernetes, download::KUBERNETES_SITE)?;
                download::kubernetes_file(&base, version, ARCHITECTURE, name)
            }
            WantedFile::CniPlugins(version) => {
                download::cni_plugins(&site(&downloads.cni, download::CNI_SITE)?, version, ARCHITECTURE)
            }
            WantedFile::Addon(url) => download::addon(WebUrl::parse(url).map_err(|error| error.to_string())?),
        })
    }
}

impl Suppliers for NetworkSuppliers {
    fn image<'a>(&'a self, image: &'a ImageReference) -> BoxFuture<'a, Result<OfferedImage, String>> {
        Box::pin(async move {
            let image = self.resolve(image).await?;
            Ok(OfferedImage { manifest: image.top_digest, id: image.config_digest, size: image.size })
        })
    }

    fn file<'a>(
        &'a self,
        file: &'a WantedFile,
        digest: Option<Digest>,
        events: &'a dyn EventSink,
    ) -> BoxFuture<'a, Result<Item, String>> {
        Box::pin(async move {
            let request = self.request(file, digest)?;
            let teller = Teller { item: request.to_string(), told: Mutex::new(None), events };
            let listener = |progress: Progress| teller.tell(&progress);
            let fetched = self.downloads().await?.fetch(&request, &listener).await;
            let fetched = fetched.map_err(|error| with_causes(&error))?;
            Ok(Item {
                kind: ItemKind::File,
                name: request.name,
                version: request.version,
                path: fetched.path,
                size: fetched.size,
                digest: fetched.digest,
                image_id: None,
                source: ItemSource::Site(request.url.to_string()),
            })
        })
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Tells of a download, once a second at most.
struct Teller<'a> {
    item: String,
    told: Mutex<Option<Instant>>,
    events: &'a dyn EventSink,
}

impl Teller<'_> {
    fn tell(&self, progress: &Progress) {
        let text = match progress {
            Progress::Received { bytes, total: Some(total) } => {
                format!("downloading {}: {} of {} MB", self.item, bytes / 1_000_000, total / 1_000_000)
            }
            Progress::Received { bytes, total: None } => format!("downloading {}: {} MB", self.item, bytes / 1_000_000),
            Progress::Waits { reason } => format!("downloading {}: {reason}", self.item),
        };
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let waits = matches!(progress, Progress::Waits { .. });
        if waits || told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            self.events.emit(Event::Phase { text });
        }
    }
}

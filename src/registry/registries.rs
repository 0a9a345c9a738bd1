//! All registries of a run.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;

use super::client::{Client, Fetched};
use super::image_name::{ImageName, canonical};
use super::manifest::{ACCEPTED, Configuration, Descriptor, Document, Flaw, Manifest};
use super::question::Question;
use super::resolved_image::{Layer, ResolvedImage};
use super::{RegistryError, RegistrySettings};
use crate::base::Digest;
use crate::state::ImageReference;
use crate::web::system_authorities;

/// Every kind of blob.
pub(super) const BLOB: &str = "application/octet-stream, */*";

/// Registries, each with the trust and the password that belong to it. Connections and tokens are kept; any number of images
/// may be asked for at once.
pub struct Registries {
    with_settings: BTreeMap<String, Client>,
    others: Client,
}

impl Registries {
    /// Checks the settings; asks nobody yet.
    ///
    /// # Errors
    /// An authority that is no certificate, a proxy that is no address.
    pub fn new(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        let system = system_authorities();
        let mut with_settings = BTreeMap::new();
        for access in &settings.accesses {
            let client = Client::new(Some(access.clone()), settings, &system)?;
            with_settings.insert(canonical(&access.host).to_owned(), client);
        }
        Ok(Self { with_settings, others: Client::new(None, settings, &system)? })
    }

    /// Asks what a tag means now, for Linux on an architecture in Go's words (`amd64`). Manifests and configuration are compared
    /// with their digests; nothing is downloaded besides them.
    ///
    /// # Errors
    /// Every variant of [`RegistryError`] but those of this machine's disk.
    pub async fn resolve(&self, image: &ImageReference, architecture: &str) -> Result<ResolvedImage, RegistryError> {
        let name = ImageName::parse(image)?;
        let asked = Asked { client: self.client(&name), image, name: &name };
        let tag = asked.question(format!("tag {}", name.tag), format!("manifests/{}", name.tag), ACCEPTED);
        let top = asked.client.fetch(&tag).await?;
        let top_digest = Digest::of(&top.bytes);
        said_digest(&top.headers).filter(|said| *said != top_digest).map_or(Ok(()), |said| {
            Err(tag.content(&format!("has digest {top_digest}, and the registry says {said}")))
        })?;
        let (manifest_digest, manifest, chosen) = match read(&tag, &top.bytes)? {
            Document::Manifest(manifest) => (top_digest.clone(), manifest, false),
            Document::Index(index) => {
                let entry =
                    index.find(architecture).ok_or_else(|| asked.architecture(architecture, index.platforms()))?;
                (entry.digest.clone(), asked.manifest(&entry.digest).await?, true)
            }
        };
        let (config, configuration) = asked.configuration(&manifest.config).await?;
        // An index was asked for the architecture, and some images that it names are careless about their own.
        let platform = configuration.platform();
        if !chosen && platform != format!("linux/{architecture}") {
            return Err(asked.architecture(architecture, platform));
        }
        let layers = asked.layers(&manifest, configuration)?;
        let config_digest = manifest.config.digest;
        let image = image.clone();
        let size = config.len() as u64 + size_of(&layers);
        Ok(ResolvedImage {
            image,
            top_digest,
            manifest_digest,
            config_digest,
            layers,
            size,
            name,
            config: config.into(),
        })
    }

    pub(super) fn client(&self, name: &ImageName) -> &Client {
        self.with_settings.get(&name.registry).unwrap_or(&self.others)
    }
}

/// An image that is being asked for.
struct Asked<'a> {
    client: &'a Client,
    image: &'a ImageReference,
    name: &'a ImageName,
}

impl<'a> Asked<'a> {
    fn question(&self, what: String, path: String, accept: &'static str) -> Question<'a> {
        Question { image: self.image, name: self.name, what, path, accept }
    }

    async fn manifest(&self, digest: &Digest) -> Result<Manifest, RegistryError> {
        let question = self.question(format!("manifest {digest}"), format!("manifests/{digest}"), ACCEPTED);
        let Fetched { bytes, .. } = self.client.fetch(&question).await?;
        expect(&question, &bytes, digest)?;
        match read(&question, &bytes)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(question.unsupported("an index within an index")),
        }
    }

    async fn configuration(&self, descriptor: &Descriptor) -> Result<(Vec<u8>, Configuration), RegistryError> {
        let Descriptor { digest, .. } = descriptor;
        let question = self.question(format!("configuration {digest}"), format!("blobs/{digest}"), BLOB);
        let Fetched { bytes, .. } = self.client.fetch(&question).await?;
        expect(&question, &bytes, digest)?;
        let configuration = Configuration::read(&bytes).map_err(|flaw| flawed(&question, flaw))?;
        Ok((bytes, configuration))
    }

    fn layers(&self, manifest: &Manifest, configuration: Configuration) -> Result<Vec<Layer>, RegistryError> {
        let question = self.question(String::new(), String::new(), BLOB);
        let diff_ids = configuration.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let (layers, named) = (manifest.layers.len(), diff_ids.len());
            return Err(question.unexpected(format!("{layers} layers, and its configuration names {named}")));
        }
        let layer = |(descriptor, diff_id): (&Descriptor, Digest)| {
            let Descriptor { digest, size, media_type } = descriptor;
            let unknown = || question.unsupported(format!("layer {digest} of type `{media_type}`"));
            let kind = descriptor.layer_kind().ok_or_else(unknown)?;
            Ok(Layer { digest: digest.clone(), size: *size, media_type: media_type.clone(), diff_id, kind })
        };
        manifest.layers.iter().zip(diff_ids).map(layer).collect()
    }

    fn architecture(&self, wanted: &str, found: String) -> RegistryError {
        let (image, registry) = (self.image.clone(), self.name.registry.clone());
        RegistryError::Architecture { image, registry, wanted: wanted.to_owned(), found }
    }
}

/// Each layer once.
fn size_of(layers: &[Layer]) -> u64 {
    let unique: BTreeSet<(&Digest, u64)> = layers.iter().map(|layer| (&layer.digest, layer.size)).collect();
    unique.iter().map(|(_, size)| size).fold(0, |sum, size| sum.saturating_add(*size))
}

fn read(question: &Question<'_>, bytes: &[u8]) -> Result<Document, RegistryError> {
    Document::read(bytes).map_err(|flaw| flawed(question, flaw))
}

fn flawed(question: &Question<'_>, flaw: Flaw) -> RegistryError {
    match flaw {
        Flaw::Malformed(reason) => question.unexpected(format!("{}: {reason}", question.what)),
        Flaw::Unsupported(reason) => question.unsupported(reason),
    }
}

fn expect(question: &Question<'_>, bytes: &[u8], wanted: &Digest) -> Result<(), RegistryError> {
    let found = Digest::of(bytes);
    if found == *wanted { Ok(()) } else { Err(question.content(&format!("has digest {found}"))) }
}

/// What the registry says is the digest of its answer.
fn said_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok().and_then(Digest::parse)
}

//! The documents that describe an image: index, manifest, configuration.

use serde::Deserialize;

use crate::base::Digest;

/// Docker's and the OCI's words for index and manifest. The old schema 1 is left out: a registry that has nothing else says so.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// What a tag can name.
#[derive(Debug)]
pub(super) enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// Manifests by architecture.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub manifests: Vec<IndexEntry>,
}

#[derive(Debug, Deserialize)]
pub(super) struct IndexEntry {
    pub digest: Digest,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
    variant: Option<String>,
}

/// One image.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// A blob by content.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

/// The part of an image's configuration that matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    architecture: Option<String>,
    os: Option<String>,
    pub rootfs: RootFilesystem,
}

#[derive(Debug, Deserialize)]
pub(super) struct RootFilesystem {
    pub diff_ids: Vec<Digest>,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerKind {
    Plain,
    Gzip,
    Zstd,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    manifests: Option<serde_json::Value>,
    layers: Option<serde_json::Value>,
}

/// Why a document cannot be used.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It is not what the format says.
    Malformed(String),
    /// It is of a format that is not supported.
    Unsupported(String),
}

impl Document {
    /// Reads an index or a manifest. What it is, is told by its fields: registries do not agree on media types.
    pub fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        let malformed = |error: serde_json::Error| Flaw::Malformed(error.to_string());
        let shape: Shape = serde_json::from_slice(bytes).map_err(malformed)?;
        match (shape.manifests.is_some(), shape.layers.is_some()) {
            (true, true) => Err(Flaw::Malformed("it is an index and a manifest at once".into())),
            (true, false) => Ok(Self::Index(serde_json::from_slice(bytes).map_err(malformed)?)),
            (false, true) => Ok(Self::Manifest(serde_json::from_slice(bytes).map_err(malformed)?)),
            (false, false) if shape.schema_version == Some(1) => {
                Err(Flaw::Unsupported("a manifest of schema 1".into()))
            }
            (false, false) => Err(Flaw::Malformed("it is neither an index nor a manifest".into())),
        }
    }
}

impl Index {
    /// The manifest for Linux on an architecture. Of several variants the most common one is taken: none, else the first.
    pub fn find(&self, architecture: &str) -> Option<&IndexEntry> {
        let fits = |entry: &&IndexEntry| {
            entry.platform.as_ref().is_some_and(|its| its.os == "linux" && its.architecture == architecture)
        };
        let plain = |entry: &&IndexEntry| entry.platform.as_ref().is_some_and(|its| its.variant.is_none());
        self.manifests.iter().filter(fits).find(plain).or_else(|| self.manifests.iter().find(fits))
    }

    /// All platforms, for people. Attestations call themselves unknown.
    pub fn platforms(&self) -> String {
        let named = self.manifests.iter().filter_map(|entry| entry.platform.as_ref()).filter(|its| its.os != "unknown");
        let names: Vec<String> = named.map(|its| format!("{}/{}", its.os, its.architecture)).collect();
        if names.is_empty() { "no platform".into() } else { names.join(", ") }
    }
}

impl Configuration {
    /// Reads a configuration.
    pub fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        serde_json::from_slice(bytes).map_err(|error| Flaw::Malformed(error.to_string()))
    }

    /// What it is made for.
    pub fn platform(&self) -> String {
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
        format!("{}/{}", word(&self.os), word(&self.architecture))
    }
}

impl Descriptor {
    /// How it is compressed, if it is a layer that every engine takes.
    pub fn layer_kind(&self) -> Option<LayerKind> {
        match self.media_type.as_str() {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                Some(LayerKind::Plain)
            }
            "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                Some(LayerKind::Gzip)
            }
            "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
                Some(LayerKind::Zstd)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> Index {
        let entry = |(number, (os, architecture, variant)): (usize, &(&str, &str, Option<&str>))| {
            let mut platform = json!({ "os": os, "architecture": architecture });
            if let Some(variant) = variant {
                platform["variant"] = json!(variant);
            }
            json!({ "digest": Digest::of(number.to_string()), "size": 1, "mediaType": "m", "platform": platform })
        };
        let entries: Vec<_> = platforms.iter().enumerate().map(entry).collect();
        let text = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        let Document::Index(index) = Document::read(text.as_bytes()).unwrap() else { panic!("{text}") };
        index
    }

    #[test]
    fn the_plain_variant_for_linux_is_taken() {
        let index = index(&[
            ("windows", "amd64", None),
            ("linux", "amd64", Some("v3")),
            ("linux", "amd64", None),
            ("linux", "arm64", Some("v8")),
            ("unknown", "unknown", None),
        ]);
        assert_eq!(index.find("amd64").unwrap().digest, Digest::of("2"));
        assert_eq!(index.find("arm64").unwrap().digest, Digest::of("3"));
        assert!(index.find("s390x").is_none());
        assert_eq!(index.platforms(), "windows/amd64, linux/amd64, linux/amd64, linux/arm64");
    }

    #[test]
    fn other_documents_are_told_apart() {
        let flaw = |text: &str| Document::read(text.as_bytes()).unwrap_err();
        assert!(matches!(flaw(r#"{"schemaVersion":1,"fsLayers":[]}"#), Flaw::Unsupported(_)));
        for text in ["", "[]", "{}", r#"{"manifests":[],"layers":[]}"#, r#"{"layers":[],"config":{}}"#] {
            assert!(matches!(flaw(text), Flaw::Malformed(_)), "{text}");
        }
    }
}

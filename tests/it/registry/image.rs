//! A small image with every kind of layer.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use provision::base::Digest;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use super::server::Content;

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const NAME: &str = "k8s/pause:3.10";
pub const REPOSITORY: &str = "k8s/pause";

/// A layer in and out of its compression.
#[derive(Clone)]
pub struct TestLayer {
    pub media_type: String,
    pub bytes: Vec<u8>,
    pub unpacked: Vec<u8>,
}

impl TestLayer {
    pub fn plain(text: &str) -> Self {
        let unpacked = tar_of(text);
        Self { media_type: LAYER.into(), bytes: unpacked.clone(), unpacked }
    }

    pub fn gzip(text: &str) -> Self {
        let unpacked = tar_of(text);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&unpacked).unwrap();
        Self { media_type: format!("{LAYER}+gzip"), bytes: gzip.finish().unwrap(), unpacked }
    }

    pub fn zstd(text: &str) -> Self {
        let unpacked = tar_of(text);
        let bytes = compress_to_vec(&*unpacked, CompressionLevel::Fastest);
        Self { media_type: format!("{LAYER}+zstd"), bytes, unpacked }
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

fn tar_of(text: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "file", text.as_bytes()).unwrap();
    archive.into_inner().unwrap()
}

/// An image for one architecture.
pub struct TestImage {
    pub layers: Vec<TestLayer>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl TestImage {
    pub fn new(architecture: &str, layers: Vec<TestLayer>) -> Self {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(&layer.unpacked)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids }
        });
        let config = config.to_string().into_bytes();
        let described: Vec<Value> = layers.iter().map(|layer| descriptor(&layer.media_type, &layer.bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, &config), "layers": described
        });
        Self { layers, config, manifest: manifest.to_string().into_bytes() }
    }

    /// One with layers of all kinds, the first of them twice.
    pub fn of_all_kinds(architecture: &str) -> Self {
        let first = TestLayer::gzip(&format!("{architecture} {}", "gzip".repeat(50_000)));
        let layers = vec![first.clone(), TestLayer::plain("plain"), TestLayer::zstd(&"zstd".repeat(50_000)), first];
        Self::new(architecture, layers)
    }

    pub fn manifest_digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub fn config_digest(&self) -> Digest {
        Digest::of(&self.config)
    }

    /// Puts it into a registry, its manifest under its digest.
    pub fn put(&self, content: &mut Content) {
        content.manifest(REPOSITORY, self.manifest_digest().as_str(), MANIFEST, &self.manifest);
        content.blob(REPOSITORY, &self.config);
        self.layers.iter().for_each(|layer| content.blob(REPOSITORY, &layer.bytes));
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() })
}

/// An index of images by architecture, with an attestation as builders add it.
pub fn index(images: &[(&str, &TestImage)]) -> Vec<u8> {
    let mut entries: Vec<Value> = images
        .iter()
        .map(|(architecture, image)| {
            let mut entry = descriptor(MANIFEST, &image.manifest);
            entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
            entry
        })
        .collect();
    let mut attestation = descriptor(MANIFEST, b"{}");
    attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    entries.push(attestation);
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes()
}

/// A registry with the image for two architectures under one tag, and what it is for `amd64`.
pub fn two_architectures() -> (Content, TestImage) {
    let mut content = Content::default();
    let (amd64, arm64) = (TestImage::of_all_kinds("amd64"), TestImage::of_all_kinds("arm64"));
    [&amd64, &arm64].iter().for_each(|image| image.put(&mut content));
    content.manifest(REPOSITORY, "3.10", INDEX, &index(&[("arm64", &arm64), ("amd64", &amd64)]));
    (content, amd64)
}

//! What a tag meant when it was asked for.

use bytes::Bytes;

use super::image_name::ImageName;
use super::manifest::LayerKind;
use crate::base::Digest;
use crate::state::ImageReference;

/// An image for one architecture, by content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The name that was asked for.
    pub image: ImageReference,
    /// Digest of what the tag names: an index of several architectures, or the manifest itself.
    pub top_digest: Digest,
    /// Digest of the manifest for the architecture: what Docker's containerd store and containerd pull.
    pub manifest_digest: Digest,
    /// Digest of the configuration: the id in Docker's classic store.
    pub config_digest: Digest,
    /// Layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Number of bytes of configuration and layers as the registry has them, each layer once.
    pub size: u64,
    pub(super) name: ImageName,
    /// The configuration, digested.
    pub(super) config: Bytes,
}

/// A layer as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Number of bytes.
    pub size: u64,
    /// Media type, which tells how it is compressed.
    pub media_type: String,
    /// SHA-256 of what is in it, not compressed, as the configuration names it.
    pub diff_id: Digest,
    pub(super) kind: LayerKind,
}

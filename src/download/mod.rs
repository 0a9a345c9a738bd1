//! Files that this machine fetches for hosts (kubelet, kubectl, the CNI plugins' archive), each once, into a cache that is
//! addressed by content.
//!
//! A digest decides about every byte: the one that a generation has locked, or else the one that the site publishes beside
//! the file. What was met once under an address is locked in the cache, so that the same address never gives other bytes
//! unnoticed. What is there is used without asking anybody.

mod cache;
mod checksum;
mod downloads;
mod error;
mod excerpt;
mod folder;
mod partial;
mod persistence;
mod progress;
mod request;
#[cfg(test)]
mod tests;
mod transfer;

pub use cache::{Cache, CachedFile};
pub use downloads::Downloads;
pub use error::DownloadError;
pub use folder::default_folder;
pub use progress::Progress;
pub use request::{CNI_SITE, Checksum, DownloadRequest, KUBERNETES_SITE, addon, cni_plugins, kubernetes_file};

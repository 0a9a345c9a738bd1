//! The state folder on a disk that forgets, and on a real one.

mod contract;
mod crash;
mod folder;
mod run_log;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    FakeDisk, Holder, JournalError, Material, Origin, PinnedAddon, PinnedFile, PinnedImage, Pins, StateFolder,
    StoredKey,
};
use crate::base::{Digest, RunId, Secret};
use crate::state::{ImageReference, ImageStore};

fn path() -> PathBuf {
    PathBuf::from("/cluster.state")
}

fn holder() -> Holder {
    Holder { run: RunId("20261124T120300Z-7f3a".into()), process: 4711 }
}

fn open(disk: &FakeDisk) -> Result<StateFolder, JournalError> {
    StateFolder::open(Arc::new(disk.clone()), &path(), holder())
}

fn key(name: &str, content: &str) -> Material {
    let certificate = Some(format!("certificate of {content}"));
    // Not text, as the key for Secrets at rest is not.
    let key = Some(Secret::new([b"\xff\x00", content.as_bytes()].concat()));
    BTreeMap::from([(name.to_owned(), StoredKey { certificate, key })])
}

fn pins(content: &str) -> Pins {
    let origin = Origin::Bundle("site".into());
    let reference = ImageReference("registry.k8s.io/pause:3.10.1".into());
    let (name, version) = ("kubelet".into(), "v1.34.1".into());
    Pins {
        images: vec![PinnedImage {
            store: ImageStore::Docker,
            reference,
            id: Digest::of(content),
            manifest: None,
            origin: origin.clone(),
        }],
        files: vec![PinnedFile { name, version, digest: Digest::of(content), size: 7, origin }],
        addons: vec![PinnedAddon { name: "a.yml".into(), digest: Digest::of(content) }],
    }
}

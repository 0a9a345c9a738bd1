//! A bundle of a few bytes with everything that a cluster needs.

use std::fs;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use provision::base::Digest;
use provision::release::Release;
use serde_json::{Value, json};

/// Writes the bundle's folder.
pub fn write(folder: &Path, release: &Release) {
    let images = &release.images;
    let names = [
        &images.kube_apiserver,
        &images.kube_controller_manager,
        &images.kube_scheduler,
        &images.kube_proxy,
        &images.etcd,
        &images.pause,
        &images.coredns,
        &images.metrics_server,
        &images.api_proxy,
        &images.flannel,
        &images.flannel_cni,
    ];
    let mut items: Vec<Value> = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let mut entry = item(folder, "image", &name.0, name.tag(), &format!("image-{number}"), name.0.as_bytes());
        entry["image_id"] = json!(Digest::of(format!("configuration of {name}")));
        items.push(entry);
    }
    let version = release.version.to_string();
    items.push(item(folder, "file", "kubelet", &version, "kubelet", b"a kubelet"));
    items.push(item(folder, "file", "cni-plugins", &release.cni_plugins, "cni.tgz", &plugins()));
    let index = json!({ "format": 1, "architecture": "amd64", "items": items });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

fn item(folder: &Path, kind: &str, name: &str, version: &str, path: &str, bytes: &[u8]) -> Value {
    fs::write(folder.join(path), bytes).unwrap();
    let (size, sha256) = (bytes.len(), Digest::of(bytes));
    json!({ "kind": kind, "name": name, "version": version, "path": path, "size": size, "sha256": sha256.hexadecimal() })
}

fn plugins() -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for name in ["bridge", "host-local", "loopback", "portmap"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(name.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        archive.append_data(&mut header, name, name.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

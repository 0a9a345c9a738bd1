//! Bundles made for one scenario: images of a script, and programs that are one.

use std::fs;
use std::path::{Path, PathBuf};

use provision::base::Digest;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// A bundle in a folder of its own, gone with the scenario.
pub struct MadeBundle {
    folder: tempfile::TempDir,
    items: Vec<Value>,
}

impl MadeBundle {
    /// One with nothing in it.
    pub fn new() -> Self {
        let bundle = Self { folder: tempfile::tempdir().expect("a folder"), items: Vec::new() };
        bundle.write_index();
        bundle
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Adds an image in which this program is a shell script. What it needs besides the shell is busybox's.
    pub fn add_image(&mut self, name: &str, program: &str, script: &str) {
        let layer = layer(program, script);
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).as_str()] },
        });
        let config = config.to_string();
        let id = Digest::of(config.as_bytes());
        let configuration = format!("{}.json", id.as_str().trim_start_matches("sha256:"));
        let manifest = json!([{ "Config": configuration, "RepoTags": [name], "Layers": ["layer.tar"] }]).to_string();
        let mut archive = Builder::new(Vec::new());
        for (path, bytes) in
            [(configuration.as_str(), config.as_bytes()), ("layer.tar", &layer), ("manifest.json", manifest.as_bytes())]
        {
            append(&mut archive, path, 0o644, bytes);
        }
        let version = name.rsplit(':').next().expect("a tag").to_owned();
        let archive = archive.into_inner().expect("the archive is whole");
        let mut item = self.item("image", name, &version, &archive);
        item["image_id"] = id.as_str().into();
        self.add(item);
    }

    /// Adds a program for hosts.
    pub fn add_file(&mut self, name: &str, version: &str, bytes: &[u8]) {
        let item = self.item("file", name, version, bytes);
        self.add(item);
    }

    fn item(&self, kind: &str, name: &str, version: &str, bytes: &[u8]) -> Value {
        let path = format!("{}-{version}", name.replace(['/', ':'], "_"));
        fs::write(self.path().join(&path), bytes).expect("an item of the bundle");
        let digest = Digest::of(bytes);
        let digest = digest.as_str().trim_start_matches("sha256:");
        json!({ "kind": kind, "name": name, "version": version, "path": path, "size": bytes.len(), "sha256": digest })
    }

    fn add(&mut self, item: Value) {
        self.items.push(item);
        self.write_index();
    }

    fn write_index(&self) {
        let index = json!({ "format": 1, "architecture": "amd64", "items": self.items });
        fs::write(self.path().join("index.json"), index.to_string()).expect("the bundle's index");
    }
}

/// A root file system of busybox and one script.
fn layer(program: &str, script: &str) -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    append(&mut layer, "bin/busybox", 0o755, &fs::read(busybox()).expect("busybox"));
    for name in ["sh", "sleep", "cat", "echo", "ls"] {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        layer.append_link(&mut header, format!("bin/{name}"), "busybox").expect("a link");
    }
    append(&mut layer, program.trim_start_matches('/'), 0o755, script.as_bytes());
    layer.into_inner().expect("the layer is whole")
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = header(EntryType::Regular, mode, bytes.len());
    archive.append_data(&mut header, path, bytes).expect("an entry");
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(u64::try_from(size).expect("a size"));
    header
}

/// The program that the lab has built for its images.
fn busybox() -> PathBuf {
    let parts = super::cache().join("parts/busybox");
    let part = fs::read_dir(&parts).expect("the lab's busybox").next().expect("a part").expect("a folder");
    part.path().join("root/bin/busybox")
}

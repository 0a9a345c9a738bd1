//! Bundles made in a temporary folder, whole and broken.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BundleError, Bundles, UnpackedFile};
use crate::base::Digest;
use crate::state::ImageReference;

const IMAGE: &str = "registry.k8s.io/pause:3.10.1";

struct Folder {
    _root: TempDir,
    path: PathBuf,
    items: Vec<Value>,
}

impl Folder {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let path = root.path().join("site");
        fs::create_dir(&path).unwrap();
        Self { _root: root, path, items: Vec::new() }
    }

    fn image(mut self, bytes: &str, id: &str) -> Self {
        let mut item = self.write("image", IMAGE, "3.10.1", "pause.tar", bytes.as_bytes());
        item["image_id"] = json!(Digest::of(id));
        self.items.push(item);
        self
    }

    fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        let item = self.write("file", name, "v1", name, bytes);
        self.items.push(item);
        self
    }

    fn write(&self, kind: &str, name: &str, version: &str, path: &str, bytes: &[u8]) -> Value {
        fs::write(self.path.join(path), bytes).unwrap();
        let sha256 = Digest::of(bytes).hexadecimal().to_owned();
        json!({"kind": kind, "name": name, "version": version, "path": path, "size": bytes.len(), "sha256": sha256})
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.items.last_mut().unwrap()[key] = value;
        self
    }

    fn open(&self) -> Result<Bundles, BundleError> {
        let index = json!({"format": 1, "architecture": "amd64", "items": self.items});
        self.open_text(&index.to_string())
    }

    fn open_text(&self, index: &str) -> Result<Bundles, BundleError> {
        fs::write(self.path.join("index.json"), index).unwrap();
        Bundles::open(std::slice::from_ref(&self.path))
    }

    fn refusal(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

fn archive(entries: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, mode, text) in entries {
        let mut header = tar::Header::new_ustar();
        // `set_path` refuses what a hostile archive would hold.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(*mode);
        header.set_size(text.len() as u64);
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn items_are_found_by_name_and_version() {
    let folder = Folder::new().image("archive", "configuration").file("kubelet", b"program");
    let bundles = folder.open().unwrap();
    let image = bundles.image(&ImageReference(IMAGE.into())).unwrap();
    assert_eq!(image.image_id, Some(Digest::of("configuration")));
    assert_eq!(image.source, super::ItemSource::Bundle("site".into()));
    image.verify().unwrap();
    assert_eq!(bundles.file("kubelet", "v1").unwrap().size, 7);
    assert!(bundles.file("kubelet", "v2").is_none());
    assert_eq!(bundles.architecture(), Some("amd64"));
}

#[test]
fn changed_bytes_of_the_same_size_are_found_when_used() {
    let folder = Folder::new().file("kubelet", b"program");
    let bundles = folder.open().unwrap();
    fs::write(folder.path.join("kubelet"), b"malware").unwrap();
    let error = bundles.file("kubelet", "v1").unwrap().verify().unwrap_err();
    assert!(matches!(error, BundleError::Digest { .. }), "{error}");
}

#[test]
fn a_file_of_another_size_is_found_at_once() {
    let refusal = Folder::new().file("kubelet", b"program").with("size", json!(8)).refusal();
    assert!(refusal.contains("has 7 bytes, not 8"), "{refusal}");
}

#[test]
fn an_item_cannot_lie_outside_its_bundle() {
    for path in ["../secret", "/etc/hostname", "a/../../secret"] {
        let refusal = Folder::new().file("kubelet", b"x").with("path", json!(path)).refusal();
        assert!(refusal.contains("leaves the bundle"), "{refusal}");
    }
    let folder = Folder::new().file("kubelet", b"x").with("path", json!("link"));
    std::os::unix::fs::symlink(Path::new("kubelet"), folder.path.join("link")).unwrap();
    assert!(folder.refusal().contains("is a link"));
}

#[test]
fn names_that_would_be_paths_are_refused() {
    for (key, value) in [("name", "../kubelet"), ("version", "v1/.."), ("name", ""), ("version", ".")] {
        let refusal = Folder::new().file("kubelet", b"x").with(key, json!(value)).refusal();
        assert!(refusal.contains("is not a"), "{refusal}");
    }
}

#[test]
fn an_image_needs_its_id_and_its_tag() {
    let folder = Folder::new().image("archive", "configuration");
    let refusal = folder.with("version", json!("3.9")).refusal();
    assert!(refusal.contains("not its tag"), "{refusal}");
    let refusal = Folder::new().image("archive", "x").with("image_id", Value::Null).refusal();
    assert!(refusal.contains("`image_id` is missing"), "{refusal}");
}

#[test]
fn keys_and_formats_that_are_not_known_are_refused() {
    let folder = Folder::new();
    let unknown = folder.open_text(r#"{"format":1,"architecture":"amd64","items":[],"signed":true}"#).unwrap_err();
    assert!(unknown.to_string().contains("unknown field `signed`"), "{unknown}");
    let newer = folder.open_text(r#"{"format":2,"whatever":true}"#).unwrap_err();
    assert!(matches!(newer, BundleError::NewerFormat { found: 2, .. }), "{newer}");
    let other = Bundles::open(&[folder.path.join("nothing")]).unwrap_err();
    assert!(matches!(other, BundleError::NotABundle { .. }), "{other}");
}

#[test]
fn bundles_that_disagree_are_refused() {
    let (one, same, other) = (Folder::new(), Folder::new(), Folder::new());
    let one = one.image("archive", "configuration");
    let same = same.image("archive made again", "configuration");
    let other = other.image("archive", "configuration").file("kubelet", b"x");
    for folder in [&one, &same, &other] {
        folder.open().unwrap();
    }
    Bundles::open(&[one.path.clone(), same.path.clone(), other.path.clone()]).unwrap();
    let rival = Folder::new().file("kubelet", b"y");
    rival.open().unwrap();
    let error = Bundles::open(&[other.path.clone(), rival.path.clone()]).unwrap_err();
    assert!(matches!(error, BundleError::Conflict { .. }), "{error}");
}

#[test]
fn programs_come_out_of_the_cni_archive() {
    let bytes =
        archive(&[("./", 0o755, ""), ("./loopback", 0o755, "l"), ("bridge", 0o755, "b"), ("LICENSE", 0o644, "t")]);
    let folder = Folder::new().file("cni-plugins", &bytes);
    let programs = folder.open().unwrap().cni_plugins("v1").unwrap();
    let names: Vec<_> = programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["bridge", "loopback"]);
    assert_eq!(programs[0].digest, Digest::of("b"));
    for (program, bytes) in programs.iter().zip(["b", "l"]) {
        assert_eq!(content(program), bytes.as_bytes(), "{}", program.name);
    }
}

fn content(program: &UnpackedFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(program.size).unwrap()];
    program.file.read_exact_at(&mut bytes, program.offset).unwrap();
    bytes
}

#[test]
fn an_archive_whose_bytes_were_changed_is_called_changed_and_not_broken() {
    let bytes = archive(&[("bridge", 0o755, &"b".repeat(1000))]);
    for place in 0..bytes.len() {
        let folder = Folder::new().file("cni-plugins", &bytes);
        let bundles = folder.open().unwrap();
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        fs::write(folder.path.join("cni-plugins"), changed).unwrap();
        let error = bundles.cni_plugins("v1").unwrap_err();
        assert!(matches!(error, BundleError::Digest { .. }), "byte {place}: {error}");
    }
}

#[test]
fn an_archive_that_was_made_cut_short_is_refused() {
    let bytes = archive(&[("bridge", 0o755, &"b".repeat(1000))]);
    let folder = Folder::new().file("cni-plugins", &bytes[..bytes.len() / 2]);
    let error = folder.open().unwrap().cni_plugins("v1").unwrap_err();
    assert!(matches!(error, BundleError::Archive { .. }), "{error}");
}

#[test]
fn hostile_archives_are_refused() {
    for name in ["../bridge", "/bridge", "bin/bridge", ".hidden"] {
        let folder = Folder::new().file("cni-plugins", &archive(&[(name, 0o755, "x")]));
        let error = folder.open().unwrap().cni_plugins("v1").unwrap_err();
        assert!(matches!(error, BundleError::Archive { .. }), "{name}: {error}");
    }
    let twice = Folder::new().file("cni-plugins", &archive(&[("bridge", 0o755, "x"), ("./bridge", 0o755, "y")]));
    assert!(twice.open().unwrap().cni_plugins("v1").unwrap_err().to_string().contains("twice"));
}

#[test]
fn an_archive_that_unpacks_to_more_than_is_sensible_is_refused() {
    let mut bytes = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = tar::Header::new_ustar();
    header.set_path("bridge").unwrap();
    header.set_mode(0o755);
    header.set_size(1 << 40);
    header.set_cksum();
    bytes.write_all(header.as_bytes()).unwrap();
    let folder = Folder::new().file("cni-plugins", &bytes.finish().unwrap());
    let error = folder.open().unwrap().cni_plugins("v1").unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

//! Images written to files, whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::GzDecoder;
use provision::base::Digest;
use provision::registry::{Registries, RegistryError, SavedArchive};
use provision::state::ImageReference;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::image::{MANIFEST, NAME, REPOSITORY, TestImage, TestLayer, two_architectures};
use super::server::{Behaviour, Content, Fault, Server};
use super::{check_text, open, reference, settings};
use crate::alone::{self, Peak};

const NAMES: [&str; 2] = ["registry.k8s.io/pause:3.10", "registry.lab:5000/k8s/pause:3.10"];

/// Saves to a file that already holds something.
async fn save(server: &Server, folder: &Path) -> Result<SavedArchive, RegistryError> {
    let registries = Registries::new(&settings(open(server))).unwrap();
    let resolved = registries.resolve(&reference(server, NAME), "amd64").await.unwrap();
    let names = NAMES.map(|name| ImageReference(name.into()));
    let (told, highest) = (AtomicU64::new(0), AtomicU64::new(0));
    let progress = |received| {
        told.store(received, Ordering::Relaxed);
        highest.fetch_max(received, Ordering::Relaxed);
    };
    let saved = registries.save(&resolved, &names, &folder.join("pause.tar"), &progress).await;
    assert!(highest.load(Ordering::Relaxed) <= resolved.size);
    if saved.is_ok() {
        assert_eq!(told.load(Ordering::Relaxed), resolved.size);
    }
    saved
}

fn entries(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        assert_eq!((header.mode().unwrap(), header.entry_type()), (0o644, tar::EntryType::Regular));
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert!(found.insert(name, bytes).is_none());
    }
    found
}

/// As Docker does: what the archive's layer is once unpacked.
fn diff_id(bytes: &[u8]) -> Digest {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Digest::of(bytes);
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut unpacked).unwrap();
    Digest::of(unpacked)
}

#[tokio::test]
async fn a_saved_image_is_what_docker_and_containerd_read() {
    let (content, image) = two_architectures();
    let server = Behaviour::new(content).start().await;
    let folder = TempDir::new().unwrap();
    let saved = save(&server, folder.path()).await.unwrap();
    let path = folder.path().join("pause.tar");
    let bytes = fs::read(&path).unwrap();
    assert_eq!(saved, SavedArchive { size: bytes.len() as u64, digest: Digest::of(&bytes) });
    let entries = entries(&path);
    let manifest: Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
    let [entry] = manifest.as_array().unwrap().as_slice() else { panic!("{manifest}") };
    assert_eq!(entry["RepoTags"], json!(NAMES));
    let config = &entries[entry["Config"].as_str().unwrap()];
    assert_eq!(Digest::of(config), image.config_digest());
    let config: Value = serde_json::from_slice(config).unwrap();
    let layers = entry["Layers"].as_array().unwrap().iter().map(|name| &entries[name.as_str().unwrap()]);
    let found: Vec<Digest> = layers.map(|bytes| diff_id(bytes)).collect();
    assert_eq!(json!(found), config["rootfs"]["diff_ids"]);
    // The layer that is there twice is in the archive and in the requests once.
    assert_eq!(entries.len(), 3 + 2);
    assert_eq!(server.count(image.layers[0].digest().as_str()), 1);
}

#[tokio::test]
async fn images_are_saved_by_tasks_of_their_own() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    let save = tokio::spawn(async move { save(&server, &path).await.map(|saved| saved.size) });
    assert_eq!(save.await.unwrap().unwrap(), fs::metadata(folder.path().join("pause.tar")).unwrap().len());
}

#[tokio::test]
async fn the_same_image_gives_the_same_bytes() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (one, other) = (save(&server, one.path()).await.unwrap(), save(&server, other.path()).await.unwrap());
    assert_eq!(one, other);
}

/// A failing save leaves the folder as it was: with the file of an earlier save, and what a process left that was killed.
async fn leaves_nothing(behaviour: Behaviour) -> RegistryError {
    let server = behaviour.start().await;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("pause.tar"), "earlier").unwrap();
    let error = save(&server, folder.path()).await.unwrap_err();
    check_text(&error, &reference(&server, NAME));
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["pause.tar"], "{error}");
    assert_eq!(fs::read(folder.path().join("pause.tar")).unwrap(), b"earlier");
    error
}

/// An image whose one layer is served as these bytes.
fn with_layer_served_as(layer: TestLayer, bytes: &[u8]) -> Behaviour {
    let mut content = Content::default();
    let image = TestImage::new("amd64", vec![TestLayer::plain("first"), layer.clone()]);
    image.put(&mut content);
    content.manifest(REPOSITORY, "3.10", MANIFEST, &image.manifest);
    content.blob_as(REPOSITORY, &layer.digest(), bytes);
    Behaviour::new(content)
}

#[tokio::test]
async fn a_layer_with_other_bytes_is_refused() {
    let layer = TestLayer::gzip("layer");
    let mut flipped = layer.bytes.clone();
    flipped[20] ^= 1;
    let (longer, shorter) = ([&layer.bytes[..], b"x"].concat(), &layer.bytes[1..]);
    for bytes in [&flipped, &longer, shorter] {
        let error = leaves_nothing(with_layer_served_as(layer.clone(), bytes)).await;
        assert!(matches!(error, RegistryError::Content { .. }), "{error}");
        assert!(error.to_string().contains(layer.digest().as_str()), "{error}");
    }
}

#[tokio::test]
async fn a_layer_that_is_not_what_the_configuration_names_is_refused() {
    for mut layer in [TestLayer::zstd("layer"), TestLayer::plain("layer")] {
        layer.unpacked = b"other".to_vec();
        let bytes = layer.bytes.clone();
        let error = leaves_nothing(with_layer_served_as(layer, &bytes)).await;
        assert!(error.to_string().contains(Digest::of("other").as_str()), "{error}");
    }
    let broken = TestLayer { bytes: b"no zstd".to_vec(), ..TestLayer::zstd("layer") };
    let error = leaves_nothing(with_layer_served_as(broken, b"no zstd")).await;
    assert!(error.to_string().contains("cannot be unpacked"), "{error}");
}

#[tokio::test]
async fn a_layer_that_is_not_there_or_never_comes_is_refused() {
    let is_layer = |path: &str, image: &TestImage| path.ends_with(image.layers[1].digest().as_str());
    for (fault, times) in [(Fault::Answer(404, Vec::new(), String::new()), 1), (Fault::Cut(5), 4), (Fault::Cut(0), 4)] {
        let (content, image) = two_architectures();
        let behaviour = Behaviour::new(content);
        let layer = image.layers[1].digest();
        let behaviour = behaviour.faults(move |asked, _| is_layer(&asked.path, &image).then(|| fault.clone()));
        let error = leaves_nothing(behaviour).await;
        match error {
            RegistryError::Missing { what, .. } => assert_eq!((what, times), (format!("layer {layer}"), 1)),
            RegistryError::Broken { tries, .. } => assert_eq!(tries, times),
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_web_page_in_place_of_a_layer_is_told_as_one() {
    let behaviour = with_layer_served_as(TestLayer::gzip("layer"), b"").faults(|asked, earlier| {
        let page = || Fault::Answer(200, vec![("content-type", "text/html".into())], "<title>Log in</title>".into());
        // The configuration is a blob, too.
        (asked.path.contains("/blobs/") && !asked.path.is_empty() && earlier == 0).then(page)
    });
    let server = behaviour.start().await;
    let error = super::refusal(&settings(open(&server)), &reference(&server, NAME)).await;
    assert!(matches!(error, RegistryError::WebPage { .. }), "{error}");
}

#[tokio::test]
async fn a_layer_that_is_cut_is_brought_again_from_its_beginning() {
    let (content, image) = two_architectures();
    let length = image.layers[0].bytes.len();
    let whole = {
        let server = Behaviour::new(content.clone()).start().await;
        save(&server, TempDir::new().unwrap().path()).await.unwrap()
    };
    for at in [0, 1, length / 2, length - 1] {
        let layer = image.layers[0].digest();
        let faults = move |asked: &super::server::Asked, earlier| {
            (asked.path.ends_with(layer.as_str()) && earlier < 2).then_some(Fault::Cut(at))
        };
        let server = Behaviour::new(content.clone()).faults(faults).start().await;
        let folder = TempDir::new().unwrap();
        assert_eq!(save(&server, folder.path()).await.unwrap(), whole, "cut at {at}");
        assert_eq!(server.count(image.layers[0].digest().as_str()), 3);
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_with_its_path() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    let error = save(&server, &missing).await.unwrap_err();
    let RegistryError::Disk { path, .. } = error else { panic!("{error}") };
    assert_eq!(path, missing);
}

#[tokio::test]
async fn what_a_killed_process_left_is_no_hindrance() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("pause.tar.partial"), "half").unwrap();
    save(&server, folder.path()).await.unwrap();
    assert!(!folder.path().join("pause.tar.partial").exists());
}

/// An image that is as large as its layer of zeros.
fn large(bytes: usize) -> Behaviour {
    let image = TestImage::new("amd64", vec![TestLayer::plain(&"0".repeat(bytes))]);
    let mut content = Content::default();
    image.put(&mut content);
    content.manifest(REPOSITORY, "3.10", MANIFEST, &image.manifest);
    Behaviour::new(content)
}

async fn fails_on_a_full_disk() {
    let server = large(2 << 20).start().await;
    let folder = alone::small_disk();
    let error = save(&server, &folder).await.unwrap_err();
    check_text(&error, &reference(&server, NAME));
    let RegistryError::DiskFull { path, wanted, .. } = &error else { panic!("{error}") };
    assert!(path.starts_with(&folder) && *wanted > 4 << 20, "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{error}");
}

#[tokio::test]
async fn a_disk_without_room_for_the_layers_is_full() {
    match alone::is_alone() {
        true => fails_on_a_full_disk().await,
        false => alone::run_with_small_disk("registry::saving::a_disk_without_room_for_the_layers_is_full", 1 << 10),
    }
}

#[tokio::test]
async fn a_disk_with_room_for_the_layers_but_not_for_the_archive_is_full() {
    let test = "registry::saving::a_disk_with_room_for_the_layers_but_not_for_the_archive_is_full";
    match alone::is_alone() {
        true => fails_on_a_full_disk().await,
        false => alone::run_with_small_disk(test, 3 << 10),
    }
}

#[tokio::test]
async fn saving_takes_little_memory_however_large_the_image_is() {
    if !alone::is_alone() {
        return alone::run("registry::saving::saving_takes_little_memory_however_large_the_image_is");
    }
    let server = large(64 << 20).start().await;
    let registries = Registries::new(&settings(open(&server))).unwrap();
    let resolved = registries.resolve(&reference(&server, NAME), "amd64").await.unwrap();
    let folder = TempDir::new().unwrap();
    let peak = Peak::begin();
    let saved = registries.save(&resolved, &[], &folder.path().join("large.tar"), &|_| {}).await.unwrap();
    assert!(saved.size > 64 << 20);
    assert!(peak.bytes() < 8 << 20, "{} MiB", peak.bytes() >> 20);
}

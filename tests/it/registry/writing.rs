//! Bundles made from a registry.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use provision::base::Digest;
use provision::bundle::{BundleError, BundleWriter, Bundles};
use provision::registry::Registries;
use provision::state::ImageReference;
use tempfile::TempDir;

use super::image::{NAME, two_architectures};
use super::server::{Behaviour, Server};
use super::{open, reference, settings};
use crate::alone;

/// What `bundle create` does for each image.
async fn add_image(writer: &mut BundleWriter, server: &Server) -> ImageReference {
    let image = reference(server, NAME);
    let registries = Registries::new(&settings(open(server))).unwrap();
    let resolved = registries.resolve(&image, "amd64").await.unwrap();
    if !writer.keep_image(&image, &resolved.config_digest).unwrap() {
        let names = std::slice::from_ref(&image);
        let saved = registries.save(&resolved, names, &writer.image_path(&image), &|_| {}).await.unwrap();
        writer.add_image(&image, &resolved.config_digest, saved.size, &saved.digest).unwrap();
    }
    image
}

/// And for each file.
fn add_kubelet(writer: &mut BundleWriter, cache: &Path) {
    let digest = Digest::of("program");
    if !writer.keep_file("kubelet", "v1.34.1", &digest).unwrap() {
        let source = cache.join("kubelet");
        fs::write(&source, "program").unwrap();
        writer.add_file("kubelet", "v1.34.1", &source, &digest).unwrap();
    }
}

fn check(folder: &Path, image: &ImageReference) {
    let bundles = Bundles::open(&[folder.to_owned()]).unwrap();
    assert_eq!(bundles.architecture(), Some("amd64"));
    bundles.items().for_each(|item| item.verify().unwrap());
    assert!(bundles.image(image).is_some());
    let kubelet = bundles.file("kubelet", "v1.34.1").unwrap();
    assert_eq!(fs::metadata(&kubelet.path).unwrap().permissions().mode() & 0o700, 0o700);
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["files", "images", "index.json"]);
}

#[tokio::test]
async fn a_bundle_is_made_and_passes_every_check() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let (root, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let folder = root.path().join("deep/site");
    let mut writer = BundleWriter::create(&folder, "amd64").unwrap();
    let image = add_image(&mut writer, &server).await;
    add_kubelet(&mut writer, cache.path());
    assert!(matches!(Bundles::open(std::slice::from_ref(&folder)), Err(BundleError::NotABundle { .. })));
    writer.finish().unwrap();
    check(&folder, &image);
}

#[tokio::test]
async fn a_bundle_that_was_begun_is_gone_on_with() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let (folder, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut writer = BundleWriter::create(folder.path(), "amd64").unwrap();
    let image = add_image(&mut writer, &server).await;
    add_kubelet(&mut writer, cache.path());
    drop(writer);
    let blobs = server.count("/blobs/");
    fs::write(folder.path().join("images/other.tar.partial"), "half").unwrap();
    let mut writer = BundleWriter::create(folder.path(), "amd64").unwrap();
    add_image(&mut writer, &server).await;
    fs::remove_file(cache.path().join("kubelet")).unwrap();
    add_kubelet(&mut writer, cache.path());
    assert!(!cache.path().join("kubelet").exists(), "it was fetched again");
    writer.finish().unwrap();
    // Only the configuration was asked for again.
    assert_eq!(server.count("/blobs/"), blobs + 1);
    assert_eq!(fs::read_dir(folder.path().join("images")).unwrap().count(), 1);
    check(folder.path(), &image);
}

#[tokio::test]
async fn an_item_that_lost_bytes_or_has_another_meaning_by_now_is_fetched_again() {
    let server = Behaviour::new(two_architectures().0).start().await;
    let folder = TempDir::new().unwrap();
    let mut writer = BundleWriter::create(folder.path(), "amd64").unwrap();
    let image = add_image(&mut writer, &server).await;
    let path = writer.image_path(&image);
    drop(writer);
    let bytes = fs::read(&path).unwrap();
    let mut flipped = bytes.clone();
    flipped[1000] ^= 1;
    for damaged in [&flipped[..], &bytes[..bytes.len() - 1], b""] {
        fs::write(&path, damaged).unwrap();
        let mut writer = BundleWriter::create(folder.path(), "amd64").unwrap();
        add_image(&mut writer, &server).await;
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let mut writer = BundleWriter::create(folder.path(), "amd64").unwrap();
    assert!(!writer.keep_image(&image, &Digest::of("the tag was moved")).unwrap());
    assert!(!writer.keep_file("kubelet", "v1.34.1", &Digest::of("program")).unwrap());
}

#[test]
fn a_disk_that_is_full_is_told_and_keeps_what_is_whole() {
    if !alone::is_alone() {
        let test = "registry::writing::a_disk_that_is_full_is_told_and_keeps_what_is_whole";
        return alone::run_with_small_disk(test, 300);
    }
    let (folder, cache) = (alone::small_disk(), TempDir::new().unwrap());
    let mut writer = BundleWriter::create(&folder, "amd64").unwrap();
    add_kubelet(&mut writer, cache.path());
    let (source, bytes) = (cache.path().join("large"), vec![0; 400_000]);
    fs::write(&source, &bytes).unwrap();
    let error = writer.add_file("kubectl", "v1.34.1", &source, &Digest::of(&bytes)).unwrap_err();
    assert!(matches!(error, BundleError::DiskFull { .. }), "{error}");
    let names: Vec<_> = fs::read_dir(folder.join("files")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["kubelet-v1.34.1"]);
    drop(writer);
    let mut writer = BundleWriter::create(&folder, "amd64").unwrap();
    assert!(writer.keep_file("kubelet", "v1.34.1", &Digest::of("program")).unwrap());
    writer.finish().unwrap();
}

//! Bundles that cannot be made, or not there.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{BundleError, BundleWriter, Bundles};
use crate::base::Digest;
use crate::state::ImageReference;

fn create(folder: &Path) -> Result<BundleWriter, BundleError> {
    BundleWriter::create(folder, "amd64")
}

fn file(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("source");
    fs::write(&path, text).unwrap();
    path
}

fn image(name: &str) -> ImageReference {
    ImageReference(name.into())
}

/// Stands for whoever saves an image at the writer's path.
fn add_image(writer: &mut BundleWriter, name: &str) {
    let path = writer.image_path(&image(name));
    fs::write(&path, name).unwrap();
    writer.add_image(&image(name), &Digest::of("configuration"), name.len() as u64, &Digest::of(name)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn nothing_but_an_empty_folder_or_a_bundle_that_was_begun_is_taken() {
    let (used, finished) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(used.path().join("holiday.jpg"), "").unwrap();
    create(finished.path()).unwrap().finish().unwrap();
    for folder in [&used, &finished] {
        let before = names(folder.path());
        let error = create(folder.path()).unwrap_err();
        assert!(matches!(error, BundleError::Occupied { .. }), "{error}");
        assert_eq!(names(folder.path()), before);
    }
    let begun = TempDir::new().unwrap();
    drop(create(begun.path()).unwrap());
    create(begun.path()).unwrap();
    let error = BundleWriter::create(begun.path(), "arm64").unwrap_err();
    assert!(error.to_string().contains("for amd64 was begun"), "{error}");
}

#[test]
fn two_cannot_make_one_bundle() {
    let folder = TempDir::new().unwrap();
    let first = create(folder.path()).unwrap();
    let error = create(folder.path()).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    create(folder.path()).unwrap();
}

#[test]
fn a_file_in_the_place_of_the_folder_is_an_error_with_its_path() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "");
    let Err(BundleError::Disk { path: told, .. }) = create(&path) else { panic!("made in a file") };
    assert_eq!(told, path);
}

#[test]
fn a_file_with_other_bytes_is_not_taken_and_leaves_nothing() {
    let (folder, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut writer = create(folder.path()).unwrap();
    let path = file(&source, "malware");
    let error = writer.add_file("kubelet", "v1", &path, &Digest::of("program")).unwrap_err();
    let BundleError::Digest { path: told, found, .. } = error else { panic!("{error}") };
    assert_eq!((told, found), (path, Digest::of("malware")));
    assert!(names(&folder.path().join("files")).is_empty());
    let error = writer.add_file("kubelet", "v1", Path::new("/nonexistent"), &Digest::of("")).unwrap_err();
    assert!(matches!(error, BundleError::Disk { operation: "reading", .. }), "{error}");
}

#[test]
fn names_that_would_be_paths_are_refused_before_anything_is_written() {
    let (folder, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let bundle = folder.path().join("site");
    let mut writer = create(&bundle).unwrap();
    let path = file(&source, "x");
    for (name, version) in [("../../kubelet", "v1"), ("kubelet", "/../../v1"), ("", "v1"), ("kubelet", "")] {
        let error = writer.add_file(name, version, &path, &Digest::of("x")).unwrap_err();
        assert!(matches!(error, BundleError::Unfit { .. }), "{error}");
    }
    assert_eq!(names(folder.path()), ["site"]);
    assert!(names(&bundle.join("files")).is_empty());
}

#[test]
fn an_image_must_be_where_and_what_was_said() {
    let folder = TempDir::new().unwrap();
    let mut writer = create(folder.path()).unwrap();
    let (name, id, digest) = (image("registry.lab/pause:1"), Digest::of("id"), Digest::of("archive"));
    let missing = writer.add_image(&name, &id, 7, &digest).unwrap_err();
    fs::write(writer.image_path(&name), "archive").unwrap();
    let other_size = writer.add_image(&name, &id, 8, &digest).unwrap_err();
    let untagged = writer.add_image(&image("registry.lab/pause"), &id, 7, &digest).unwrap_err();
    for error in [missing, other_size, untagged] {
        assert!(matches!(error, BundleError::Unfit { .. }), "{error}");
    }
    writer.add_image(&name, &id, 7, &digest).unwrap();
}

#[test]
fn images_whose_names_look_alike_have_files_of_their_own() {
    let folder = TempDir::new().unwrap();
    let mut writer = create(folder.path()).unwrap();
    let alike = ["registry.lab/a/b:1", "registry.lab/a_b:1", "registry.lab/a:b_1", "registry.lab/a_b:1"];
    alike.iter().for_each(|name| add_image(&mut writer, name));
    writer.finish().unwrap();
    let bundles = Bundles::open(&[folder.path().to_owned()]).unwrap();
    assert_eq!(bundles.items().count(), 3);
    bundles.items().for_each(|item| item.verify().unwrap());
}

#[test]
fn what_an_earlier_try_left_and_nobody_wants_any_more_is_taken_away() {
    let folder = TempDir::new().unwrap();
    let mut writer = create(folder.path()).unwrap();
    add_image(&mut writer, "registry.lab/kube-apiserver:v1.33.0");
    drop(writer);
    fs::write(folder.path().join("files/kubelet-v1.33.0.partial"), "half").unwrap();
    let mut writer = create(folder.path()).unwrap();
    add_image(&mut writer, "registry.lab/kube-apiserver:v1.34.1");
    writer.finish().unwrap();
    assert_eq!(names(&folder.path().join("images")), ["registry.lab_kube-apiserver_v1.34.1.tar"]);
    assert!(names(&folder.path().join("files")).is_empty());
    assert_eq!(names(folder.path()), ["files", "images", "index.json"]);
}

#[test]
fn the_index_is_the_same_whatever_order_items_came_in() {
    let index = |items: [&str; 2]| {
        let (folder, source) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut writer = create(folder.path()).unwrap();
        for name in items {
            writer.add_file(name, "v1", &file(&source, name), &Digest::of(name)).unwrap();
            add_image(&mut writer, &format!("registry.lab/{name}:1"));
        }
        writer.finish().unwrap();
        fs::read_to_string(folder.path().join("index.json")).unwrap()
    };
    let text = index(["kubelet", "cni-plugins"]);
    assert_eq!(text, index(["cni-plugins", "kubelet"]));
    let wanted = format!(
        r#"    {{"kind":"file","name":"cni-plugins","version":"v1","path":"files/cni-plugins-linux-amd64-v1.tgz","size":11,"sha256":"{}"}},"#,
        Digest::of("cni-plugins").hexadecimal()
    );
    assert!(text.lines().any(|line| line == wanted), "{text}");
}

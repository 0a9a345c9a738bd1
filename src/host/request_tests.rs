use std::collections::BTreeMap;
use std::io::Read as _;

use super::*;
use crate::base::{Digest, Secret};
use crate::host::{PreparedRestore, SnapshotRestore, SnapshotSave};
use crate::state::{Component, ImageIdentity, ImageReference, SnapshotName};

fn text(change: &Change) -> Result<String, Problem> {
    encode(Epoch(7), change).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn file(path: &str, content: Content) -> FileSpec {
    FileSpec { path: path.into(), component: Component::Base, owner: Owner { uid: 5, gid: 6 }, mode: 0o640, content }
}

fn write(files: Vec<FileSpec>) -> Change {
    Change::Write { directories: Vec::new(), files, links: Vec::new() }
}

#[test]
fn every_request_begins_with_the_epoch() {
    let packages = Change::InstallPackages(vec!["docker.io".into(), "socat".into()]);
    assert_eq!(text(&packages).unwrap(), "7\npackages\ndocker.io\nsocat\n");
    let account = Change::MakeUser { name: "etcd".into(), owner: Owner { uid: 52034, gid: 52035 } };
    assert_eq!(text(&account).unwrap(), "7\nuser\netcd\n52034\n52035\n");
    let settings = BTreeMap::from([("a.b".to_owned(), "1 2".to_owned())]);
    assert_eq!(text(&Change::SetSysctls(settings)).unwrap(), "7\nsysctls\na.b = 1 2\n");
    let name = |name: &str| vec![name.to_owned()];
    let units = Change::Units { enable: name("a.service"), start: name("b.service"), restart: name("c.service") };
    assert_eq!(text(&units).unwrap(), "7\nunits\nenable a.service\nstart b.service\nrestart c.service\n");
    assert_eq!(text(&Change::Remove(name("/etc/a b"))).unwrap(), "7\nremove\n/etc/a b\n");
}

#[test]
fn snapshots_are_asked_for_by_values_in_the_order_of_the_script() {
    let (name, id) = (SnapshotName::new("first").unwrap(), Digest::of("image"));
    let image = ImageIdentity { reference: ImageReference("registry.k8s.io/etcd:3.6.14-0".into()), id: id.clone() };
    let owner = Owner { uid: 52034, gid: 52035 };
    let save = SnapshotSave { name: name.clone(), image: image.clone(), owner, canary: "c0".into() };
    let wanted = format!("7\nsave_snapshot\nfirst\n{id}\n52034:52035\nc0\n");
    assert_eq!(text(&Change::SaveSnapshot(Box::new(save))).unwrap(), wanted);
    let restore = SnapshotRestore {
        name,
        size: 20_512,
        sha256: Digest::of("bytes"),
        image,
        owner,
        stamp: "run".into(),
        member: "h1".into(),
        peer_url: "https://10.0.0.1:2380".into(),
        initial_cluster: "h1=https://10.0.0.1:2380".into(),
        token: "lab-1".into(),
    };
    let digest = Digest::of("bytes");
    let wanted = format!(
        "7\nprepare_restore\nrun\nfirst\n{id}\n20512\n{}\n52034:52035\nh1\nhttps://10.0.0.1:2380\nh1=https://10.0.0.1:2380\nlab-1\n",
        digest.hexadecimal()
    );
    assert_eq!(text(&Change::PrepareRestore(Box::new(restore.clone()))).unwrap(), wanted);
    // A value that would be two, or an option.
    let forged = SnapshotRestore { token: "a\nb".into(), ..restore };
    assert!(text(&Change::PrepareRestore(Box::new(forged))).is_err());
    let prepared = PreparedRestore { stamp: "run".into(), owner };
    assert_eq!(text(&Change::RestoreSnapshot(prepared)).unwrap(), "7\nrestore_snapshot\nrun\n52034:52035\n");
    assert_eq!(text(&Change::DiscardRestore("run".into())).unwrap(), "7\ndiscard_restore\nrun\n");
}

#[test]
fn a_write_carries_modes_and_owners_in_an_archive_and_nothing_of_a_secret_before_it() {
    let secret = Content::Secret(Secret::new(b"the secret".to_vec()));
    let long = format!("/etc/kubernetes/{}/file", "x".repeat(150));
    let directories =
        vec![DirectorySpec { path: "/etc/x".into(), component: Component::Base, owner: Owner::ROOT, mode: 0o711 }];
    let links =
        vec![LinkSpec { path: "/etc/x/link".into(), component: Component::Base, target: "../some where".into() }];
    let files = vec![file("/etc/x/key", secret), file(&long, Content::Text("text".into()))];
    let bytes = encode(Epoch(7), &Change::Write { directories, files, links }).unwrap();
    let folders = format!("7\nput\n/etc/x\n{}\n\n", long.rsplit_once('/').unwrap().0);
    let (head, archive) = bytes.split_at(folders.len());
    assert_eq!(str::from_utf8(head).unwrap(), folders);
    let mut seen = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let path = entry.path().unwrap().display().to_string();
        let target = entry.link_name().unwrap().map(|target| target.display().to_string()).unwrap_or_default();
        let header = entry.header();
        seen.push((path, header.uid().unwrap(), header.mode().unwrap(), content + &target));
    }
    let entry = |path: &str, uid, mode, content: &str| (path.to_owned(), uid, mode, content.to_owned());
    let folder = long.trim_start_matches('/').trim_end_matches("/file");
    let wanted = [
        entry("etc/x", 0, 0o711, ""),
        entry("etc/x/.provision-new", 0, 0o700, ""),
        entry(&format!("{folder}/.provision-new"), 0, 0o700, ""),
        entry("etc/x/.provision-new/key", 5, 0o640, "the secret"),
        entry(&format!("{folder}/.provision-new/file"), 5, 0o640, "text"),
        entry("etc/x/.provision-new/link", 0, 0o777, "../some where"),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn what_is_no_plain_value_is_refused() {
    let payload = Content::Payload { digest: Digest::of("x"), size: 1 };
    let empty = || Content::Text(String::new());
    let refused = [
        write(vec![file("/etc/large", payload)]),
        write(vec![file("/etc/.hidden", empty())]),
        write(vec![file("/in-root", empty())]),
        write(vec![file("/etc/a/../b", empty())]),
        write(vec![file("/etc/a\n/etc/b", empty())]),
        write(vec![file("etc/a", empty())]),
        Change::Remove(vec!["/".into()]),
        Change::Remove(vec!["/etc//a".into()]),
        Change::InstallPackages(vec!["-y".into()]),
        Change::InstallPackages(vec![String::new()]),
        Change::Units { enable: vec!["a\nstart b".into()], start: Vec::new(), restart: Vec::new() },
        Change::StartContainer("etcd".into()),
    ];
    for change in refused {
        assert!(text(&change).is_err(), "{change:?}");
    }
}

#[test]
fn messages_name_what_was_done() {
    let change =
        write(vec![file("/etc/a", Content::Text(String::new())), file("/etc/b", Content::Text(String::new()))]);
    assert_eq!(describe(&change), "writing /etc/a and 1 more");
    let payload =
        super::super::Transfer { source: super::super::Payload::Bytes(Bytes::new()), size: 0, digest: Digest::of("") };
    let reference = ImageReference("a:1".into());
    let load = Change::LoadImage { store: ImageStore::Containerd, reference, id: None, payload };
    assert_eq!(describe(&load), "loading a:1 into containerd");
    assert_eq!(text(&load).unwrap(), "7\nimport\na:1\n");
}

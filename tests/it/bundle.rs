//! What unpacking a bundle's programs costs.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use provision::base::Digest;
use provision::bundle::Bundles;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::alone::{self, Peak};

const PROGRAM_BYTES: usize = 64 << 20;
/// Buffers, gzip's window, and what the allocator keeps.
const MOST_BYTES: u64 = 8 << 20;

/// The peak belongs to a whole process.
#[test]
fn unpacking_takes_little_memory_however_large_the_programs_are() {
    if !alone::is_alone() {
        return alone::run("bundle::unpacking_takes_little_memory_however_large_the_programs_are");
    }
    let folder = tempfile::TempDir::new().unwrap();
    write_bundle(folder.path());
    let peak = Peak::begin();
    let bundles = Bundles::open(&[folder.path().to_owned()]).unwrap();
    let programs = bundles.cni_plugins("v1").unwrap();
    assert_eq!(programs[0].size, PROGRAM_BYTES as u64);
    assert!(peak.bytes() < MOST_BYTES, "{} MiB", peak.bytes() >> 20);
}

/// A bundle whose archive is as large as what is in it.
fn write_bundle(folder: &Path) {
    let path = folder.join("cni.tgz");
    let mut archive = GzEncoder::new(File::create(&path).unwrap(), Compression::none());
    let mut header = tar::Header::new_ustar();
    header.set_path("bridge").unwrap();
    header.set_mode(0o755);
    header.set_size(PROGRAM_BYTES as u64);
    header.set_cksum();
    archive.write_all(header.as_bytes()).unwrap();
    let piece = [7; 1 << 16];
    (0..PROGRAM_BYTES / piece.len()).for_each(|_| archive.write_all(&piece).unwrap());
    archive.write_all(&[0; 1024]).unwrap();
    archive.finish().unwrap();
    let mut hash = Sha256::new();
    let size = std::io::copy(&mut File::open(&path).unwrap(), &mut hash).unwrap();
    let sha256 = Digest::from_hash(hash.finalize().into());
    let item = json!({
        "kind": "file", "name": "cni-plugins", "version": "v1", "path": "cni.tgz", "size": size, "sha256": sha256
    });
    let index = json!({ "format": 1, "architecture": "amd64", "items": [item] });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

//! Unpacking an archive of programs in memory.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::GzDecoder;

use super::BundleError;
use super::item::Item;
use crate::base::Digest;

/// The published CNI archives hold 20 programs in 110 MB; more than this is not one of them.
const LARGEST_TOTAL: u64 = 512 * 1024 * 1024;
const MOST_ENTRIES: usize = 100;

/// A file out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedFile {
    /// Its name, without folders.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// SHA-256 of them.
    pub digest: Digest,
}

/// Takes the programs (files with an executable bit) out of a gzip-compressed tar archive, in order of name.
pub(super) fn unpack(item: &Item) -> Result<Vec<UnpackedFile>, BundleError> {
    let compressed = std::fs::read(&item.path).map_err(|source| item.unreadable(source))?;
    item.expect(Digest::of(&compressed))?;
    let bounded = GzDecoder::new(compressed.as_slice()).take(LARGEST_TOTAL + 1);
    let mut programs = programs(bounded).map_err(|error| wrong(item, &error))?;
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(twice) = programs.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(wrong(item, &format!("`{}` is in it twice", twice[0].name)));
    }
    Ok(programs)
}

fn programs(reader: impl Read) -> io::Result<Vec<UnpackedFile>> {
    let (mut programs, mut total) = (Vec::new(), 0);
    for (count, entry) in tar::Archive::new(reader).entries()?.enumerate() {
        let mut entry = entry?;
        total += entry.header().entry_size()?;
        if count >= MOST_ENTRIES || total > LARGEST_TOTAL {
            return Err(io::Error::other(format!("more than {MOST_ENTRIES} files or {LARGEST_TOTAL} bytes")));
        }
        match entry.header().entry_type() {
            tar::EntryType::Directory => {}
            tar::EntryType::Regular if entry.header().mode()? & 0o111 == 0 => {}
            tar::EntryType::Regular => programs.push(program(&mut entry)?),
            other => return Err(io::Error::other(format!("`{}` is a {other:?}", entry.path()?.display()))),
        }
    }
    Ok(programs)
}

fn program(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<UnpackedFile> {
    let name = plain_name(&entry.path()?)?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(UnpackedFile { name, digest: Digest::of(&bytes), bytes: bytes.into() })
}

/// `./bridge` and `bridge` are names; everything deeper or elsewhere is not.
fn plain_name(path: &std::path::Path) -> io::Result<String> {
    let inner = path.strip_prefix(".").unwrap_or(path);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = inner.to_str().filter(|name| !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed));
    name.map(str::to_owned).ok_or_else(|| io::Error::other(format!("`{}` is not a plain name", path.display())))
}

fn wrong(item: &Item, reason: &impl ToString) -> BundleError {
    BundleError::Archive { item: item.to_string(), path: item.path.clone(), reason: reason.to_string() }
}

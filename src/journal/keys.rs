//! Key material: the one part of the state that cannot be made again.
//!
//! Each call that stores material writes one file, `keys/0001.json`, `keys/0002.json`, …, that holds all entries of the call;
//! later files win. So a certificate and its key, and an authority and what it signed, are stored together or not
//! at all, for the price of one sync however many nodes there are; and what a later run replaced can still be found. A pair of
//! files for each certificate was rejected: a crash between the two leaves a pair that does not match.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::JournalError;
use super::disk::Disk;
use super::durable::{FORMAT, damaged, failed, list_optional, parse_json, to_json};
use crate::base::{RunId, Secret};

/// Key material by name, such as `node/h1/kubelet-client`.
pub type Material = BTreeMap<String, StoredKey>;

/// A certificate, a key, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredKey {
    /// PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The private part; written as base64, because not every key is text.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "encode", deserialize_with = "decode")]
    pub key: Option<Secret>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: u32,
    run: RunId,
    entries: Material,
}

/// All material, and the number of the last file that it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeyFiles {
    pub(super) material: Material,
    pub(super) last: u32,
}

/// Reads every file of the folder; a gap in their numbers is damage.
pub(super) fn read_keys(disk: &dyn Disk, folder: &Path) -> Result<KeyFiles, JournalError> {
    let mut keys = KeyFiles::default();
    let mut numbers: Vec<u32> = list_optional(disk, folder)?.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    for number in numbers {
        keys.last += 1;
        let path = folder.join(file_name(keys.last));
        if number != keys.last {
            return Err(damaged(&path, &"it is missing, and later ones are there"));
        }
        let bytes = Zeroizing::new(disk.read(&path).map_err(failed("reading", &path))?);
        keys.material.extend(parse_json::<KeyFile>(&path, &bytes)?.entries);
    }
    Ok(keys)
}

/// Renders one file.
pub(super) fn render_keys(path: &Path, run: &RunId, entries: Material) -> Result<Zeroizing<Vec<u8>>, JournalError> {
    to_json(path, &KeyFile { format: FORMAT, run: run.clone(), entries }).map(Zeroizing::new)
}

pub(super) fn file_name(number: u32) -> String {
    format!("{number:04}.json")
}

fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".json")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn encode<S: Serializer>(key: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = key.as_ref().map(|key| Zeroizing::new(STANDARD.encode(key.expose())));
    text.as_deref().serialize(serializer)
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.map(Zeroizing::new) else { return Ok(None) };
    // The decoder's own words could quote a byte of the key.
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("a key is not base64"))?;
    Ok(Some(Secret::new(bytes)))
}

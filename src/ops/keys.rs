//! Between the state folder's stored keys and the words of `pki`.

use crate::journal::{self, State, StoredKey};
use crate::pki::{Material, MaterialEntry, MaterialName};

/// Stored keys as `pki` speaks of them. Names that this version does not know are left where they are.
pub(super) fn material(state: &State) -> Material {
    let entry = |(name, stored): (&String, &StoredKey)| {
        let name = MaterialName::parse(name).ok()?;
        let key = stored.key.clone()?;
        Some((name, MaterialEntry { certificate: stored.certificate.clone(), key }))
    };
    state.material().iter().filter_map(entry).collect()
}

/// `pki`'s material as the state folder stores it.
pub(super) fn stored(material: &Material) -> journal::Material {
    let entry = |(name, entry): (&MaterialName, &MaterialEntry)| {
        let stored = StoredKey { certificate: entry.certificate.clone(), key: Some(entry.key.clone()) };
        (name.as_str().to_owned(), stored)
    };
    material.iter().map(entry).collect()
}

//! Where the bytes that hosts get come from: today bundles, folders with an index that replace every download.
//!
//! Whoever asks knows only [`Item`]s and how to look them up, so that another source can stand behind the same questions.
//! Who gives a bundle vouches for it: its index says what each item is, and every byte is checked against the index
//! before a host uses it.

mod archive;
mod bundles;
mod error;
mod index;
mod item;
#[cfg(test)]
mod tests;
mod writer;
#[cfg(test)]
mod writer_tests;

pub use archive::UnpackedFile;
pub use bundles::{Bundles, CNI_PLUGINS};
pub use error::BundleError;
pub use item::{Item, ItemKind, ItemSource};
pub use writer::BundleWriter;

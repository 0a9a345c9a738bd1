//! What a registry is asked for, with the words for what can go wrong on the way.

use super::RegistryError;
use super::image_name::ImageName;
use crate::state::ImageReference;

/// One thing that a registry is asked for.
pub(super) struct Question<'a> {
    /// For which image.
    pub image: &'a ImageReference,
    /// Its name in parts.
    pub name: &'a ImageName,
    /// What is asked for, for people: `tag 3.10`, `layer sha256:...`.
    pub what: String,
    /// Path below the repository.
    pub path: String,
    /// Media types that are understood, with commas between them.
    pub accept: &'static str,
}

impl Question<'_> {
    pub fn image(&self) -> ImageReference {
        self.image.clone()
    }

    pub fn registry(&self) -> String {
        self.name.registry.clone()
    }

    pub fn unreachable(&self, reason: impl ToString) -> RegistryError {
        let (image, registry) = (self.image(), self.registry());
        RegistryError::Unreachable { image, registry, reason: reason.to_string() }
    }

    pub fn unexpected(&self, reason: impl ToString) -> RegistryError {
        let (image, registry) = (self.image(), self.registry());
        RegistryError::Unexpected { image, registry, reason: reason.to_string() }
    }

    pub fn unsupported(&self, reason: impl ToString) -> RegistryError {
        let (image, registry) = (self.image(), self.registry());
        RegistryError::Unsupported { image, registry, reason: reason.to_string() }
    }

    pub fn web_page(&self, reason: impl ToString) -> RegistryError {
        let (image, registry) = (self.image(), self.registry());
        RegistryError::WebPage { image, registry, reason: reason.to_string() }
    }

    /// The thing is not what its digest or size says.
    pub fn content(&self, difference: &str) -> RegistryError {
        let (image, registry, reason) = (self.image(), self.registry(), format!("{} {difference}", self.what));
        RegistryError::Content { image, registry, reason }
    }
}

//! Container registries as this machine sees them: what a tag means now, and images written to archives.
//!
//! A small client of the distribution API of our own over a common HTTP client: the ready-made one
//! does not show how long a busy registry asks to wait, and does not tell the refusals apart that an operator must tell apart.

mod answer;
mod archive;
mod attempt;
mod authorization;
mod client;
mod error;
mod image_name;
mod layer;
mod manifest;
mod question;
mod registries;
mod resolved_image;
mod save;
mod settings;
mod tls;
mod transport;

pub use archive::SavedArchive;
pub use error::RegistryError;
pub use registries::Registries;
pub use resolved_image::{Layer, ResolvedImage};
pub use settings::{RegistryAccess, RegistrySettings};

//! Values that every other module speaks in: names, versions, digests, secrets.

mod digest;
mod names;
mod secret;
mod version;

pub use digest::Digest;
pub use names::{Epoch, InvalidName, NodeName, RunId, StepId};
pub use secret::Secret;
pub use version::{InvalidVersion, KubernetesVersion, Minor};

//! The Kubernetes API, reached through a host.
//!
//! [`ReadApi`] cannot change anything; [`KubeApi`] adds the few writes that the tool makes. Both ask once and report:
//! waiting and asking again belong to the engine. Objects are plain JSON: the tool writes what it rendered and compares
//! it field by field, so typed objects of one minor would only drop what another minor has.

mod collection;
mod cordon;
mod discovery;
mod error;
mod eviction;
mod node;
mod paths;
mod pods;
mod read;
mod write;

pub use collection::Collection;
pub use cordon::{CORDONED_ANNOTATION, has_stale_note, is_cordoned_by_us};
pub use error::{KubeApiError, RefusalReason};
pub use eviction::{Eviction, EvictionAnswer};
pub use node::merge_taints;
pub use pods::{PodTrouble, waits_for_images};
pub use read::{ReadApi, Readiness};
pub use write::KubeApi;

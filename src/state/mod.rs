//! The words that *desired* and *observed* share, so that both can be compared value by value.
//!
//! Nothing here says whether a thing is wanted or was seen: that is the type around it
//! ([`crate::desired::Desired`] or [`Observed`]).

mod component;
mod container;
mod etcd_snapshot;
mod file;
mod image;
mod inventory;
mod object;
mod observed;
mod resident;
mod resource;
mod stored_object;

pub use component::Component;
pub use container::{Capability, ContainerSpec, Mount, ObservedContainer};
pub use etcd_snapshot::{
    BEFORE_ROLLBACK, BEFORE_UPGRADE, Fingerprints, InvalidSnapshotName, SNAPSHOT_FOLDER, SnapshotCluster,
    SnapshotFacts, SnapshotName, SnapshotRecord, Taken, etcd_minor,
};
pub use file::{Content, DirectorySpec, FileSpec, LinkSpec, ObservedEntry, Owner};
pub use image::{ImageIdentity, ImageReference, ImageStore};
pub use inventory::{Inventory, InventoryEntry};
pub use object::{Deletion, FIELD_MANAGER, Object, ObjectKey};
pub use observed::{
    CgroupDriver, DockerFacts, HostFacts, HostSnapshot, Listener, Observed, ObservedApi, ObservedEtcdMember,
    ObservedHost, ObservedSwap, ObservedUnit, OperatingSystem,
};
pub use resident::Resident;
pub use resource::{Resource, ResourceKind};
pub use stored_object::StoredObject;

//! The closed list of changes that can be made to a host.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

#[cfg(doc)]
use super::HostError;
use super::{PreparedRestore, SnapshotCheck, SnapshotRestore, SnapshotSave, Swap};
use crate::base::{Digest, Secret};
use crate::state::{ContainerSpec, DirectorySpec, FileSpec, ImageReference, ImageStore, LinkSpec, Owner};

/// One change of a host.
#[derive(Debug, Clone)]
pub enum Change {
    /// Installs packages of the distribution without asking.
    InstallPackages(Vec<String>),
    /// Makes a system group and user.
    MakeUser {
        /// User and group name.
        name: String,
        /// Numbers.
        owner: Owner,
    },
    /// Makes directories, then writes files (each new, synced, renamed, its mode from the first moment), then links.
    /// Files with [`crate::state::Content::Payload`] are refused here: [`Change::Send`] is for them.
    Write {
        /// Parents before children.
        directories: Vec<DirectorySpec>,
        /// Small files.
        files: Vec<FileSpec>,
        /// Links.
        links: Vec<LinkSpec>,
    },
    /// Streams a large file to its place: temporary file beside it, digest checked on the host, synced, renamed.
    Send {
        /// Where it goes.
        path: String,
        /// Owner and group.
        owner: Owner,
        /// Permission bits.
        mode: u32,
        /// What is sent.
        payload: Transfer,
    },
    /// Streams an image archive into a store; afterwards the store must know the name, and Docker the id.
    LoadImage {
        /// Which store.
        store: ImageStore,
        /// Name that the archive carries.
        reference: ImageReference,
        /// Id that the store must report, where it is known.
        id: Option<Digest>,
        /// What is sent.
        payload: Transfer,
    },
    /// Lets the host's engine pull an image from its registry; afterwards the store must know the name with this id.
    PullImage(Box<Pull>),
    /// Loads kernel modules.
    LoadModules(Vec<String>),
    /// Sets sysctls now.
    SetSysctls(BTreeMap<String, String>),
    /// Makes a container, not started. One of the same name and the same label is kept.
    CreateContainer(Box<ContainerSpec>),
    /// Starts a container.
    StartContainer(String),
    /// Stops a container, within its own stop time-out.
    StopContainer(String),
    /// Removes a container that does not run.
    RemoveContainer(String),
    /// Reads unit files again, enables units, and starts or restarts them.
    Units {
        /// Units to enable at boot.
        enable: Vec<String>,
        /// Units to start if they do not run.
        start: Vec<String>,
        /// Units to restart.
        restart: Vec<String>,
    },
    /// Removes files and links; never a directory.
    Remove(Vec<String>),
    /// Replaces one running component. The host carries it out by itself: a connection that breaks changes nothing, and
    /// [`HostError::Reverted`] tells that the old one is back.
    Swap(Box<Swap>),
    /// Ends what an interrupted swap of the component of this name has left, forwards where the new one was proven.
    Settle(String),
    /// Stops a container so that no reboot starts it again. One that is not there is no error.
    SuspendContainer(String),
    /// Starts a container, and lets reboots start it again.
    ResumeContainer(String),
    /// Takes a snapshot of etcd; what etcd has told of it stands in its file of facts then.
    SaveSnapshot(Box<SnapshotSave>),
    /// Verifies a snapshot of etcd; one that is not what it must be is a refusal. Leaves nothing behind.
    VerifySnapshot(Box<SnapshotCheck>),
    /// Makes the data of a snapshot beside that of an etcd member, which may run. What is there already is left as it is, and
    /// what given up restores have left goes.
    PrepareRestore(Box<SnapshotRestore>),
    /// Puts that data in the place of the member's, whose container must not run; the old data is kept under another name.
    RestoreSnapshot(PreparedRestore),
    /// Takes away what was prepared for the restore of this stamp. Refused where it has begun to move the member's data.
    DiscardRestore(String),
}

impl Change {
    /// Whether what runs on the host is stopped, started or replaced by it.
    pub fn touches_what_runs(&self) -> bool {
        match self {
            Self::Swap(_) | Self::Settle(_) | Self::RestoreSnapshot(_) => true,
            Self::StartContainer(_) | Self::StopContainer(_) | Self::RemoveContainer(_) => true,
            Self::SuspendContainer(_) | Self::ResumeContainer(_) => true,
            Self::Units { restart, .. } => !restart.is_empty(),
            _ => false,
        }
    }
}

/// An image to be pulled by a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Which store.
    pub store: ImageStore,
    /// Its name in the store. Docker pulls from where the name says, containerd from where its host files say.
    pub reference: ImageReference,
    /// Id that the store must report.
    pub id: Digest,
    /// Digest of what the registry has under the tag: Docker pulls by it, so that a tag that moves in the meantime makes no
    /// difference.
    pub manifest: Digest,
    /// Bytes that are pulled at most.
    pub size: u64,
    /// As whom.
    pub login: Option<RegistryLogin>,
    /// Seconds of silence of the registry after which the engine is given up.
    pub timeout_seconds: u64,
}

/// User and password at a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// Bytes on their way to a host, with what they must be.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Where they come from.
    pub source: Payload,
    /// Number of bytes.
    pub size: u64,
    /// SHA-256 of all bytes.
    pub digest: Digest,
}

/// Where bytes to be sent come from.
#[derive(Debug, Clone)]
pub enum Payload {
    /// A file on this machine.
    File(PathBuf),
    /// The bytes of an open file from an offset on, as many as the transfer says. The file need not have a name any more.
    Part {
        /// What they are, for messages.
        name: String,
        /// The open file. Its position is left alone: any number of transfers may read at once.
        file: Arc<File>,
        /// Where the first byte lies.
        offset: u64,
    },
    /// Bytes in memory.
    Bytes(Bytes),
}

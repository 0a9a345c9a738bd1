//! What can go wrong with the state folder.

use std::path::PathBuf;

use super::lock::Holder;

/// A failure of the state folder. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused.
    #[error("{operation} {path}: {source}", path = path.display())]
    Disk {
        /// What was being done, in its -ing form.
        operation: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file of the state is not what the tool writes. Nothing may be done on the grounds of such a state.
    #[error(
        "{path} is damaged: {reason}; put the state folder back from a copy (nothing was changed)",
        path = path.display()
    )]
    Damaged {
        /// File or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The state was written by a newer tool.
    #[error(
        "{path} has format {found}, and this provision knows formats up to {known}: use the provision that wrote it, or a newer one",
        path = path.display()
    )]
    NewerFormat {
        /// File.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format known.
        known: u32,
    },
    /// Another run of this machine works with the folder.
    #[error(
        "{path} is in use by {holder}: wait for that run to end, or end it; the lock goes with its process",
        path = path.display()
    )]
    Held {
        /// The state folder.
        path: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// A generation was to be completed or changed that is not the one at work.
    #[error("{path}: there is no such generation at work; this is a fault of provision", path = path.display())]
    NotAimed {
        /// The generation's folder or its file.
        path: PathBuf,
    },
}

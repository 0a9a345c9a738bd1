//! What can go wrong with the catalog.

use crate::base::{KubernetesVersion, Minor};

/// A failure over the catalog or a text laid over it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The text is not YAML.
    #[error("{origin} does not parse: {reason}")]
    Syntax {
        /// Which catalog.
        origin: &'static str,
        /// The parser's words, with line and column.
        reason: String,
    },
    /// A row lacks something, or has something unknown.
    #[error("{origin}, row {row}: {reason}")]
    Row {
        /// Which catalog.
        origin: &'static str,
        /// The row's key as written.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of Calico lacks something, or has something unknown.
    #[error("{origin}, Calico {line}: {reason}")]
    CanalLine {
        /// Which catalog.
        origin: &'static str,
        /// The line's key as written.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No row for this version.
    #[error("Kubernetes {version} is not in the catalog; the nearest version is {nearest}")]
    UnknownMinor {
        /// What was asked for.
        version: KubernetesVersion,
        /// The default patch of the nearest minor.
        nearest: KubernetesVersion,
    },
    /// The catalog has no row at all.
    #[error("the catalog has no row: Kubernetes {0} cannot be installed")]
    Empty(Minor),
}

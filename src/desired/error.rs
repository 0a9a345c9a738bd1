//! What can go wrong while the wanted state is rendered.

use crate::base::NodeName;

/// A failure of rendering. Only [`DesiredError::Missing`] is the operator's to mend: the rules of `cluster.yml` let
/// nothing through that could lead to one of the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// Nobody could tell which bytes these are.
    #[error("not in a bundle and on no host: {}; give a bundle that holds them: --bundle PATH (see docs/bundle.md)", .items.join(", "))]
    Missing {
        /// Images and files by name, all of them.
        items: Vec<String>,
    },
    /// A node has no certificate for a role that it holds.
    #[error("{node} has no {what}")]
    NoIdentity {
        /// The node.
        node: NodeName,
        /// Which certificates.
        what: &'static str,
    },
    /// A value that cannot be written as YAML.
    #[error("{path} cannot be written: {reason}")]
    Yaml {
        /// The file.
        path: String,
        /// The writer's words.
        reason: String,
    },
    /// A template of ours does not fit its values, or what it gives is no object.
    #[error("template {template}: {reason}")]
    Template {
        /// Path below `templates/`.
        template: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A value cannot stand in a text that knows no quoting.
    #[error("{value:?} cannot be written into template {template}")]
    Unwritable {
        /// Path below `templates/`.
        template: &'static str,
        /// The value.
        value: String,
    },
}

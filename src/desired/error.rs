//! What can go wrong while the wanted state is rendered.

/// A failure of rendering. None is the operator's fault: the rules of `cluster.yml` let nothing through that could lead
/// to one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
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

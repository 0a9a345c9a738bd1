//! Why an operation did not end as asked.

use std::path::PathBuf;

use crate::base::StepId;
use crate::plan::{MissingImage, Plan, PreflightFinding};

/// What stopped an operation. The edge turns it into text, hint and exit code.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// `cluster.yml`, the catalog or their values are wrong; already rendered with positions.
    #[error("{0}")]
    Input(String),
    /// A file on this machine could not be used.
    #[error("{operation} {}: {source}", path.display())]
    LocalFile {
        /// What was being done.
        operation: &'static str,
        /// File.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A bundle is wrong.
    #[error(transparent)]
    Bundle(#[from] crate::bundle::BundleError),
    /// Registries or sites do not give what is needed; each text names what, where, why and what to do.
    #[error("{}", .0.join("\n"))]
    Supply(Vec<String>),
    /// The state folder is damaged, held by another run, or cannot be written.
    #[error(transparent)]
    State(#[from] crate::journal::JournalError),
    /// Keys are lost, damaged, or do not belong together.
    #[error(transparent)]
    Keys(#[from] crate::pki::PkiError),
    /// Pre-flight found what makes a run impossible.
    #[error("{}", lines(.0))]
    Preflight(Vec<PreflightFinding>),
    /// The plan holds changes that are refused.
    #[error("{0}")]
    Refused(Box<Plan>),
    /// The wanted state cannot be rendered.
    #[error(transparent)]
    Desired(#[from] crate::desired::DesiredError),
    /// etcd or the API did not answer as needed.
    #[error(transparent)]
    Endpoint(#[from] crate::endpoints::EndpointError),
    /// The network could not be checked.
    #[error(transparent)]
    Check(#[from] super::CheckError),
    /// A snapshot of etcd could not be taken, found or used.
    #[error(transparent)]
    Snapshot(#[from] super::SnapshotError),
    /// The operator said no.
    #[error("nothing was changed")]
    Declined,
    /// The operator stopped the run.
    #[error("stopped; what was done stays")]
    Cancelled,
    /// All was done, and pods wait for images that nobody has.
    #[error("all is done but that pods wait for images:{}", waiting(.0))]
    MissingImages(Vec<MissingImage>),
    /// Steps failed.
    #[error("{} of the steps failed:{}", failed.len(), steps(failed))]
    Incomplete {
        /// Steps with their errors.
        failed: Vec<(StepId, String)>,
    },
}

impl OperationError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Incomplete { .. } => {
                Some("mend what is named above, then run `provision up` again: it goes on where it stopped")
            }
            Self::Cancelled => Some("the same command goes on where it stopped"),
            Self::Preflight(_) => Some("nothing was changed on any host; mend the findings and run the command again"),
            Self::Supply(_) => {
                Some("nothing was changed on any host; mend the findings, or give a bundle: --bundle PATH")
            }
            Self::MissingImages(_) => {
                Some("give them in a bundle (--bundle PATH) or in a registry, and run `provision up` again")
            }
            Self::Refused(_) => Some("nothing was changed on any host"),
            Self::State(_) | Self::Keys(_) => {
                Some("nothing was changed on any host; put the state folder back from a copy, see docs/state.md")
            }
            Self::Check(error) => error.hint(),
            Self::Snapshot(error) => error.hint(),
            _ => None,
        }
    }
}

fn lines(findings: &[PreflightFinding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn waiting(images: &[MissingImage]) -> String {
    images.iter().map(|image| format!("\n  {image}")).collect()
}

/// One line each: the first one of an error says it all in short.
fn steps(failed: &[(StepId, String)]) -> String {
    let first = |error: &str| error.lines().next().unwrap_or_default().to_owned();
    failed.iter().map(|(id, error)| format!("\n  {id}: {}", first(error))).collect()
}

//! Why the network could not be checked.

use std::time::Duration;

use crate::state::ImageReference;

/// What kept a check from its end. What the check finds out about the network is none of these.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The state folder knows of no cluster.
    #[error("no cluster has been brought up with this cluster.yml yet")]
    NoCluster,
    /// No node can be tested.
    #[error("no node can be tested: {}", .0.join("; "))]
    NoNode(Vec<String>),
    /// The test pods' image is not on these nodes and cannot be pulled there.
    #[error("the image of the test pods, {image}, is missing: {}", reasons.join("; "))]
    NoImage {
        /// Its name.
        image: ImageReference,
        /// Nodes, each with the runtime's words.
        reasons: Vec<String>,
    },
    /// The image of a bundle could not be sent to hosts.
    #[error("the image of the test pods could not be loaded: {}", .0.join("; "))]
    NotLoaded(Vec<String>),
    /// The check did not end in its time.
    #[error("the check was not over after {} s; it was {waiting}", limit.as_secs())]
    TimedOut {
        /// `--timeout`.
        limit: Duration,
        /// What it was doing, with a verb in its -ing form.
        waiting: String,
    },
    /// Its sign of life could not be written: another check would take its objects away.
    #[error("the check lost its namespace: {0}")]
    Lost(String),
    /// The operator stopped it.
    #[error("stopped; the objects of the check were removed")]
    Stopped,
    /// The operator stopped it twice.
    #[error("stopped; namespace {0} is left, and the next check removes it")]
    Abandoned(String),
}

impl CheckError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCluster => Some("`provision up` brings it up"),
            Self::NoNode(_) => Some("`provision status` shows nodes and components"),
            Self::NoImage { .. } => Some(
                "name it as your registry has it (--image NAME, or `system_images.network_check` in cluster.yml), or give \
                 a bundle that holds it (--bundle FOLDER; `provision bundle create --network-check` makes one)",
            ),
            Self::TimedOut { .. } => Some("give more time: --timeout SECONDS"),
            Self::NotLoaded(_) | Self::Lost(_) | Self::Stopped | Self::Abandoned(_) => None,
        }
    }
}

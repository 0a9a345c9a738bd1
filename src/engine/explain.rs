//! Why something of an add-on did not get ready, in the words of its pods.

use std::fmt;

use crate::kubeapi::PodTrouble;
use crate::plan::Condition;
use crate::state::ObjectKey;

use super::Context;

/// What an add-on brings and that did not get ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// The add-on.
    pub addon: String,
    /// How long was waited, in seconds; none where waiting longer is of no use.
    pub seconds: Option<u64>,
    /// The last reason.
    pub reason: String,
    /// What its pods say.
    pub troubles: Vec<PodTrouble>,
}

impl std::error::Error for NotReady {}

/// The first line says it all in short; each of the others is one reason more.
impl fmt::Display for NotReady {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "add-on {} is not ready", self.addon)?;
        if let Some(seconds) = self.seconds {
            write!(formatter, " after {seconds} s")?;
        }
        write!(formatter, ": {}", self.reason)?;
        let mut lines = self.troubles.iter().flat_map(|trouble| {
            let place = trouble.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
            trouble.reasons.iter().map(move |reason| format!("{}{place}: {reason}", trouble.of))
        });
        if let Some(first) = lines.next() {
            write!(formatter, "; {first}")?;
        }
        for line in lines {
            write!(formatter, "\n{line}")?;
        }
        Ok(())
    }
}

impl NotReady {
    /// Last lines of containers that ended, each with its pod's name.
    pub fn log(&self) -> Vec<String> {
        let line = |trouble: &PodTrouble| {
            let of = trouble.of.clone();
            trouble.log.iter().map(move |line| format!("{of}: {line}")).collect::<Vec<_>>()
        };
        self.troubles.iter().flat_map(line).collect()
    }
}

/// The add-on behind a condition, and what its pods say; none where it is no add-on's.
pub(super) async fn explain(
    condition: &Condition,
    seconds: Option<u64>,
    reason: String,
    context: &Context<'_>,
) -> Option<NotReady> {
    let not_ready = |addon: &str, troubles| NotReady { addon: addon.to_owned(), seconds, reason, troubles };
    match condition {
        Condition::WorkloadReady { addon, key } | Condition::OnlyImagesMissing { addon, key, .. } => {
            let troubles = troubles(std::slice::from_ref(key), context).await;
            Some(not_ready(addon, troubles))
        }
        Condition::NodeReady { node, network } if !network.is_empty() => {
            let mut troubles = troubles(network, context).await;
            troubles.retain(|trouble| trouble.node.as_ref().is_none_or(|at| at == node.as_str()));
            // A plugin whose pods run is not to blame.
            (!troubles.is_empty()).then(|| not_ready(crate::desired::NETWORK, troubles))
        }
        Condition::Established { addon, .. } | Condition::ServiceAvailable { addon, .. } => {
            Some(not_ready(addon, Vec::new()))
        }
        _ => None,
    }
}

/// What cannot be found out is left out: the reason alone is said then.
async fn troubles(keys: &[ObjectKey], context: &Context<'_>) -> Vec<PodTrouble> {
    let endpoints = &context.world.endpoints;
    let live = endpoints.read(keys).await.unwrap_or_default();
    let asked = live.values().map(|workload| endpoints.troubles(workload));
    futures::future::join_all(asked).await.into_iter().filter_map(Result::ok).flatten().collect()
}

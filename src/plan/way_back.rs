//! What a rollback to an older minor loses: told where the older one only does less, refused where it would do something
//! else than is asked for. With a snapshot etcd holds nothing of that.

use crate::crossing::WayBack;
use crate::state::ObservedApi;

use super::{Input, Plan, Refusal};

/// What can be done about a refusal of this kind.
const HINT: &str = "change or delete them, or go back with the snapshot of etcd that was taken before the upgrade: provision \
                    rollback --restore-snapshot";

/// Warns of what is lost, and refuses what cannot be taken back while the cluster runs.
pub(super) fn add(input: &Input<'_>, plan: &mut Plan) {
    let Some(back) = input.way_back.filter(|_| input.restoration.is_none()) else { return };
    for loss in &back.losses {
        let text = format!("{}: {}", loss.what, loss.meaning);
        if loss.refused {
            plan.refusals.push(refusal(back, text, loss.objects.clone()));
        } else {
            let names = loss.objects.join(", ");
            plan.warnings.push(format!("Kubernetes {} does not go by {text}: {names}", back.to));
        }
    }
    if back.to_policies && matches!(input.observed.api, ObservedApi::Unreachable(_)) {
        let text = "no apiserver answers, so that our labels for Pod Security admission stay on the namespaces; they bind beside \
                    PodSecurityPolicy: docs/upgrade-report.md";
        plan.warnings.push(text.into());
    }
    if !back.unread.is_empty() {
        let reason = format!(
            "what Kubernetes {} has stored is not known, and {} may not be able to read it",
            back.from, back.to
        );
        plan.refusals.push(refusal(back, reason, back.unread.clone()));
    }
}

fn refusal(back: &WayBack, reason: String, details: Vec<String>) -> Refusal {
    let subject = format!("back to Kubernetes {}", back.to);
    Refusal { host: None, subject, reason, hint: HINT.into(), details }
}

impl Plan {
    /// Whether something is refused that a snapshot of etcd helps over.
    pub fn needs_snapshot(&self) -> bool {
        self.refusals.iter().any(|refusal| refusal.hint == HINT)
    }
}

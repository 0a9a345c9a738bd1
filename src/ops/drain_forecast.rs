//! What the drains of a plan will do, read from the API once it is known that there are any.

use futures::future::join_all;

use crate::endpoints::ReadEndpoints;
use crate::plan::{self, Action, DrainInput, Plan, Step};

/// Writes below each drain of the plan what it will do to which pods. What cannot be read is said there.
pub(super) async fn foretell(plan: &mut Plan, endpoints: &dyn ReadEndpoints) {
    if !plan.steps.iter().any(|step| matches!(step.action, Action::Drain { .. })) {
        return;
    }
    let budgets = endpoints.disruption_budgets().await;
    let told = join_all(plan.steps.iter_mut().map(|step| {
        let budgets = &budgets;
        async move {
            let Some(lines) = lines(step, endpoints, budgets.as_deref().map_err(ToString::to_string)).await else {
                return;
            };
            step.details = lines;
        }
    }));
    told.await;
}

async fn lines(
    step: &Step,
    endpoints: &dyn ReadEndpoints,
    budgets: Result<&[serde_json::Value], String>,
) -> Option<Vec<String>> {
    let Action::Drain { node, options } = &step.action else { return None };
    let unknown = |reason: String| Some(vec![format!("what it will evict could not be read: {reason}")]);
    let budgets = match budgets {
        Ok(budgets) => budgets,
        Err(reason) => return unknown(reason),
    };
    let pods = match endpoints.pods_on(node).await {
        Ok(pods) => pods,
        Err(error) => return unknown(error.to_string()),
    };
    match endpoints.read(&plan::owners(&pods)).await {
        Ok(owners) => {
            Some(plan::forecast(&DrainInput { node, pods: &pods, budgets, owners: &owners, options }).lines())
        }
        Err(error) => unknown(error.to_string()),
    }
}

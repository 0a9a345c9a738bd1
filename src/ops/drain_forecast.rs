//! What the drains of a plan will do, read from the API once it is known that there are any.

use futures::future::join_all;
use serde_json::Value;

use crate::base::NodeName;
use crate::cluster::DrainOptions;
use crate::endpoints::ReadEndpoints;
use crate::plan::{self, Action, DrainForecast, DrainInput, Plan};

/// Writes below each drain of the plan what it will do to which pods, and refuses what would get stuck at one: by then the
/// control plane would have been replaced. What cannot be read is said there.
pub(super) async fn foretell(plan: &mut Plan, endpoints: &dyn ReadEndpoints) {
    if !plan.steps.iter().any(|step| matches!(step.action, Action::Drain { .. })) {
        return;
    }
    let budgets = endpoints.disruption_budgets().await.map_err(|error| error.to_string());
    let told = plan.steps.iter_mut().map(|step| {
        let budgets = budgets.as_deref().map_err(Clone::clone);
        async move {
            let Action::Drain { node, options } = &step.action else { return None };
            match told(node, options, endpoints, budgets).await {
                Ok(forecast) => {
                    step.details = forecast.lines();
                    forecast.refusal()
                }
                Err(reason) => {
                    step.details = vec![format!("what it will evict could not be read: {reason}")];
                    None
                }
            }
        }
    });
    let refusals = join_all(told).await;
    plan.refusals.extend(refusals.into_iter().flatten());
}

async fn told(
    node: &NodeName,
    options: &DrainOptions,
    endpoints: &dyn ReadEndpoints,
    budgets: Result<&[Value], String>,
) -> Result<DrainForecast, String> {
    let budgets = budgets?;
    let pods = endpoints.pods_on(node).await.map_err(|error| error.to_string())?;
    let owners = endpoints.read(&plan::owners(&pods)).await.map_err(|error| error.to_string())?;
    Ok(plan::forecast(&DrainInput { node, pods: &pods, budgets, owners: &owners, options }))
}

//! `rollback`: back to what a generation before has meant, by the same way as forward.

use futures::future::BoxFuture;

use crate::journal::{Generation, StateFolder};
use crate::plan::Plan;
use crate::state::SnapshotRecord;

use super::etcd_snapshot::{offer, restoration};
use super::survey::SurveyInput;
use super::up::{Consent, UpInput, UpOutcome, up};
use super::{Loaded, LossConsent, OperationError, SnapshotInput};

/// Brings the cluster back to a generation. `input.survey.loaded` is that generation's, and `input.survey.back_to` names it.
///
/// # Errors
///
/// As for `up`; besides, an add-on file that is no longer what it was then. A refusal that a snapshot helps over names the
/// one that there is.
pub async fn rollback(folder: &mut StateFolder, input: &UpInput<'_>) -> Result<UpOutcome, OperationError> {
    let Some(target) = input.survey.back_to else { return up(folder, input).await };
    same_addons(target, input.survey.loaded)?;
    match up(folder, input).await {
        Err(OperationError::Refused(mut plan)) if plan.needs_snapshot() => {
            plan.warnings.push(match offer(&snapshot_input(input), target).await {
                Some(record) => format!(
                    "`provision rollback --to {} --restore-snapshot` goes back with snapshot {}; everything that was written \
                     since {} is lost then",
                    target.number.0, record.name, record.created
                ),
                None => format!("there is no snapshot that was taken of generation {} before it was upgraded", target.number),
            });
            Err(OperationError::Refused(plan))
        }
        result => result,
    }
}

/// Brings the cluster back to a generation, and etcd's data to the snapshot that was taken before that generation was
/// upgraded.
///
/// # Errors
///
/// As for [`rollback`]; where there is no such snapshot, or it does not pass its verification, nothing is touched.
pub async fn rollback_with_snapshot(
    folder: &mut StateFolder,
    input: &UpInput<'_>,
    consent: &dyn LossConsent,
) -> Result<UpOutcome, OperationError> {
    let Some(target) = input.survey.back_to else { return up(folder, input).await };
    same_addons(target, input.survey.loaded)?;
    let restoration = restoration(&snapshot_input(input), target).await?;
    let consent = AskedOnce { consent, record: &restoration.record };
    let survey = SurveyInput { restoration: Some(&restoration), ..input.survey };
    up(folder, &UpInput { survey, run: input.run.clone(), consent: &consent, ..*input }).await
}

/// Consent to a plan that loses what was written after a snapshot.
struct AskedOnce<'a> {
    consent: &'a dyn LossConsent,
    record: &'a SnapshotRecord,
}

impl Consent for AskedOnce<'_> {
    fn ask<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, bool> {
        self.consent.ask(self.record, plan)
    }
}

fn snapshot_input<'a>(input: &UpInput<'a>) -> SnapshotInput<'a> {
    let SurveyInput { loaded, state, reach, now, events, .. } = input.survey;
    let (run, cancellation, patience) = (input.run.clone(), input.cancellation, input.patience);
    SnapshotInput { loaded, state, reach, now, run, events, cancellation, patience }
}

fn same_addons(target: &Generation, loaded: &Loaded) -> Result<(), OperationError> {
    let now = loaded.addons.pinned();
    let changed: Vec<&str> =
        target.lock.pins.addons.iter().filter(|then| !now.contains(then)).map(|addon| addon.name.as_str()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(OperationError::Input(format!(
        "these add-ons are no longer what generation {} was made of: {}; put the files back as they were then",
        target.number,
        changed.join(", ")
    )))
}

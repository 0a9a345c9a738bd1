//! `rollback`: back to what a generation before has meant, by the same way as forward.

use crate::journal::{Generation, GenerationNumber, State, StateFolder};

use super::up::{UpInput, UpOutcome, up};
use super::{Loaded, OperationError};

/// Which generation a rollback goes to: the one that is named; else, where an upgrade was begun and not completed, the one that
/// it began from; else the parent of the last completed one.
///
/// # Errors
///
/// A generation that does not exist, or one that was never completed.
pub fn rollback_target(state: &State, named: Option<u32>) -> Result<&Generation, OperationError> {
    let Some(current) = state.current() else {
        return Err(OperationError::Input(
            "no generation was ever completed, so that there is nothing to go back to".into(),
        ));
    };
    if let Some(number) = named {
        return find(state, GenerationNumber(number));
    }
    if state.aimed().is_some() {
        return Ok(current);
    }
    let none = || format!("generation {} is the first one; there is none before it", current.number);
    let parent = current.lock.parent.ok_or_else(|| OperationError::Input(none()))?;
    find(state, parent)
}

fn find(state: &State, number: GenerationNumber) -> Result<&Generation, OperationError> {
    state.generation(number).ok_or_else(|| {
        let known: Vec<String> = state.generations().iter().map(|generation| generation.number.to_string()).collect();
        OperationError::Input(format!("there is no generation {number}; there are {}", known.join(", ")))
    })
}

/// Brings the cluster back to a generation. `input.survey.loaded` is that generation's, and `input.survey.back_to` names it.
///
/// # Errors
///
/// As for `up`; besides, an add-on file that is no longer what it was then.
pub async fn rollback(folder: &mut StateFolder, input: &UpInput<'_>) -> Result<UpOutcome, OperationError> {
    if let Some(target) = input.survey.back_to {
        same_addons(target, input.survey.loaded)?;
    }
    up(folder, input).await
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

//! Which generation a rollback goes to.

use crate::journal::{Generation, GenerationNumber, State};
use crate::release::Catalog;

use super::OperationError;
use super::load::cluster_of;

/// Which generation a rollback goes to: the one that is named; else that of a rollback which was begun and not completed;
/// else, where an upgrade was begun and not completed, the one that it began from; else the last one that was something else
/// than what the current one is. Of a rollback counts what it has gone back to.
///
/// # Errors
///
/// A generation that does not exist, or one that was never completed.
pub fn rollback_target<'a>(
    state: &'a State,
    catalog: &Catalog,
    named: Option<u32>,
) -> Result<&'a Generation, OperationError> {
    let Some(current) = state.current() else {
        return Err(OperationError::Input(
            "no generation was ever completed, so that there is nothing to go back to".into(),
        ));
    };
    if let Some(number) = named {
        return find(state, GenerationNumber(number));
    }
    let begun = state.restore().and_then(|intent| intent.back_to);
    if let Some(number) = begun.or(state.aimed().and_then(|aimed| aimed.lock.back_to)) {
        return find(state, number);
    }
    if state.aimed().is_some_and(|aimed| !is_same(aimed, current, catalog)) {
        return Ok(current);
    }
    let mut earlier = before(state, current)?;
    while is_same(earlier, current, catalog) {
        earlier = before(state, earlier)?;
    }
    Ok(earlier)
}

/// Why a run that has failed is not taken back by itself; nothing where it was upgrading. One that only mends what runs has
/// nothing to be taken back: before the current generation ran another one, which nobody has asked for.
pub fn reason_to_stay(state: &State, catalog: &Catalog, was_stopped: bool) -> Option<&'static str> {
    let upgrades = |aimed: &Generation, current| aimed.lock.back_to.is_none() && !is_same(aimed, current, catalog);
    if was_stopped {
        return Some("you have stopped the run");
    }
    let has_begun = state.aimed().zip(state.current()).is_some_and(|(aimed, current)| upgrades(aimed, current));
    (!has_begun).then_some("this run has upgraded nothing")
}

/// What ran before a generation.
fn before<'a>(state: &'a State, generation: &Generation) -> Result<&'a Generation, OperationError> {
    let meant = original(state, generation)?;
    let none =
        || OperationError::Input(format!("generation {} is the first one; there is none before it", meant.number));
    let parent = meant.lock.parent.filter(|parent| *parent < meant.number);
    original(state, find(state, parent.ok_or_else(none)?)?)
}

/// The generation that was gone back to, where this one is a rollback.
fn original<'a>(state: &'a State, generation: &Generation) -> Result<&'a Generation, OperationError> {
    let mut meant = find(state, generation.number)?;
    // Each names an earlier one.
    while let Some(number) = meant.lock.back_to.filter(|number| *number < meant.number) {
        meant = find(state, number)?;
    }
    Ok(meant)
}

/// Whether two generations are the same cluster, however their files are written: going from one to the other changes nothing.
fn is_same(one: &Generation, other: &Generation, catalog: &Catalog) -> bool {
    let means_same = || match (cluster_of(&one.config, catalog), cluster_of(&other.config, catalog)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    };
    one.lock.pins.are_same(&other.lock.pins) && (one.config == other.config || means_same())
}

fn find(state: &State, number: GenerationNumber) -> Result<&Generation, OperationError> {
    let completed = || {
        let completed = state.generations().iter().filter(|generation| state.was_completed(generation.number));
        completed.map(|generation| generation.number.to_string()).collect::<Vec<_>>().join(", ")
    };
    match state.generation(number) {
        None => Err(OperationError::Input(format!("there is no generation {number}; there are {}", completed()))),
        Some(_) if !state.was_completed(number) => Err(OperationError::Input(format!(
            "generation {number} was never completed; there are {} to go back to",
            completed()
        ))),
        Some(generation) => Ok(generation),
    }
}

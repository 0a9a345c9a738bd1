//! A generation or a run by what the operator typed.

use crate::base::RunId;
use crate::config::nearest;
use crate::journal::{FoundRun, Generation, GenerationNumber, RunHistory, State};

use super::super::OperationError;

/// How many names a refusal gives.
const NAMED: usize = 4;

/// The generation with a number.
///
/// # Errors
/// [`OperationError::Input`] names the nearest ones where there is none of that number.
pub fn generation(state: &State, number: u32) -> Result<&Generation, OperationError> {
    let wanted = GenerationNumber(number);
    state.generation(wanted).ok_or_else(|| {
        let mut near: Vec<GenerationNumber> = state.generations().iter().map(|generation| generation.number).collect();
        near.sort_by_key(|known| known.0.abs_diff(number));
        near.truncate(NAMED);
        near.sort();
        let near: Vec<String> = near.iter().map(ToString::to_string).collect();
        refusal(&format!("there is no generation {wanted}"), &near, "generation")
    })
}

/// The run of that name, or the only one whose name begins so.
///
/// # Errors
/// [`OperationError::Input`] names the nearest or all that are meant; [`OperationError::State`] where its log is damaged.
pub fn run(runs: Vec<FoundRun>, name: &str) -> Result<(RunId, RunHistory), OperationError> {
    let names: Vec<String> = runs.iter().map(|(run, _)| run.0.clone()).collect();
    let exact = names.iter().position(|known| known == name);
    let begun: Vec<usize> = (0..names.len()).filter(|&index| names[index].starts_with(name)).collect();
    let index = match (exact, begun.as_slice()) {
        (Some(index), _) => index,
        (None, &[index]) => index,
        (None, []) => return Err(refusal(&format!("there is no run {name:?}"), &near_runs(&names, name), "run")),
        (None, several) => {
            let several: Vec<&str> = several.iter().map(|&index| names[index].as_str()).collect();
            let text = format!("{} runs begin with {name:?}: {}", several.len(), several.join(", "));
            return Err(OperationError::Input(text));
        }
    };
    let (run, history) = runs.into_iter().nth(index).ok_or_else(|| refusal("there is no run", &[], "run"))?;
    Ok((run, history?))
}

/// The one that is spelt most alike and the latest ones.
fn near_runs(names: &[String], name: &str) -> Vec<String> {
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let alike = nearest(name, &known);
    let latest = known.iter().rev().copied().filter(|known| Some(*known) != alike);
    alike.into_iter().chain(latest).take(NAMED).map(ToOwned::to_owned).collect()
}

fn refusal(what: &str, near: &[String], kind: &str) -> OperationError {
    let rest = match near {
        [] => format!("the state folder has no {kind} yet"),
        near => format!("nearest: {} (`provision history` lists all)", near.join(", ")),
    };
    OperationError::Input(format!("{what}; {rest}"))
}

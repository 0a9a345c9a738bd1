//! `history`, `log` and `diff`: they read the state folder and nothing else.

use std::path::PathBuf;

use serde::Serialize;

use crate::journal::{RealDisk, RunHistory, State, state_path};
use crate::ops::{self, OperationError};

use super::arguments::StateOf;
use super::commands::{Result, say};
use super::exit;

pub(super) fn history(state: &StateOf, json: bool) -> Result<u8> {
    let history = ops::history(&RealDisk, &folder(state))?;
    say(&if json { rendered(&history)? } else { history.to_string() });
    Ok(exit::SUCCESS)
}

pub(super) fn log(state: &StateOf, run: &str, json: bool) -> Result<u8> {
    let (_, history) = ops::run(RunHistory::list(&RealDisk, &folder(state))?, run)?;
    let mut text = Vec::new();
    let written = if json { ops::replay_json(&history, &mut text) } else { ops::replay_plain(&history, &mut text) };
    let failed = |source| OperationError::LocalFile { operation: "replaying", path: folder(state), source };
    written.map_err(failed)?;
    say(&String::from_utf8_lossy(&text));
    Ok(exit::SUCCESS)
}

pub(super) fn diff(state: &StateOf, from: u32, to: u32, json: bool) -> Result<u8> {
    let state = State::peek(&RealDisk, &folder(state))?;
    let difference = ops::difference(ops::generation(&state, from)?, ops::generation(&state, to)?);
    say(&if json { rendered(&difference)? } else { difference.to_string() });
    Ok(exit::SUCCESS)
}

fn folder(state: &StateOf) -> PathBuf {
    state_path(&state.config)
}

fn rendered(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| OperationError::Input(error.to_string()))?;
    Ok(format!("{text}\n"))
}

//! `history`: generations and runs of the state folder.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::base::{RunId, StepId};
use crate::event::Event;
use crate::journal::{Disk, FoundRun, Generation, GenerationNumber, RunHistory, RunRecord, State};

use super::super::OperationError;

/// Everything that was aimed at and everything that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// Generations, oldest first.
    pub generations: Vec<GenerationLine>,
    /// Runs that had something to do, oldest first.
    pub runs: Vec<RunLine>,
}

/// A generation in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GenerationLine {
    /// Its number.
    pub number: GenerationNumber,
    /// Where it stands.
    pub state: GenerationState,
    /// The Kubernetes version that its nodes run, as its pinned kubelet tells; none before one was pinned.
    pub kubernetes: Option<String>,
    /// The generation that was current when it was begun.
    pub parent: Option<GenerationNumber>,
    /// The run that began it.
    pub run: RunId,
    /// When that was (UTC, to the second); none where the run's name tells no time.
    pub begun: Option<Timestamp>,
    /// When a run completed it first; none where no log tells.
    pub completed: Option<Timestamp>,
    /// Version of the tool that began it.
    pub tool: String,
}

/// Where a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationState {
    /// It was completed last.
    Current,
    /// It was begun after the current one and is not complete.
    Unfinished,
    /// It was complete once, and another one took its place.
    Replaced,
    /// It was given up before it was complete.
    Abandoned,
}

/// A run in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// Its name.
    pub run: RunId,
    /// When it began to act; for logs of older tools the time in its name.
    pub started: Option<Timestamp>,
    /// When it ended; of a run that has no end, the time of its last record.
    pub ended: Option<Timestamp>,
    /// The generation that was current.
    pub parent: Option<GenerationNumber>,
    /// The generation that it worked towards; none in logs of older tools.
    pub generation: Option<GenerationNumber>,
    /// Version of the tool.
    pub tool: Option<String>,
    /// What became of it.
    pub outcome: RunOutcome,
    /// Steps that were done.
    pub done: usize,
    /// Steps that failed.
    pub failed: usize,
    /// Steps that were begun and of which no end is known.
    pub open: usize,
    /// Why it did not end as asked, or why its log cannot be read.
    pub error: Option<String>,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    /// It did all that was asked.
    Done,
    /// It ended by itself before that.
    Failed,
    /// Its end is not recorded: it was killed, or it still works.
    NotEnded,
    /// Its log is damaged or newer than this tool.
    Unreadable,
}

/// Reads the history of a state folder.
pub fn history(disk: &dyn Disk, state_folder: &Path) -> Result<History, OperationError> {
    // Runs first: a generation that one of them names is there by then.
    let runs = RunHistory::list(disk, state_folder)?;
    let state = State::peek(disk, state_folder)?;
    let runs: Vec<RunLine> = runs.iter().map(run_line).collect();
    let generations = state.generations().iter().map(|generation| generation_line(&state, &runs, generation)).collect();
    Ok(History { generations, runs })
}

fn generation_line(state: &State, runs: &[RunLine], generation: &Generation) -> GenerationLine {
    let (number, lock) = (generation.number, &generation.lock);
    let completing = runs.iter().find(|run| run.generation == Some(number) && run.outcome == RunOutcome::Done);
    let kubelet = lock.pins.files.iter().find(|file| file.name == "kubelet");
    GenerationLine {
        number,
        state: standing(state, runs, number),
        kubernetes: kubelet.map(|file| file.version.clone()),
        parent: lock.parent,
        run: lock.run.clone(),
        begun: start_of(&lock.run),
        completed: completing.and_then(|run| run.ended),
        tool: lock.tool.clone(),
    }
}

/// A generation that something was begun after was current then, so it had been completed.
fn standing(state: &State, runs: &[RunLine], number: GenerationNumber) -> GenerationState {
    let completed = || state.was_completed(number) || runs.iter().any(|run| run.parent == Some(number));
    match state.current().map(|current| current.number) {
        Some(current) if current == number => GenerationState::Current,
        _ if state.aimed().is_some_and(|aimed| aimed.number == number) => GenerationState::Unfinished,
        _ if completed() => GenerationState::Replaced,
        _ => GenerationState::Abandoned,
    }
}

fn run_line((run, history): &FoundRun) -> RunLine {
    let history = match history {
        Ok(history) => history,
        Err(error) => return unreadable(run, error.to_string()),
    };
    let steps = Steps::of(history);
    let (outcome, error) = end(history, &steps);
    let last = history.records.iter().rev().find_map(|timed| timed.time);
    RunLine {
        run: run.clone(),
        started: history.header.time.or_else(|| start_of(run)),
        ended: last,
        parent: history.header.parent,
        generation: history.header.generation,
        tool: Some(history.header.tool.clone()),
        outcome,
        done: steps.done,
        failed: steps.failed,
        open: steps.open.len(),
        error,
    }
}

fn unreadable(run: &RunId, error: String) -> RunLine {
    RunLine {
        run: run.clone(),
        started: start_of(run),
        ended: None,
        parent: None,
        generation: None,
        tool: None,
        outcome: RunOutcome::Unreadable,
        done: 0,
        failed: 0,
        open: 0,
        error: Some(error),
    }
}

/// What the intents and outcomes of a log add up to.
#[derive(Debug, Default)]
pub(super) struct Steps<'a> {
    done: usize,
    failed: usize,
    /// Begun, without a recorded end.
    pub open: BTreeSet<&'a StepId>,
}

impl<'a> Steps<'a> {
    pub fn of(history: &'a RunHistory) -> Self {
        let mut steps = Self::default();
        for timed in &history.records {
            match &timed.record {
                RunRecord::Intent { step } => {
                    steps.open.insert(step);
                }
                RunRecord::Outcome { step, error } => {
                    steps.open.remove(step);
                    *(if error.is_some() { &mut steps.failed } else { &mut steps.done }) += 1;
                }
                RunRecord::Shown { .. } | RunRecord::Ended { .. } => {}
            }
        }
        steps
    }
}

/// Logs of older tools have no end; what was shown last tells of it as far as it can.
fn end(history: &RunHistory, steps: &Steps<'_>) -> (RunOutcome, Option<String>) {
    for timed in history.records.iter().rev() {
        match &timed.record {
            RunRecord::Ended { error: None } => return (RunOutcome::Done, None),
            RunRecord::Ended { error } => return (RunOutcome::Failed, error.clone()),
            RunRecord::Shown { event: Event::RunFinished { failed, skipped, .. } } if failed + skipped > 0 => {
                return (RunOutcome::Failed, None);
            }
            _ => {}
        }
    }
    (if steps.failed > 0 { RunOutcome::Failed } else { RunOutcome::NotEnded }, None)
}

/// The time in a run's name.
fn start_of(run: &RunId) -> Option<Timestamp> {
    let (time, _) = run.0.split_once('-')?;
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

impl fmt::Display for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.generations.is_empty() && self.runs.is_empty() {
            return writeln!(formatter, "The state folder holds no generation and no run yet.");
        }
        write_table(formatter, GENERATION_HEADER, self.generations.iter().map(generation_cells))?;
        if !self.runs.is_empty() {
            writeln!(formatter)?;
            write_table(formatter, RUN_HEADER, self.runs.iter().map(run_cells))?;
        }
        Ok(())
    }
}

const GENERATION_HEADER: [&str; 7] = ["GENERATION", "KUBERNETES", "STATE", "PARENT", "BEGUN", "COMPLETED", "TOOL"];
const RUN_HEADER: [&str; 7] = ["RUN", "STARTED", "TOOK", "FROM", "TO", "TOOL", "OUTCOME"];

fn generation_cells(line: &GenerationLine) -> [String; 7] {
    let state = match line.state {
        GenerationState::Current => "current",
        GenerationState::Unfinished => "unfinished",
        GenerationState::Replaced => "replaced",
        GenerationState::Abandoned => "abandoned",
    };
    let kubernetes = line.kubernetes.clone().unwrap_or_else(|| "-".into());
    let (begun, completed) = (time(line.begun), time(line.completed));
    [line.number.to_string(), kubernetes, state.into(), number(line.parent), begun, completed, line.tool.clone()]
}

fn run_cells(line: &RunLine) -> [String; 7] {
    let took = line.started.zip(line.ended).map_or_else(|| "-".into(), |(start, end)| took(start, end));
    let tool = line.tool.clone().unwrap_or_else(|| "-".into());
    let (from, to) = (number(line.parent), number(line.generation));
    [line.run.to_string(), time(line.started), took, from, to, tool, outcome(line)]
}

fn outcome(line: &RunLine) -> String {
    let steps = |count: usize| if count == 1 { "1 step".into() } else { format!("{count} steps") };
    let error = line.error.as_deref().and_then(|error| error.lines().next()).unwrap_or_default();
    let error: String = error.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect();
    match line.outcome {
        RunOutcome::Done => format!("done, {}", steps(line.done)),
        RunOutcome::Failed if error.is_empty() => format!("failed, {} done, {} failed", steps(line.done), line.failed),
        RunOutcome::Failed => format!("failed, {} done: {error}", steps(line.done)),
        RunOutcome::NotEnded => {
            format!("no end recorded (killed, or still at work), {} done, {} open", steps(line.done), line.open)
        }
        RunOutcome::Unreadable => format!("unreadable: {error}"),
    }
}

fn number(number: Option<GenerationNumber>) -> String {
    number.map_or_else(|| "-".into(), |number| number.to_string())
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".into(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// The wall clock may have been set back in between.
fn took(start: Timestamp, end: Timestamp) -> String {
    let seconds = end.as_second().saturating_sub(start.as_second()).max(0);
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

/// Columns as wide as their widest cell; the last one is not filled up.
fn write_table(
    formatter: &mut fmt::Formatter<'_>,
    header: [&str; 7],
    rows: impl Iterator<Item = [String; 7]>,
) -> fmt::Result {
    let rows: Vec<[String; 7]> = std::iter::once(header.map(ToOwned::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(formatter, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

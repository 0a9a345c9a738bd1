//! `log`: a run's journal once more.

use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;

use crate::journal::{RunHistory, RunRecord, TimedRecord};
use crate::report::{Moment, Plain, Progress, Renderer as _, Shown};

use super::history::Steps;

/// Writes a run as `--progress plain` showed it, then the steps whose end is not recorded, and how it ended. In logs of older
/// tools, which have neither events nor times, each intent and outcome is a line.
pub fn replay_plain(history: &RunHistory, out: &mut (impl Write + Send)) -> std::io::Result<()> {
    let header = &history.header;
    let number = |number: Option<_>| number.map_or_else(|| "none".to_owned(), |number| format!("{number}"));
    let (from, to) = (number(header.parent), number(header.generation));
    writeln!(out, "run {} of provision {}, from generation {from} to {to}", header.run, header.tool)?;
    if has_events(history) {
        show_events(history, out);
    } else {
        history.records.iter().try_for_each(|timed| write_record(timed, out))?;
    }
    for step in Steps::of(history).open {
        writeln!(out, "{step}: was begun; its end is not recorded")?;
    }
    match history.records.iter().rev().find_map(end) {
        Some(None) => writeln!(out, "the run ended: all is done"),
        Some(Some(error)) => writeln!(out, "the run ended: {}", safe(error)),
        None => writeln!(out, "the end of the run is not recorded"),
    }
}

/// Writes a run's header and records, one JSON object a line, as they are stored.
pub fn replay_json(history: &RunHistory, out: &mut impl Write) -> std::io::Result<()> {
    let mut line = |value: serde_json::Result<String>| writeln!(out, "{}", value.map_err(std::io::Error::other)?);
    line(serde_json::to_string(&history.header))?;
    history.records.iter().try_for_each(|record| line(serde_json::to_string(record)))
}

fn has_events(history: &RunHistory) -> bool {
    history.records.iter().any(|timed| matches!(timed.record, RunRecord::Shown { .. }))
}

fn show_events(history: &RunHistory, out: &mut (impl Write + Send)) {
    let start = history.header.time.or_else(|| history.records.iter().find_map(|timed| timed.time));
    let (mut plain, mut progress) = (Plain::new(out), Progress::default());
    let mut wall = start.unwrap_or(Timestamp::UNIX_EPOCH);
    for timed in &history.records {
        wall = timed.time.unwrap_or(wall);
        let RunRecord::Shown { event } = &timed.record else { continue };
        let since = start.map_or(0, |start| wall.as_millisecond() - start.as_millisecond());
        let now = Moment { wall, elapsed: Duration::from_millis(since.max(0).unsigned_abs()) };
        let step = progress.apply(event, now);
        plain.event(Shown { event, step: step.as_ref(), now });
        // What a step waits for was shown by the clock.
        plain.tick(&progress, now);
    }
}

fn write_record(timed: &TimedRecord, out: &mut impl Write) -> std::io::Result<()> {
    let time = timed.time.map(|time| format!("{} ", time.strftime("%H:%M:%SZ"))).unwrap_or_default();
    match &timed.record {
        RunRecord::Intent { step } => writeln!(out, "{time}{step}: begun"),
        RunRecord::Outcome { step, error: None } => writeln!(out, "{time}{step}: done"),
        RunRecord::Outcome { step, error: Some(error) } => writeln!(out, "{time}{step}: failed: {}", safe(error)),
        RunRecord::Shown { .. } | RunRecord::Ended { .. } => Ok(()),
    }
}

fn end(timed: &TimedRecord) -> Option<Option<&String>> {
    match &timed.record {
        RunRecord::Ended { error } => Some(error.as_ref()),
        _ => None,
    }
}

/// Errors quote hosts, and no host may steer the terminal.
fn safe(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() && sign != '\n' { '\u{fffd}' } else { sign }).collect()
}

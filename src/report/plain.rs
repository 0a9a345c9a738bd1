//! One line for each thing that happens: for pipes, for logs, for `--progress plain`.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use super::moment::Moment;
use super::progress::{Progress, RunningStep};
use super::renderer::{Renderer, Shown};
use super::text::{failure_lines, megabytes, one_line, seconds};
use crate::base::StepId;
use crate::event::Event;

/// A step that waits or sends says so at most this often, and only when there is something new.
const BETWEEN_NEWS: Duration = Duration::from_secs(5);
/// Steps that take longer say when they are done; the others are done when the next ones start.
const WORTH_A_LINE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_secs(1);

/// Plain lines: time (UTC), host, what.
pub struct Plain<W> {
    out: W,
    /// The longest place so far, so that titles stand in a column.
    width: usize,
    news: BTreeMap<StepId, (String, Duration)>,
}

impl<W: Write + Send> Plain<W> {
    /// Writes to `out`, flushing after each line.
    pub fn new(out: W) -> Self {
        Self { out, width: "cluster".len(), news: BTreeMap::new() }
    }

    fn line(&mut self, now: Moment, text: &str) {
        let _ = writeln!(self.out, "{} {text}", now.time_of_day());
        let _ = self.out.flush();
    }

    fn at(&mut self, now: Moment, place: &str, text: &str) {
        self.width = self.width.max(place.len());
        self.line(now, &format!("{place:<width$}  {text}", width = self.width));
    }

    fn done(&mut self, step: &RunningStep, took: Duration, now: Moment) {
        self.news.remove(&step.id);
        if took >= WORTH_A_LINE {
            self.at(now, step.place(), &format!("{}: done in {}", one_line(&step.title), seconds(took)));
        }
    }
}

impl<W: Write + Send> Renderer for Plain<W> {
    fn event(&mut self, Shown { event, step, now }: Shown<'_>) {
        match (event, step) {
            (Event::Phase { text } | Event::Notice { text }, _) => self.line(now, &one_line(text)),
            (Event::HostKeyRecorded { host, fingerprint }, _) => {
                self.at(now, host.as_str(), &format!("host key seen for the first time and recorded: {fingerprint}"));
            }
            (Event::StepStarted { .. }, Some(step)) => self.at(now, step.place(), &one_line(&step.title)),
            (Event::StepDone { milliseconds, .. }, Some(step)) => {
                self.done(step, Duration::from_millis(*milliseconds), now);
            }
            (Event::StepFailed { error, log, .. }, Some(step)) => {
                for line in failure_lines(step.place(), &step.title, error, log) {
                    self.line(now, &line);
                }
            }
            _ => {}
        }
    }

    fn interval(&self) -> Option<Duration> {
        Some(TICK)
    }

    fn tick(&mut self, progress: &Progress, now: Moment) {
        for step in &progress.running {
            let Some(news) = news(step) else { continue };
            let (known, at) = self.news.get(&step.id).map_or(("", step.started), |(known, at)| (known, *at));
            if news == known || now.since(at) < BETWEEN_NEWS {
                continue;
            }
            self.at(now, step.place(), &format!("{}: {news}", one_line(&step.title)));
            self.news.insert(step.id.clone(), (news, now.elapsed));
        }
    }
}

fn news(step: &RunningStep) -> Option<String> {
    match (&step.waits, step.bytes) {
        (Some(reason), _) => Some(format!("waits for {}", one_line(reason))),
        (None, Some((sent, total))) => Some(format!("sent {}", megabytes(sent, total))),
        (None, None) => None,
    }
}

//! The moving display of a terminal: a header and one line for each host that is at work.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::moment::Moment;
use super::progress::{Progress, RunningStep};
use super::renderer::{Renderer, Shown};
use super::text::{failure_lines, megabytes, one_line, seconds};
use crate::event::Event;

const TICK: Duration = Duration::from_millis(100);
/// Lines of hosts; terminals are 24 lines high at least, and more than this nobody reads.
const MOST_HOSTS: usize = 18;

/// Moving lines. What must stay (notices, failures) is written above them.
pub struct Display {
    terminal: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Display {
    /// Shows on standard error, so that standard output stays for results.
    pub fn on_standard_error() -> Self {
        Self::new(ProgressDrawTarget::stderr())
    }

    /// Shows on any terminal.
    pub fn new(target: ProgressDrawTarget) -> Self {
        Self { terminal: MultiProgress::with_draw_target(target), lines: Vec::new() }
    }

    fn keep(&self, line: &str) {
        let _ = self.terminal.println(line);
    }

    fn resize(&mut self, count: usize) {
        while self.lines.len() > count {
            if let Some(line) = self.lines.pop() {
                self.terminal.remove(&line);
            }
        }
        while self.lines.len() < count {
            let line = self.terminal.add(ProgressBar::new_spinner().with_style(plain_style()));
            self.lines.push(line);
        }
    }
}

impl Renderer for Display {
    fn event(&mut self, Shown { event, step, .. }: Shown<'_>) {
        match (event, step) {
            (Event::Notice { text }, _) => self.keep(&one_line(text)),
            (Event::HostKeyRecorded { host, fingerprint }, _) => {
                self.keep(&format!("{host}: host key seen for the first time and recorded: {fingerprint}"));
            }
            (Event::StepFailed { error, log, .. }, Some(step)) => {
                self.keep(&failure_lines(step.place(), &step.title, error, log).join("\n"));
            }
            _ => {}
        }
    }

    fn interval(&self) -> Option<Duration> {
        Some(TICK)
    }

    fn tick(&mut self, progress: &Progress, now: Moment) {
        let texts = lines(progress, now);
        self.resize(texts.len());
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text);
        }
    }

    fn settle(&mut self) {
        self.resize(0);
        let _ = self.terminal.clear();
    }
}

/// The message, cut at the edge of the terminal.
fn plain_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// What the display shows at a moment.
fn lines(progress: &Progress, now: Moment) -> Vec<String> {
    let Some(header) = header(progress, now) else { return Vec::new() };
    let hosts = by_place(&progress.running);
    let width = hosts.iter().map(|steps| steps[0].place().len()).max().unwrap_or_default();
    let mut lines = vec![header];
    lines.extend(hosts.iter().take(MOST_HOSTS).map(|steps| host_line(steps, width, now)));
    if hosts.len() > MOST_HOSTS {
        lines.push(format!("  and {} more hosts", hosts.len() - MOST_HOSTS));
    }
    lines
}

fn header(progress: &Progress, now: Moment) -> Option<String> {
    if progress.end.is_some() {
        return None;
    }
    if let Some((total, started)) = progress.run {
        let failed = match progress.failures.len() {
            0 => String::new(),
            count => format!(", {count} failed"),
        };
        return Some(format!("{} of {total} steps done{failed}, {}", progress.done, seconds(now.since(started))));
    }
    let (text, started) = progress.phase.as_ref()?;
    Some(format!("{}, {}", one_line(text), seconds(now.since(*started))))
}

/// Steps at work, those of one host together, in the order of names so that lines keep their place.
fn by_place(running: &[RunningStep]) -> Vec<Vec<&RunningStep>> {
    let mut places = std::collections::BTreeMap::<&str, Vec<&RunningStep>>::new();
    for step in running {
        places.entry(step.place()).or_default().push(step);
    }
    places.into_values().collect()
}

/// The step that has been at work longest speaks for its host.
fn host_line(steps: &[&RunningStep], width: usize, now: Moment) -> String {
    let step = steps[0];
    let mut parts = vec![format!("  {:<width$}", step.place()), one_line(&step.title)];
    parts.extend(step.bytes.map(|(sent, total)| megabytes(sent, total)));
    if steps.len() > 1 {
        parts.push(format!("(and {} more)", steps.len() - 1));
    }
    parts.push(seconds(now.since(step.started)));
    parts.extend(step.waits.as_ref().map(|reason| format!("waits for {}", one_line(reason))));
    parts.join("  ")
}

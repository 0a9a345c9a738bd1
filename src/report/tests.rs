//! One run, as each renderer shows it.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressDrawTarget, TermLike};
use jiff::Timestamp;

use super::{Console, Display, Json, Moment, Plain, Progress, Renderer, Report, Shown, Tee};
use crate::base::{NodeName, RunId, StepId};
use crate::event::{Event, EventSink};
use crate::journal::{Death, FakeDisk, Holder, RunHistory, RunRecord, StateFolder};

/// A writer that several can read.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Paper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Paper")
    }
}

impl TermLike for Paper {
    fn width(&self) -> u16 {
        100
    }
    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.write_str(&format!("<up {lines}>"))
    }
    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.write_str(&format!("<down {lines}>"))
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.clone().write_all(text.as_bytes())
    }
    fn clear_line(&self) -> io::Result<()> {
        self.write_str("<clear>")
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Feeds a renderer at made-up times.
struct Show<R> {
    renderer: R,
    progress: Progress,
}

impl<R: Renderer> Show<R> {
    fn new(renderer: R) -> Self {
        Self { renderer, progress: Progress::default() }
    }

    fn at(&mut self, seconds: u64, event: &Event) -> &mut Self {
        let now = moment(seconds);
        let step = self.progress.apply(event, now);
        self.renderer.event(Shown { event, step: step.as_ref(), now });
        self
    }

    fn tick(&mut self, seconds: u64) -> &mut Self {
        self.renderer.tick(&self.progress, moment(seconds));
        self
    }
}

fn moment(seconds: u64) -> Moment {
    let wall = Timestamp::from_second(1_795_521_780 + i64::try_from(seconds).unwrap()).unwrap();
    Moment { wall, elapsed: Duration::from_secs(seconds) }
}

fn step(name: &str) -> StepId {
    StepId(name.into())
}

fn host(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn run_started(steps: usize) -> Event {
    Event::RunStarted { run: RunId("r1".into()), steps }
}

fn started(name: &str, on: &str, title: &str) -> Event {
    Event::StepStarted { step: step(name), host: Some(host(on)), title: title.into() }
}

fn waits(name: &str, reason: &str) -> Event {
    Event::StepWaits { step: step(name), reason: reason.into() }
}

fn done(name: &str, milliseconds: u64) -> Event {
    Event::StepDone { step: step(name), milliseconds }
}

fn failed(name: &str, on: &str) -> Event {
    let log = vec!["{\"level\":\"fatal\"}".into(), "bind: \u{1b}[31maddress in use".into()];
    let error = "starting container etcd\nbecause: it exits with code 1".into();
    Event::StepFailed { step: step(name), host: Some(host(on)), error, log }
}

fn finished(done: usize, failed: usize, skipped: usize) -> Event {
    Event::RunFinished { run: RunId("r1".into()), done, failed, skipped, milliseconds: 8_300 }
}

#[test]
fn plain_lines_tell_a_run() {
    let paper = Paper::default();
    let mut show = Show::new(Plain::new(paper.clone()));
    show.at(0, &Event::Phase { text: "connecting to 2 hosts".into() }).at(1, &run_started(4));
    show.at(1, &started("a", "h1", "start container etcd")).at(1, &started("b", "h2", "write 12 files"));
    show.at(2, &waits("a", "/health of h1: no leader")).tick(3).tick(6).tick(7);
    show.at(8, &waits("a", "/health of h1: refused")).tick(9).tick(11);
    show.at(11, &done("b", 200)).at(12, &done("a", 11_000));
    show.at(13, &started("c", "long-name.example", "start container etcd")).at(14, &failed("c", "long-name.example"));
    insta::assert_snapshot!(paper.text(), @r#"
    12:03:00Z connecting to 2 hosts
    12:03:01Z h1       start container etcd
    12:03:01Z h2       write 12 files
    12:03:06Z h1       start container etcd: waits for /health of h1: no leader
    12:03:11Z h1       start container etcd: waits for /health of h1: refused
    12:03:12Z h1       start container etcd: done in 11.0 s
    12:03:13Z long-name.example  start container etcd
    12:03:14Z long-name.example: failed: start container etcd
    12:03:14Z   starting container etcd
    12:03:14Z   because: it exits with code 1
    12:03:14Z   last lines of its log on long-name.example:
    12:03:14Z   | {"level":"fatal"}
    12:03:14Z   | bind: \u{1b}[31maddress in use
    "#);
}

#[test]
fn json_lines_are_the_events_with_their_time() {
    let paper = Paper::default();
    let mut show = Show::new(Json::new(paper.clone()));
    let event = started("a", "h1", "start container etcd");
    show.at(0, &event).at(1, &failed("a", "h1"));
    let lines: Vec<serde_json::Value> = paper.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["time"], "2026-11-24T12:03:00.000Z");
    assert_eq!(lines[0]["event"], "step-started");
    assert_eq!(serde_json::from_value::<Event>(lines[0].clone()).unwrap(), event);
    assert_eq!(lines[1]["log"][1], "bind: \u{1b}[31maddress in use");
    assert!(!paper.text().contains('\u{1b}'));
}

#[test]
fn display_shows_each_host_at_work_and_keeps_failures() {
    let paper = Paper::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(paper.clone()), 255);
    let mut show = Show::new(Display::new(target));
    show.at(0, &run_started(9))
        .at(0, &started("a", "h1", "send kubelet"))
        .at(1, &started("b", "h1", "load image pause"));
    show.at(1, &Event::StepProgress { step: step("a"), sent: 34_100_000, total: 58_000_000 });
    show.at(1, &started("c", "h2", "start container etcd")).at(2, &waits("c", "a leader")).tick(3);
    for shown in [
        "0 of 9 steps done, 3.0 s",
        "  h1  send kubelet  34.1 of 58.0 MB  (and 1 more)  3.0 s",
        "  h2  start container etcd  2.0 s  waits for a leader",
    ] {
        assert!(paper.text().contains(shown), "{shown} in {}", paper.text());
    }
    show.at(4, &failed("c", "h2"));
    assert!(paper.text().contains("h2: failed: start container etcd"));
    assert!(paper.text().contains("  | bind: \\u{1b}[31maddress in use"));
}

#[test]
fn the_end_names_failed_steps_and_the_next_command() {
    let mut show = Show::new(Plain::new(Paper::default()));
    show.at(0, &run_started(5)).at(0, &started("a", "h2", "start container etcd")).at(1, &failed("a", "h2"));
    let cut_short = Report::of(show.progress.clone());
    assert!(!cut_short.succeeded());
    assert!(cut_short.text().starts_with("The run stopped early: 0 steps done."), "{}", cut_short.text());
    show.at(2, &finished(1, 1, 3));
    insta::assert_snapshot!(Report::of(show.progress).text(), @r#"
    1 step done, 1 failed, 3 not started, after 8.3 s.
      h2: start container etcd: starting container etcd
    What is done stays done. Run `provision plan` to see what is left, and `provision up` to go on.
    "#);
}

#[test]
fn the_end_of_a_good_run_is_one_line() {
    let mut show = Show::new(Plain::new(Paper::default()));
    show.at(0, &run_started(1)).at(2, &finished(1, 0, 0));
    let report = Report::of(show.progress);
    assert!(report.succeeded());
    assert_eq!(report.text(), "1 step done in 8.3 s.\n");
    assert_eq!(Report::default().text(), "");
}

#[test]
fn a_suspended_console_has_shown_everything_and_keeps_still() {
    let paper = Paper::default();
    let console = Console::new(Plain::new(paper.clone()));
    for count in 0..100 {
        console.emit(Event::Notice { text: format!("notice {count}") });
    }
    let answer = console.suspend(|| {
        assert_eq!(paper.text().lines().count(), 100);
        console.emit(Event::Notice { text: "meanwhile".into() });
        assert_eq!(paper.text().lines().count(), 100);
        "yes"
    });
    assert_eq!(answer, "yes");
    console.emit(run_started(3));
    assert!(console.finish().started);
    assert!(!console.finish().started, "a second end has nothing to tell");
    assert_eq!(paper.text().lines().count(), 101);
    assert_eq!(console.suspend(|| "still asked"), "still asked");
}

#[test]
fn the_run_log_gets_what_is_shown_but_not_every_byte() {
    let (disk, path) = (FakeDisk::new(), Path::new("/cluster.state"));
    let run = Holder { run: RunId("r1".into()), process: 1 };
    let log = StateFolder::open(Arc::new(disk.clone()), path, run).unwrap().begin_run().unwrap();
    let console = Console::new(Plain::new(Paper::default()));
    let tee = Tee::new(&console, log);
    tee.emit(run_started(1));
    tee.emit(Event::StepProgress { step: step("a"), sent: 1, total: 2 });
    let history = RunHistory::read(&disk, &path.join("runs/r1.jsonl")).unwrap().unwrap();
    let records: Vec<_> = history.records.into_iter().map(|timed| timed.record).collect();
    assert_eq!(records, [RunRecord::Shown { event: run_started(1) }]);
    disk.die_at(disk.calls(), Death::Before);
    tee.emit(finished(1, 0, 0));
    assert!(console.finish().succeeded(), "what cannot be logged is shown all the same");
}

/// A terminal that stands still until it is let go.
struct Stuck {
    gate: Receiver<()>,
    seen: Sender<Event>,
}

impl Renderer for Stuck {
    fn event(&mut self, shown: Shown<'_>) {
        let _ = self.gate.recv();
        let _ = self.seen.send(shown.event.clone());
    }
}

#[test]
fn a_stuck_terminal_stops_nobody_and_loses_only_byte_counts() {
    let ((open, gate), (seen, events)) = (channel(), channel());
    let console = Console::new(Stuck { gate, seen });
    let bytes = |sent| Event::StepProgress { step: step("a"), sent, total: 100_000 };
    (0..100_000).for_each(|sent| console.emit(bytes(sent)));
    (0..5_000).for_each(|_| console.emit(started("a", "h1", "send kubelet")));
    drop(open);
    console.finish();
    let (counts, steps): (Vec<_>, Vec<_>) =
        events.iter().partition(|event| matches!(event, Event::StepProgress { .. }));
    assert_eq!(steps.len(), 5_000);
    assert!((500..=1_100).contains(&counts.len()), "{}", counts.len());
}

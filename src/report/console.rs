//! The one owner of the screen.

use std::io::stderr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::display::Display;
use super::json::Json;
use super::moment::Moment;
use super::plain::Plain;
use super::progress::Progress;
use super::renderer::{Renderer, Shown};
use super::summary::Report;
use crate::event::{Event, EventSink};

/// With more events than this not yet shown, counts of bytes are dropped; nothing else ever is.
const MOST_PENDING: usize = 1000;
/// How long the owner sleeps where no renderer wants to be called.
const IDLE: Duration = Duration::from_secs(60);

/// Takes events from anywhere and shows them from a thread of its own, so that no work waits for a terminal or a pipe.
pub struct Console {
    messages: Sender<Message>,
    pending: Arc<AtomicUsize>,
    owner: Mutex<Option<JoinHandle<Report>>>,
}

enum Message {
    Event(Event),
    Suspend { settled: Sender<()>, resumed: Receiver<()> },
    End,
}

impl Console {
    /// A moving display on standard error, which must be a terminal. Standard output stays for results.
    pub fn display() -> Self {
        Self::new(Display::on_standard_error())
    }

    /// Plain lines on standard error.
    pub fn plain() -> Self {
        Self::new(Plain::new(stderr()))
    }

    /// JSON lines on standard error.
    pub fn json() -> Self {
        Self::new(Json::new(stderr()))
    }

    /// Starts the owner. Where the system gives it no thread, nothing is shown: that is no reason not to work.
    pub fn new(renderer: impl Renderer + 'static) -> Self {
        let (messages, inbox) = mpsc::channel();
        let pending = Arc::new(AtomicUsize::new(0));
        let owner = Owner::new(Box::new(renderer), Arc::clone(&pending));
        let owner = thread::Builder::new().name("console".into()).spawn(move || owner.run(&inbox)).ok();
        Self { messages, pending, owner: Mutex::new(owner) }
    }

    /// Shows everything emitted before, leaves no moving line on the terminal, and keeps still while `act` writes to it or
    /// asks. Blocks as long as `act` does; events emitted meanwhile are shown after it.
    pub fn suspend<T>(&self, act: impl FnOnce() -> T) -> T {
        let ((settled, wait), (_resume, resumed)) = (mpsc::channel(), mpsc::channel());
        self.send(Message::Suspend { settled, resumed });
        // Fails only once the owner has ended; then the terminal is still anyway.
        let _ = wait.recv();
        act()
    }

    /// Shows what is left, ends the owner and sums up. Later events are dropped, and a second call gives an empty report.
    pub fn finish(&self) -> Report {
        match self.join() {
            None => Report::default(),
            Some(Ok(report)) => report,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }

    fn join(&self) -> Option<thread::Result<Report>> {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.send(Message::End);
        Some(owner.join())
    }

    fn send(&self, message: Message) {
        // Fails only once the owner has ended.
        let _ = self.messages.send(message);
    }
}

impl EventSink for Console {
    fn emit(&self, event: Event) {
        let droppable = matches!(event, Event::StepProgress { .. });
        if droppable && self.pending.load(Ordering::Relaxed) > MOST_PENDING {
            return;
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Event(event));
    }
}

impl Drop for Console {
    /// Leaves the terminal in order whatever way the run ended.
    fn drop(&mut self) {
        let _ = self.join();
    }
}

struct Owner {
    renderer: Box<dyn Renderer>,
    progress: Progress,
    pending: Arc<AtomicUsize>,
    started: Instant,
    last_tick: Instant,
}

impl Owner {
    fn new(renderer: Box<dyn Renderer>, pending: Arc<AtomicUsize>) -> Self {
        let (started, progress) = (Instant::now(), Progress::default());
        Self { renderer, progress, pending, started, last_tick: started }
    }

    fn run(mut self, inbox: &Receiver<Message>) -> Report {
        let interval = self.renderer.interval().unwrap_or(IDLE);
        loop {
            match inbox.recv_timeout(interval.saturating_sub(self.last_tick.elapsed())) {
                Ok(Message::Event(event)) => self.show(&event),
                Ok(Message::Suspend { settled, resumed }) => self.keep_still(&settled, &resumed),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.last_tick.elapsed() >= interval {
                self.tick();
            }
        }
        self.renderer.settle();
        Report::of(self.progress)
    }

    fn show(&mut self, event: &Event) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        let now = self.now();
        let step = self.progress.apply(event, now);
        self.renderer.event(Shown { event, step: step.as_ref(), now });
    }

    fn tick(&mut self) {
        self.last_tick = Instant::now();
        self.renderer.tick(&self.progress, self.now());
    }

    fn keep_still(&mut self, settled: &Sender<()>, resumed: &Receiver<()>) {
        self.renderer.settle();
        let _ = settled.send(());
        // Nothing is ever sent: the other end is dropped when the caller is done, even by a panic.
        let _ = resumed.recv();
    }

    fn now(&self) -> Moment {
        Moment { wall: Timestamp::now(), elapsed: self.started.elapsed() }
    }
}

//! The one owner of the screen.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::logged::Logged;
use super::moment::Moment;
use super::progress::Progress;
use super::renderer::{Renderer, Shown};
use super::summary::Report;
use crate::event::{Event, EventSink};
use crate::journal::RunLog;

/// With more events than this not yet shown, counts of bytes are dropped; nothing else ever is.
const MOST_PENDING: usize = 1000;
/// How long the owner sleeps where no renderer wants to be called.
const IDLE: Duration = Duration::from_secs(60);

/// Takes events from anywhere and shows them from a thread of its own, so that no work waits for a terminal or a pipe.
pub struct Reporter {
    messages: Sender<Message>,
    pending: Arc<AtomicUsize>,
    owner: Mutex<Option<JoinHandle<Report>>>,
}

enum Message {
    Event(Event),
    Attach(Box<dyn Renderer>),
    Settle(Sender<()>),
    End,
}

impl Reporter {
    /// Starts the owner.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(renderer: Box<dyn Renderer>) -> io::Result<Self> {
        let (messages, inbox) = mpsc::channel();
        let pending = Arc::new(AtomicUsize::new(0));
        let owner = Owner::new(renderer, Arc::clone(&pending));
        let owner = thread::Builder::new().name("report".into()).spawn(move || owner.run(&inbox))?;
        Ok(Self { messages, pending, owner: Mutex::new(Some(owner)) })
    }

    /// Writes all later events to the run's log as well.
    pub fn log_to(&self, log: RunLog) {
        self.send(Message::Attach(Box::new(Logged::new(log))));
    }

    /// Blocks until everything emitted before is shown and no moving line is on the terminal: from then until the next
    /// event or call, the caller may write to it and ask questions.
    pub fn settle(&self) {
        let (done, wait) = mpsc::channel();
        self.send(Message::Settle(done));
        // The owner is gone only after the end, when everything is settled.
        let _ = wait.recv();
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

impl EventSink for Reporter {
    fn emit(&self, event: Event) {
        let droppable = matches!(event, Event::StepProgress { .. });
        if droppable && self.pending.load(Ordering::Relaxed) > MOST_PENDING {
            return;
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Event(event));
    }
}

impl Drop for Reporter {
    /// Leaves the terminal in order whatever way the run ended.
    fn drop(&mut self) {
        let _ = self.join();
    }
}

struct Owner {
    renderers: Vec<Box<dyn Renderer>>,
    progress: Progress,
    pending: Arc<AtomicUsize>,
    started: Instant,
    last_tick: Instant,
    settled: bool,
}

impl Owner {
    fn new(renderer: Box<dyn Renderer>, pending: Arc<AtomicUsize>) -> Self {
        let (started, progress) = (Instant::now(), Progress::default());
        Self { renderers: vec![renderer], progress, pending, started, last_tick: started, settled: false }
    }

    fn run(mut self, inbox: &Receiver<Message>) -> Report {
        loop {
            let interval = self.interval();
            match inbox.recv_timeout(interval.saturating_sub(self.last_tick.elapsed())) {
                Ok(Message::Event(event)) => self.show(&event),
                Ok(Message::Attach(renderer)) => self.renderers.push(renderer),
                Ok(Message::Settle(done)) => {
                    self.settle();
                    let _ = done.send(());
                }
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.last_tick.elapsed() >= interval {
                self.tick();
            }
        }
        self.settle();
        Report::of(self.progress)
    }

    fn interval(&self) -> Duration {
        self.renderers.iter().filter_map(|renderer| renderer.interval()).min().unwrap_or(IDLE)
    }

    fn show(&mut self, event: &Event) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.settled = false;
        let now = self.now();
        let step = self.progress.apply(event, now);
        for renderer in &mut self.renderers {
            renderer.event(Shown { event, step: step.as_ref(), now });
        }
    }

    fn tick(&mut self) {
        self.last_tick = Instant::now();
        if self.settled {
            return;
        }
        let now = self.now();
        for renderer in &mut self.renderers {
            renderer.tick(&self.progress, now);
        }
    }

    fn settle(&mut self) {
        self.settled = true;
        for renderer in &mut self.renderers {
            renderer.settle();
        }
    }

    fn now(&self) -> Moment {
        Moment { wall: Timestamp::now(), elapsed: self.started.elapsed() }
    }
}

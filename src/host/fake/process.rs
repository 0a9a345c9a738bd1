//! The tool's process, which tests let die.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A run of the tool as its fake hosts see it: it counts their calls together and can die at any of them. Clones are
/// the same process.
#[derive(Debug, Clone, Default)]
pub struct FakeProcess(Arc<Mutex<Life>>);

/// When in a call the process dies. The host lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the host hears of it.
    Before,
    /// When the host has done half of a change that has parts (files, units, names); one without parts is done.
    Within,
    /// When the host has done all of it, and nobody hears that it has.
    After,
}

#[derive(Debug, Default)]
struct Life {
    calls: usize,
    dies_at: Option<(usize, Moment)>,
    dead: bool,
}

/// The process is dead already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead;

impl FakeProcess {
    /// A process that has made no call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets it die at a call, counted from 0 over all hosts; that call and all later ones fail.
    pub fn dies_at(&self, call: usize, moment: Moment) {
        self.life().dies_at = Some((call, moment));
    }

    /// Calls so far, on all hosts together, those that failed included.
    pub fn calls(&self) -> usize {
        self.life().calls
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        self.life().dead
    }

    /// Counts a call, and tells whether the process dies in it. For whatever else the process calls besides its hosts.
    ///
    /// # Errors
    ///
    /// It is dead already.
    pub fn enter(&self) -> Result<Option<Moment>, Dead> {
        let mut life = self.life();
        if life.dead {
            return Err(Dead);
        }
        let moment = life.dies_at.filter(|(call, _)| *call == life.calls).map(|(_, moment)| moment);
        life.calls += 1;
        life.dead = moment.is_some();
        Ok(moment)
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A host in memory, for trying what happens when the tool dies at any call. It keeps the same contract as a real one
//! (`tests/support/host_contract.rs`), and starting something in it has no effect but that it runs.

mod changes;
mod machine;
mod process;
mod snapshots;
mod swaps;

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, ready};

use super::{Change, HostError, HostStream, LogSource, LookRequest, ReadHost, WriteHost};
use crate::base::{Digest, Epoch, NodeName};
use crate::state::HostSnapshot;

pub use process::{Dead, FakeProcess, Moment};

use machine::Machine;

/// A machine as one process of the tool sees it. Clones see the same machine.
#[derive(Clone)]
pub struct FakeHost {
    node: NodeName,
    machine: Arc<Mutex<Machine>>,
    process: FakeProcess,
}

impl FakeHost {
    /// A fresh Debian 12: nothing of ours on it, no container runtime.
    pub fn new(node: NodeName, process: &FakeProcess) -> Self {
        let machine = Arc::new(Mutex::new(Machine::bare(&node)));
        Self { node, machine, process: process.clone() }
    }

    /// The same machine for the next process of the tool.
    #[must_use]
    pub fn seen_by(&self, process: &FakeProcess) -> Self {
        Self { process: process.clone(), ..self.clone() }
    }

    /// Changes the machine behind the tool's back. Contents of files are changed with [`FakeHost::put`].
    pub fn by_hand(&self, change: impl FnOnce(&mut HostSnapshot)) {
        change(&mut self.machine().state);
    }

    /// Gives a file that is there other bytes behind the tool's back, or makes one that belongs to root (mode 0644).
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.machine().put_by_hand(path, bytes);
    }

    /// Lets containers of an image fail from now on when they take part in a swap or make etcd's data, or a kubelet that a
    /// swap's proof asks for by its version, or a unit that is restarted with other files.
    pub fn let_fail(&self, image_or_version: &str) {
        self.machine().failing.insert(image_or_version.to_owned());
    }

    /// Lets it work again.
    pub fn let_work(&self, image_or_version: &str) {
        self.machine().failing.remove(image_or_version);
    }

    /// Everything that is on the machine, asked for or not.
    pub fn state(&self) -> HostSnapshot {
        self.machine().state.clone()
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and makes it, unless the process is dead or dies now.
    fn call<T>(
        &self,
        operation: &str,
        act: impl FnOnce(&mut Machine, Option<Moment>) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let died = || HostError::Disconnected {
            host: self.node.clone(),
            operation: operation.to_owned(),
            reason: "the process is dead".into(),
        };
        let death = self.process.enter().map_err(|_| died())?;
        if death == Some(Moment::Before) {
            return Err(died());
        }
        let result = act(&mut self.machine(), death);
        if death.is_some() { Err(died()) } else { result }
    }

    fn refused<T>(&self, operation: String, reason: String) -> Result<T, HostError> {
        Err(HostError::Refused { host: self.node.clone(), operation, reason })
    }
}

impl ReadHost for FakeHost {
    fn node(&self) -> &NodeName {
        &self.node
    }

    fn look<'a>(&'a self, request: &'a LookRequest) -> BoxFuture<'a, Result<HostSnapshot, HostError>> {
        Box::pin(ready(self.call("looking at the host", |machine, _| Ok(machine.look(request)))))
    }

    fn log_tail<'a>(&'a self, source: &'a LogSource, lines: usize) -> BoxFuture<'a, Result<Vec<String>, HostError>> {
        Box::pin(ready(self.call("reading a log", |machine, _| match source {
            LogSource::Container(name) if !machine.state.containers.contains_key(name) => {
                self.refused(format!("reading the log of container {name}"), "no such container".into())
            }
            LogSource::Container(_) | LogSource::Unit(_) | LogSource::Audit(_) => Ok(machine.log(source, lines)),
        })))
    }

    fn open_tcp<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<HostStream, HostError>> {
        // What answers on ports is faked one level higher, where it can be described.
        let operation = format!("connecting to {address}:{port}");
        let result =
            self.call(&operation, |_, _| self.refused(operation.clone(), "nothing accepts connections there".into()));
        Box::pin(ready(result))
    }

    fn copy_file<'a>(&'a self, path: &'a str, _size: u64, into: &'a File) -> BoxFuture<'a, Result<Digest, HostError>> {
        Box::pin(ready(self.copy(path, into)))
    }
}

impl FakeHost {
    fn copy(&self, path: &str, mut into: &File) -> Result<Digest, HostError> {
        let bytes = self.call("copying a file", |machine, _| Ok(machine.contents.get(path).cloned()))?;
        let Some(bytes) = bytes else {
            return self.refused(format!("copying {path}"), format!("cat: {path}: No such file or directory"));
        };
        let local = |source| HostError::LocalFile { host: self.node.clone(), path: path.to_owned(), source };
        into.write_all(&bytes).map_err(local)?;
        Ok(Digest::of(bytes))
    }
}

impl WriteHost for FakeHost {
    fn change<'a>(
        &'a self,
        epoch: Epoch,
        change: &'a Change,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), HostError>> {
        Box::pin(ready(self.call("making a change", |machine, death| {
            changes::make(&self.node, machine, epoch, change, death, progress)
        })))
    }
}

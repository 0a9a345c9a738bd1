//! `etcd snapshot`: from arguments to a use case, from its result to text and exit code.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::base::RunId;
use crate::engine::Cancellation;
use crate::journal::{Holder, RealDisk, State, StateFolder};
use crate::ops::{self, LossConsent, OperationError, PATIENCE, SnapshotInput};
use crate::plan::Plan;
use crate::report::Console;
use crate::state::{InvalidSnapshotName, SnapshotName, SnapshotRecord};

use super::arguments::{Connect, SnapshotCommand};
use super::commands::{Invocation, Result, listen, new_run, say};
use super::exit;

/// Runs one of the commands to its exit code.
pub(super) async fn run(command: &SnapshotCommand) -> Result<u8> {
    match command {
        SnapshotCommand::Save { connect, name } => save(connect, name.as_deref()).await,
        SnapshotCommand::List { connect, json } => list(connect, *json).await,
        SnapshotCommand::Verify { connect, name } => verify(connect, name.as_deref()).await,
        SnapshotCommand::Restore { connect, name, accept_loss_since, step_timeout, .. } => {
            let patience = Duration::from_secs(*step_timeout);
            match name {
                Some(name) => restore(connect, name, accept_loss_since.as_deref(), patience).await,
                // It is asked for, or a name would be required.
                None => abort(connect, patience).await,
            }
        }
    }
}

fn named(text: &str) -> Result<SnapshotName> {
    SnapshotName::new(text).map_err(|error: InvalidSnapshotName| OperationError::Input(error.to_string()))
}

/// What all of them begin with.
struct Session {
    invocation: Invocation,
    run: RunId,
    cancellation: Cancellation,
}

impl Session {
    fn open(connect: &Connect) -> Result<Self> {
        Ok(Self { invocation: Invocation::open(connect)?, run: new_run()?, cancellation: Cancellation::default() })
    }

    fn folder(&self) -> Result<StateFolder> {
        let holder = Holder::this_process(self.run.clone());
        Ok(StateFolder::open(Arc::new(RealDisk), &self.invocation.setup.state_folder(), holder)?)
    }

    fn input<'a>(&'a self, state: &'a State, patience: Duration) -> SnapshotInput<'a> {
        SnapshotInput {
            loaded: &self.invocation.loaded,
            state,
            reach: &self.invocation.reach,
            now: self.invocation.now,
            run: self.run.clone(),
            events: &self.invocation.console,
            cancellation: &self.cancellation,
            patience,
        }
    }

    /// Waits for work that Ctrl-C can stop, and gives the terminal back.
    async fn finish<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let interrupts = tokio::spawn(listen(self.cancellation.clone()));
        let result = work.await;
        interrupts.abort();
        self.invocation.console.finish();
        result
    }
}

async fn save(connect: &Connect, name: Option<&str>) -> Result<u8> {
    let name = name.map(named).transpose()?;
    let session = Session::open(connect)?;
    let name = name.map_or_else(|| named(&session.run.0), Ok)?;
    let mut folder = session.folder()?;
    let state = folder.state().clone();
    let input = session.input(&state, PATIENCE);
    let saved = session.finish(ops::save_snapshot(&mut folder, &input, name)).await?;
    let hosts: Vec<&str> = saved.whole_on.iter().map(|node| node.as_str()).collect();
    say(&format!("Snapshot {} is on {} and verified.\n", saved.name, hosts.join(", ")));
    Ok(exit::SUCCESS)
}

async fn list(connect: &Connect, json: bool) -> Result<u8> {
    let session = Session::open(connect)?;
    let state = session.invocation.peek()?;
    let input = session.input(&state, PATIENCE);
    let listing = session.finish(ops::list_snapshots(&input)).await?;
    if json {
        let text = serde_json::to_string_pretty(&listing).map_err(|error| OperationError::Input(error.to_string()))?;
        say(&format!("{text}\n"));
    } else {
        say(&listing.to_string());
    }
    Ok(if listing.is_whole() { exit::SUCCESS } else { exit::CHANGES })
}

async fn verify(connect: &Connect, name: Option<&str>) -> Result<u8> {
    let name = name.map(named).transpose()?;
    let session = Session::open(connect)?;
    let state = session.invocation.peek()?;
    let input = session.input(&state, PATIENCE);
    let verified = session.finish(ops::verify_snapshots(&input, name.as_ref())).await?;
    if verified.is_empty() {
        say("There are no snapshots.\n");
    }
    for snapshot in verified {
        let hosts: Vec<&str> = snapshot.whole_on.iter().map(|node| node.as_str()).collect();
        say(&format!("Snapshot {} can be restored from {}.\n", snapshot.name, hosts.join(", ")));
    }
    Ok(exit::SUCCESS)
}

async fn restore(connect: &Connect, name: &str, accepted: Option<&str>, patience: Duration) -> Result<u8> {
    let name = named(name)?;
    if let Some(accepted) = accepted.filter(|accepted| *accepted != name.as_str()) {
        let text = format!("--accept-loss-since names {accepted}, and {name} is to be restored");
        return Err(OperationError::Input(text));
    }
    let session = Session::open(connect)?;
    let mut folder = session.folder()?;
    let state = folder.state().clone();
    let input = session.input(&state, patience);
    let cluster = &session.invocation.loaded.cluster.name;
    let consent = Typed { console: &session.invocation.console, cluster, accepted };
    let restored = session.finish(ops::restore_snapshot(&mut folder, &input, &name, &consent)).await?;
    say(&format!(
        "Cluster {cluster} is back at snapshot {name} of {}.\nThe data before is kept on each etcd host: {}\n{}\n",
        restored.record.created,
        restored.old_data,
        "`provision plan` shows what cluster.yml wants and the snapshot did not hold."
    ));
    Ok(exit::SUCCESS)
}

async fn abort(connect: &Connect, patience: Duration) -> Result<u8> {
    let session = Session::open(connect)?;
    let mut folder = session.folder()?;
    let state = folder.state().clone();
    let input = session.input(&state, patience);
    let intent = session.finish(ops::abort_restore(&mut folder, &input)).await?;
    let cluster = &session.invocation.loaded.cluster.name;
    say(&format!("Cluster {cluster} goes on with the data that it had; snapshot {} is given up.\n", intent.snapshot));
    if intent.back_to.is_some() {
        say("The rollback itself is not: `provision rollback` goes on with it, without the snapshot.\n");
    }
    Ok(exit::SUCCESS)
}

/// Consent that cannot be given by habit: the cluster's name, typed, or the name of the snapshot, given beforehand.
pub(super) struct Typed<'a> {
    pub console: &'a Console,
    pub cluster: &'a str,
    /// The snapshot after which everything may be lost.
    pub accepted: Option<&'a str>,
}

impl LossConsent for Typed<'_> {
    fn ask<'a>(&'a self, record: &'a SnapshotRecord, plan: &'a Plan) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let loss = format!(
                "Everything that was written to cluster {} since {} will be lost.\n",
                self.cluster, record.created
            );
            self.console.suspend(|| say(&format!("{plan}\n{loss}")));
            if let Some(accepted) = self.accepted {
                if accepted != record.name.as_str() {
                    say(&format!("--accept-loss-since names {accepted}, and {} would be restored.\n", record.name));
                }
                return accepted == record.name.as_str();
            }
            if !std::io::stdin().is_terminal() {
                let name = &record.name;
                say(&format!("Standard input is no terminal: give --accept-loss-since {name} to carry this out.\n"));
                return false;
            }
            self.console.suspend(|| {
                say(&format!("Type the cluster's name ({}) to carry this out: ", self.cluster));
                let _ = std::io::stdout().flush();
                let mut answer = String::new();
                let read = std::io::stdin().read_line(&mut answer).is_ok();
                read && answer.trim() == self.cluster
            })
        })
    }
}

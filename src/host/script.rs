//! The two scripts that run on hosts, and the command that starts them.

use std::fs::File;
use std::io::Write as _;

use bytes::Bytes;
use futures::Stream;
use futures::stream::{StreamExt as _, iter};
use std::time::Duration;

use super::connection::{CommandOutput, Connection};
use super::{HostError, SshOptions};

/// Looks, and changes nothing.
pub(super) const GATHER: &str = include_str!("gather.sh");
/// Changes, and nothing else does.
const DOOR: &str = include_str!("door.sh");
/// What the door does with snapshots of etcd; sent before it only where it is asked for.
pub(super) const SNAPSHOTS: &str = include_str!("etcd_snapshot.sh");
/// Printed first by a script that runs: where it is missing, sudo has not let us in.
const BEGIN: &[u8] = b"\x1ebegin\n";
const SAY_BEGIN: &str = "printf '\\036begin\\n'\n";

/// Runs the script that looks. None of its input stands in the command.
pub(super) async fn gather(
    connection: &Connection,
    options: &SshOptions,
    input: String,
    limit: Duration,
) -> Result<CommandOutput, HostError> {
    run(connection, options, GATHER, iter([Ok(input.into())]), limit).await
}

/// Copies a file of the host behind what is in a file of this machine, and gives what else the script has printed.
pub(super) async fn copy(
    connection: &Connection,
    options: &SshOptions,
    path: &str,
    into: &File,
    limit: Duration,
) -> Result<CommandOutput, HostError> {
    let (script, command) = prepared(options, GATHER);
    let input = iter([Ok(script), Ok(Bytes::from(format!("file {path}\n")))]);
    let (mut begin, mut failed, mut file) = (Vec::new(), None, into);
    let mut keep = |bytes: &[u8]| {
        let (head, rest) = bytes.split_at(bytes.len().min(BEGIN.len() - begin.len()));
        begin.extend_from_slice(head);
        if failed.is_none() {
            failed = file.write_all(rest).err();
        }
    };
    let output = connection.run_into(&command, input, limit, &mut keep).await?;
    if begin != BEGIN {
        return Err(not_begun(options, &output));
    }
    match failed {
        Some(source) => {
            let (host, path) = (options.node.clone(), format!("the copy of {path}"));
            Err(HostError::LocalFile { host, path, source })
        }
        None => Ok(output),
    }
}

/// Runs the script that changes, with what comes before it. Only the door calls this.
pub(super) async fn door(
    connection: &Connection,
    options: &SshOptions,
    before: &str,
    input: impl Stream<Item = Result<Bytes, HostError>>,
    limit: Duration,
) -> Result<CommandOutput, HostError> {
    run(connection, options, &format!("{before}{DOOR}"), input, limit).await
}

/// The script itself comes first on standard input, so that the command is short and the same for all users: neither
/// sudo's log nor the list of processes shows more than that something ran.
async fn run(
    connection: &Connection,
    options: &SshOptions,
    script: &str,
    input: impl Stream<Item = Result<Bytes, HostError>>,
    limit: Duration,
) -> Result<CommandOutput, HostError> {
    let (script, command) = prepared(options, script);
    let input = iter([Ok(script)]).chain(input);
    let mut output = connection.run(&command, input, limit).await?;
    if !output.stdout.starts_with(BEGIN) {
        return Err(not_begun(options, &output));
    }
    output.stdout.drain(..BEGIN.len());
    Ok(output)
}

/// The text to be sent first, and the command that reads it.
fn prepared(options: &SshOptions, script: &str) -> (Bytes, String) {
    let text = format!("{SAY_BEGIN}{script}");
    let become_root = if options.is_root() { "" } else { "sudo -n " };
    let command = format!("exec {become_root}sh -c 'eval \"$(head -c {})\"'", text.len());
    (Bytes::from(text), command)
}

fn not_begun(options: &SshOptions, output: &CommandOutput) -> HostError {
    let (host, reason) = (options.node.clone(), output.complaint());
    if options.is_root() {
        return HostError::Refused { host, operation: "starting a shell".into(), reason };
    }
    HostError::NoRoot { host, user: options.user.clone(), reason }
}

//! The two scripts that run on hosts, and the command that starts them.

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

/// Runs the script that changes. Only the door calls this.
pub(super) async fn door(
    connection: &Connection,
    options: &SshOptions,
    input: impl Stream<Item = Result<Bytes, HostError>>,
    limit: Duration,
) -> Result<CommandOutput, HostError> {
    run(connection, options, DOOR, input, limit).await
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
    let text = format!("{SAY_BEGIN}{script}");
    let become_root = if options.is_root() { "" } else { "sudo -n " };
    let command = format!("exec {become_root}sh -c 'eval \"$(head -c {})\"'", text.len());
    let input = iter([Ok(Bytes::from(text))]).chain(input);
    let mut output = connection.run(&command, input, limit).await?;
    if !output.stdout.starts_with(BEGIN) {
        return Err(not_begun(options, &output));
    }
    output.stdout.drain(..BEGIN.len());
    Ok(output)
}

fn not_begun(options: &SshOptions, output: &CommandOutput) -> HostError {
    let (host, reason) = (options.node.clone(), output.complaint());
    if options.is_root() {
        return HostError::Refused { host, operation: "starting a shell".into(), reason };
    }
    HostError::NoRoot { host, user: options.user.clone(), reason }
}

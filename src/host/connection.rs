//! One SSH connection: commands and channels.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::Stream;
use futures::future::{Either, select};
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelMsg, ChannelOpenFailure, cipher};
use tokio::sync::Semaphore;

use super::known_hosts::KnownKeys;
use super::login::log_in;
use super::round_trips::{AFTER_LOGIN, CountedStream, RoundTrips};
use super::{HostError, HostStream};
use crate::base::NodeName;

/// sshd's `MaxSessions` is 10; four are left for Docker's API, which is a session each where sudo is needed.
const MOST_COMMANDS: usize = 6;
/// A host answers at once whether a port of its own listens; another node may be silent.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(15);
/// What is kept of a command's output; the rest is read and thrown away.
const MOST_OUTPUT_BYTES: usize = 64 << 20;
const MOST_COMPLAINT_BYTES: usize = 64 << 10;

/// Where and as whom to log in.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// Which node.
    pub node: NodeName,
    /// Address or name.
    pub address: String,
    /// Port of sshd.
    pub port: u16,
    /// User.
    pub user: String,
    /// Key file.
    pub key_path: Option<PathBuf>,
    /// Socket of an SSH agent.
    pub agent: Option<PathBuf>,
    /// File of known host keys, in OpenSSH's format.
    pub known_hosts: PathBuf,
    /// Refuse unknown keys instead of recording them.
    pub strict: bool,
    /// Time for TCP, handshake and login together.
    pub connect_timeout: Duration,
    /// A connection over which nothing came for four times this long is dead.
    pub keepalive: Duration,
}

impl SshOptions {
    /// Address and port for messages.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// Whether the user is root by name; all others go through sudo.
    pub(super) fn is_root(&self) -> bool {
        self.user == "root"
    }

    pub(super) fn unreachable(&self, reason: &dyn std::fmt::Display) -> HostError {
        HostError::Unreachable { host: self.node.clone(), address: self.place(), reason: reason.to_string() }
    }
}

/// An open connection. Commands and channels run over it at the same time.
pub(super) struct Connection {
    node: NodeName,
    handle: Handle<HostKeyCheck>,
    commands: Semaphore,
    trips: Arc<RoundTrips>,
}

/// What a command has printed.
pub(super) struct CommandOutput {
    pub status: u32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// When the command was asked for, and when its first output came.
    pub asked: SystemTime,
    pub first_output: Option<SystemTime>,
}

impl CommandOutput {
    /// The last lines of what it complained of, short enough for a message.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(5)..];
        let text = last.join(" | ");
        let cut = text.char_indices().nth(600).map_or(text.len(), |(index, _)| index);
        if text.is_empty() { format!("exit code {}", self.status) } else { text[..cut].to_owned() }
    }
}

/// What the check of the host's key has to tell, beside its yes or no.
#[derive(Default)]
struct KeyVerdict {
    refused: Option<HostError>,
    new_fingerprint: Option<String>,
}

struct HostKeyCheck {
    options: SshOptions,
    known: KnownKeys,
    verdict: Arc<Mutex<KeyVerdict>>,
}

impl client::Handler for HostKeyCheck {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        // Certificates are not asked for, so no host may show one.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let result = self.known.check(&self.options, key);
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(new) => {
                verdict.new_fingerprint = new;
                Ok(true)
            }
            Err(error) => {
                verdict.refused = Some(error);
                Ok(false)
            }
        }
    }
}

fn configuration(options: &SshOptions, known: &KnownKeys) -> Arc<client::Config> {
    let mut preferred = russh::Preferred::default();
    preferred.key = known.algorithms(&preferred.key);
    // Both ends have instructions for it: twice the rate of the default in our measurements.
    let ciphers = vec![cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR];
    preferred.cipher = ciphers.into();
    preferred.compression = vec![russh::compression::NONE].into();
    Arc::new(client::Config {
        preferred,
        nodelay: true,
        window_size: 16 << 20,
        maximum_packet_size: 65535,
        keepalive_interval: Some(options.keepalive),
        keepalive_max: 3,
        inactivity_timeout: None,
        ..client::Config::default()
    })
}

impl Connection {
    /// Connects and logs in; tells the fingerprint of a key that was recorded.
    pub async fn open(options: &SshOptions, trips: Arc<RoundTrips>) -> Result<(Self, Option<String>), HostError> {
        let limit = options.connect_timeout;
        match tokio::time::timeout(limit, Self::attempt(options, trips)).await {
            Ok(result) => result,
            Err(_) => Err(options.unreachable(&format!("no answer within {} s", limit.as_secs()))),
        }
    }

    async fn attempt(options: &SshOptions, trips: Arc<RoundTrips>) -> Result<(Self, Option<String>), HostError> {
        let verdict = Arc::new(Mutex::new(KeyVerdict::default()));
        let known = KnownKeys::read(options)?;
        let configuration = configuration(options, &known);
        let check = HostKeyCheck { options: options.clone(), known, verdict: Arc::clone(&verdict) };
        let place = (options.address.as_str(), options.port);
        let connected = client::connect(configuration, place, check).await;
        let told = std::mem::take(&mut *verdict.lock().unwrap_or_else(PoisonError::into_inner));
        let mut handle = match (connected, told.refused) {
            (_, Some(error)) => return Err(error),
            (Err(error), None) => return Err(options.unreachable(&error)),
            (Ok(handle), None) => handle,
        };
        log_in(&mut handle, options).await?;
        let commands = Semaphore::new(MOST_COMMANDS);
        Ok((Self { node: options.node.clone(), handle, commands, trips }, told.new_fingerprint))
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Runs a command that reads a stream, all of it within `limit`. Output is always drained: a channel that nobody
    /// reads stops all others.
    pub async fn run(
        &self,
        command: &str,
        input: impl Stream<Item = Result<Bytes, HostError>>,
        limit: Duration,
    ) -> Result<CommandOutput, HostError> {
        let mut stdout = Vec::new();
        let mut kept = |bytes: &[u8]| keep(&mut stdout, bytes, MOST_OUTPUT_BYTES);
        let output = self.run_into(command, input, limit, &mut kept).await?;
        Ok(CommandOutput { stdout, ..output })
    }

    /// The same, with its output given on piece by piece instead of being kept.
    pub async fn run_into(
        &self,
        command: &str,
        input: impl Stream<Item = Result<Bytes, HostError>>,
        limit: Duration,
        stdout: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<CommandOutput, HostError> {
        // The semaphore lives as long as the connection and is never closed.
        let _permit = self.commands.acquire().await.map_err(|error| self.broken("running a command", &error))?;
        // The time begins here: waiting for other commands of ours is no fault of the host.
        match tokio::time::timeout(limit, self.exchange(command, input, stdout)).await {
            Ok(result) => result,
            Err(_) => Err(self.broken("running a command", &format!("it took longer than {} s", limit.as_secs()))),
        }
    }

    async fn exchange(
        &self,
        command: &str,
        input: impl Stream<Item = Result<Bytes, HostError>>,
        stdout: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<CommandOutput, HostError> {
        let (channel, place) = self.session().await?;
        let asked = SystemTime::now();
        channel.exec(true, command).await.map_err(|error| self.broken("running a command", &error))?;
        let (reader, writer) = channel.split();
        let (sending, draining) = (std::pin::pin!(send(&writer, input)), std::pin::pin!(drain(reader, asked, stdout)));
        let (sent, output) = match select(draining, sending).await {
            // A command that ends before it has read everything explains itself in its output.
            Either::Left((output, _)) => (Ok(()), output),
            Either::Right((sent, draining)) => (sent, draining.await),
        };
        self.trips.answered(place);
        sent?;
        output.ok_or_else(|| self.broken("running a command", &"it ended without an exit code"))
    }

    async fn session(&self) -> Result<(russh::Channel<client::Msg>, usize), HostError> {
        let channel = self.handle.channel_open_session().await;
        let channel = channel.map_err(|error| match error {
            russh::Error::ChannelOpenFailure(_) => HostError::Refused {
                host: self.node.clone(),
                operation: "opening a session".into(),
                reason: format!("{error}: sshd's MaxSessions must be at least 10"),
            },
            error => self.broken("opening a session", &error),
        })?;
        Ok((channel, self.trips.answered(AFTER_LOGIN)))
    }

    /// Opens a stream to a UNIX socket of the host.
    pub async fn open_socket(&self, path: &str) -> Result<HostStream, HostError> {
        let operation = format!("forwarding to {path}");
        let opening = self.handle.channel_open_direct_streamlocal(path);
        let channel = self.opened(&operation, "AllowStreamLocalForwarding", opening).await?;
        let place = self.trips.answered(AFTER_LOGIN);
        Ok(Box::pin(CountedStream::new(channel.into_stream(), Arc::clone(&self.trips), place)))
    }

    /// Opens a stream to an address as the host sees it.
    pub async fn open_tcp(&self, address: &str, port: u16) -> Result<HostStream, HostError> {
        let operation = format!("connecting to {address}:{port}");
        let opening = self.handle.channel_open_direct_tcpip(address, port.into(), "127.0.0.1", 0);
        let channel = self.opened(&operation, "AllowTcpForwarding", opening).await?;
        let place = self.trips.answered(AFTER_LOGIN);
        Ok(Box::pin(CountedStream::new(channel.into_stream(), Arc::clone(&self.trips), place)))
    }

    /// Opens a stream to a command's standard input and output.
    pub async fn open_command(&self, command: &str) -> Result<HostStream, HostError> {
        let (channel, place) = self.session().await?;
        channel.exec(true, command).await.map_err(|error| self.broken("running a command", &error))?;
        Ok(Box::pin(CountedStream::new(channel.into_stream(), Arc::clone(&self.trips), place)))
    }

    async fn opened(
        &self,
        operation: &str,
        setting: &str,
        opening: impl Future<Output = Result<russh::Channel<client::Msg>, russh::Error>>,
    ) -> Result<russh::Channel<client::Msg>, HostError> {
        let refused =
            |reason: String| HostError::Refused { host: self.node.clone(), operation: operation.into(), reason };
        match tokio::time::timeout(CHANNEL_TIMEOUT, opening).await {
            Err(_) => Err(refused(format!("no answer within {} s", CHANNEL_TIMEOUT.as_secs()))),
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited))) => {
                Err(HostError::forwarding(&self.node, operation, setting))
            }
            Ok(Err(russh::Error::ChannelOpenFailure(failure))) => {
                Err(refused(format!("nothing accepts connections there ({failure:?})")))
            }
            Ok(Err(error)) => Err(self.broken(operation, &error)),
        }
    }

    fn broken(&self, operation: &str, error: &dyn std::fmt::Display) -> HostError {
        HostError::Disconnected { host: self.node.clone(), operation: operation.into(), reason: error.to_string() }
    }
}

/// Sends everything and then the end of input, which also comes after an error of the source: the command notices that
/// something is missing and cleans up. A channel that breaks is no error here: the output tells.
async fn send(
    writer: &russh::ChannelWriteHalf<client::Msg>,
    input: impl Stream<Item = Result<Bytes, HostError>>,
) -> Result<(), HostError> {
    let mut input = std::pin::pin!(input);
    let mut failed = None;
    while let Some(bytes) = futures::StreamExt::next(&mut input).await {
        match bytes {
            Ok(bytes) => {
                if writer.data_bytes(bytes).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let _ended_already = writer.eof().await;
    failed.map_or(Ok(()), Err)
}

async fn drain(
    mut reader: russh::ChannelReadHalf,
    asked: SystemTime,
    stdout: &mut (dyn FnMut(&[u8]) + Send),
) -> Option<CommandOutput> {
    let (mut stderr, mut status, mut first_output) = (Vec::new(), None, None);
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                first_output.get_or_insert_with(SystemTime::now);
                stdout(&data);
            }
            ChannelMsg::ExtendedData { data, .. } => {
                stderr.extend_from_slice(&data);
                let excess = stderr.len().saturating_sub(MOST_COMPLAINT_BYTES);
                stderr.drain(..excess);
            }
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    status.map(|status| CommandOutput { status, stdout: Vec::new(), stderr, asked, first_output })
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

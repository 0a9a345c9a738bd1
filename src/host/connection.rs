//! One SSH connection: login, commands, channels.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client::{self, AuthResult, Handle};
use russh::keys::agent::client::AgentClient;
use russh::keys::known_hosts::{check_known_hosts_path, learn_known_hosts_path};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{ChannelMsg, cipher};
use tokio::sync::Semaphore;

use super::{HostError, HostStream};
use crate::base::NodeName;

/// sshd's `MaxSessions` is 10; two are left for whoever else uses the connection.
const MOST_COMMANDS: usize = 8;

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
    /// A connection over which nothing came for three times this long is dead.
    pub keepalive: Duration,
}

impl SshOptions {
    fn place(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }
}

/// An open connection. Commands and channels run over it at the same time.
pub(super) struct Connection {
    node: NodeName,
    handle: Handle<HostKeyCheck>,
    commands: Semaphore,
}

/// What a command has printed.
pub(super) struct CommandOutput {
    pub status: u32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
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
    verdict: Arc<Mutex<KeyVerdict>>,
}

/// Hosts connect at once; the file of known keys is written by one at a time.
static KNOWN_HOSTS: Mutex<()> = Mutex::new(());

impl HostKeyCheck {
    fn check(&self, key: &PublicKeyOrCertificate) -> Result<Option<String>, HostError> {
        let _guard = KNOWN_HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
        let options = &self.options;
        let key = key.key().clone();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let (host, address) = (options.node.clone(), options.place());
        let known_hosts = options.known_hosts.display().to_string();
        let recorded = recorded_lines(options);
        match check_known_hosts_path(&options.address, options.port, &key, &options.known_hosts) {
            Ok(true) => Ok(None),
            Err(russh::keys::Error::KeyChanged { line }) => {
                Err(HostError::HostKeyChanged { host, address, known_hosts, line, fingerprint })
            }
            // A key of another type than the recorded one is a changed key: else an attacker would choose the type.
            _ if !recorded.is_empty() => {
                let line = recorded[0];
                Err(HostError::HostKeyChanged { host, address, known_hosts, line, fingerprint })
            }
            _ if options.strict => Err(HostError::HostKeyUnknown { host, address, known_hosts, fingerprint }),
            _ => {
                record(options, &key).map_err(|source| HostError::LocalFile { host, path: known_hosts, source })?;
                Ok(Some(fingerprint))
            }
        }
    }
}

fn recorded_lines(options: &SshOptions) -> Vec<usize> {
    let keys = russh::keys::known_hosts::known_host_keys_path(&options.address, options.port, &options.known_hosts);
    keys.unwrap_or_default().into_iter().map(|(line, _)| line).collect()
}

fn record(options: &SshOptions, key: &russh::keys::PublicKey) -> std::io::Result<()> {
    learn_known_hosts_path(&options.address, options.port, key, &options.known_hosts).map_err(std::io::Error::other)?;
    std::fs::File::open(&options.known_hosts)?.sync_all()
}

impl client::Handler for HostKeyCheck {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let result = self.check(key);
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

fn configuration(options: &SshOptions) -> Arc<client::Config> {
    let mut preferred = russh::Preferred::default();
    // Both ends have instructions for it: twice the rate of the default in our measurements.
    preferred.cipher =
        vec![cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR].into();
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
    pub async fn open(options: &SshOptions) -> Result<(Self, Option<String>), HostError> {
        let attempt = Self::attempt(options);
        match tokio::time::timeout(options.connect_timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(options, format!("no answer within {} s", options.connect_timeout.as_secs()))),
        }
    }

    async fn attempt(options: &SshOptions) -> Result<(Self, Option<String>), HostError> {
        let verdict = Arc::new(Mutex::new(KeyVerdict::default()));
        let check = HostKeyCheck { options: options.clone(), verdict: Arc::clone(&verdict) };
        let place = (options.address.as_str(), options.port);
        let connected = client::connect(configuration(options), place, check).await;
        let told = std::mem::take(&mut *verdict.lock().unwrap_or_else(PoisonError::into_inner));
        let mut handle = match (connected, told.refused) {
            (_, Some(error)) => return Err(error),
            (Err(error), None) => return Err(unreachable(options, error.to_string())),
            (Ok(handle), None) => handle,
        };
        log_in(&mut handle, options).await?;
        let commands = Semaphore::new(MOST_COMMANDS);
        Ok((Self { node: options.node.clone(), handle, commands }, told.new_fingerprint))
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Runs a command with its whole input given at once.
    pub async fn run(&self, command: &str, input: impl Into<Bytes>) -> Result<CommandOutput, HostError> {
        let stream = futures::stream::iter([Ok(input.into())]);
        self.run_with(command, stream).await
    }

    /// Runs a command that reads a stream. Output is always drained: a channel that nobody reads stops all others.
    pub async fn run_with(
        &self,
        command: &str,
        input: impl futures::Stream<Item = Result<Bytes, HostError>>,
    ) -> Result<CommandOutput, HostError> {
        // The semaphore lives as long as the connection and is never closed.
        let _permit = self.commands.acquire().await.map_err(|error| self.broken("running a command", &error))?;
        let channel = self.handle.channel_open_session().await;
        let channel = channel.map_err(|error| self.broken("opening a session", &error))?;
        channel.exec(true, command).await.map_err(|error| self.broken("running a command", &error))?;
        let (reader, writer) = channel.split();
        let (sent, output) = futures::future::join(send(&writer, input), drain(reader)).await;
        match sent {
            Err(SendFailure::Source(error)) => Err(error),
            // A command that ends before it has read everything explains itself in its output.
            Ok(()) | Err(SendFailure::Channel) => output.ok_or_else(|| self.cut("running a command")),
        }
    }

    /// Opens a stream to a UNIX socket of the host.
    pub async fn open_socket(&self, path: &str) -> Result<HostStream, HostError> {
        let channel = self.handle.channel_open_direct_streamlocal(path).await;
        let channel = channel.map_err(|error| self.refused(&format!("forwarding to {path}"), &error))?;
        Ok(Box::pin(channel.into_stream()))
    }

    /// Opens a stream to an address as the host sees it.
    pub async fn open_tcp(&self, address: &str, port: u16) -> Result<HostStream, HostError> {
        let channel = self.handle.channel_open_direct_tcpip(address, port.into(), "127.0.0.1", 0).await;
        let channel = channel.map_err(|error| self.refused(&format!("connecting to {address}:{port}"), &error))?;
        Ok(Box::pin(channel.into_stream()))
    }

    /// Opens a stream to a command's standard input and output.
    pub async fn open_command(&self, command: &str) -> Result<HostStream, HostError> {
        let channel = self.handle.channel_open_session().await;
        let channel = channel.map_err(|error| self.broken("opening a session", &error))?;
        channel.exec(true, command).await.map_err(|error| self.broken("running a command", &error))?;
        Ok(Box::pin(channel.into_stream()))
    }

    fn broken(&self, operation: &str, error: &dyn std::fmt::Display) -> HostError {
        HostError::Disconnected { host: self.node.clone(), operation: operation.into(), reason: error.to_string() }
    }

    fn cut(&self, operation: &str) -> HostError {
        self.broken(operation, &"it ended without an exit code")
    }

    fn refused(&self, operation: &str, error: &russh::Error) -> HostError {
        use russh::ChannelOpenFailure::AdministrativelyProhibited;
        if matches!(error, russh::Error::ChannelOpenFailure(AdministrativelyProhibited)) {
            let what = format!("{operation}: set AllowTcpForwarding and AllowStreamLocalForwarding to yes");
            return HostError::ForwardingRefused { host: self.node.clone(), what };
        }
        HostError::Refused { host: self.node.clone(), operation: operation.into(), reason: error.to_string() }
    }
}

enum SendFailure {
    Source(HostError),
    Channel,
}

async fn send(
    writer: &russh::ChannelWriteHalf<client::Msg>,
    input: impl futures::Stream<Item = Result<Bytes, HostError>>,
) -> Result<(), SendFailure> {
    let mut input = std::pin::pin!(input);
    while let Some(bytes) = futures::StreamExt::next(&mut input).await {
        let bytes = bytes.map_err(SendFailure::Source)?;
        writer.data_bytes(bytes).await.map_err(|_| SendFailure::Channel)?;
    }
    writer.eof().await.map_err(|_| SendFailure::Channel)
}

async fn drain(mut reader: russh::ChannelReadHalf) -> Option<CommandOutput> {
    let (mut stdout, mut stderr, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => stderr.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    status.map(|status| CommandOutput { status, stdout, stderr })
}

fn unreachable(options: &SshOptions, reason: String) -> HostError {
    HostError::Unreachable { host: options.node.clone(), address: options.place(), reason }
}

/// Tries the key file, then each key of the agent.
async fn log_in(handle: &mut Handle<HostKeyCheck>, options: &SshOptions) -> Result<(), HostError> {
    let mut tried = Vec::new();
    if let Some(path) = &options.key_path {
        match by_key_file(handle, options, path).await? {
            None => return Ok(()),
            Some(reason) => tried.push(reason),
        }
    }
    if let Some(socket) = &options.agent {
        match by_agent(handle, options, socket).await? {
            None => return Ok(()),
            Some(reason) => tried.push(reason),
        }
    }
    let reason = if tried.is_empty() { "there is no key to try".into() } else { tried.join("; ") };
    Err(HostError::AuthenticationRefused { host: options.node.clone(), user: options.user.clone(), reason })
}

async fn by_key_file(
    handle: &mut Handle<HostKeyCheck>,
    options: &SshOptions,
    path: &Path,
) -> Result<Option<String>, HostError> {
    let key = match load_secret_key(path, None) {
        Ok(key) => key,
        Err(russh::keys::Error::KeyIsEncrypted) => {
            return Ok(Some(format!("{} has a passphrase: load it into an SSH agent", path.display())));
        }
        Err(error) => return Ok(Some(format!("{}: {error}", path.display()))),
    };
    let hash = rsa_hash(handle, options).await?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    let result = handle.authenticate_publickey(&options.user, key).await;
    let result = result.map_err(|error| unreachable(options, error.to_string()))?;
    Ok(if is_success(&result) { None } else { Some(format!("key {} is not accepted", path.display())) })
}

async fn by_agent(
    handle: &mut Handle<HostKeyCheck>,
    options: &SshOptions,
    socket: &Path,
) -> Result<Option<String>, HostError> {
    let mut agent = match AgentClient::connect_uds(socket).await {
        Ok(agent) => agent,
        Err(error) => return Ok(Some(format!("the SSH agent at {}: {error}", socket.display()))),
    };
    let identities = match agent.request_identities().await {
        Ok(identities) => identities,
        Err(error) => return Ok(Some(format!("the SSH agent at {}: {error}", socket.display()))),
    };
    let hash = rsa_hash(handle, options).await?;
    let count = identities.len();
    for identity in identities {
        let key = identity.public_key().into_owned();
        let result = handle.authenticate_publickey_with(&options.user, key, hash, &mut agent).await;
        if result.is_ok_and(|result| is_success(&result)) {
            return Ok(None);
        }
    }
    Ok(Some(format!("none of the agent's {count} keys is accepted")))
}

async fn rsa_hash(handle: &Handle<HostKeyCheck>, options: &SshOptions) -> Result<Option<HashAlg>, HostError> {
    let hash = handle.best_supported_rsa_hash().await.map_err(|error| unreachable(options, error.to_string()))?;
    Ok(hash.flatten())
}

fn is_success(result: &AuthResult) -> bool {
    matches!(result, AuthResult::Success)
}

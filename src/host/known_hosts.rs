//! The file of known host keys: checked before anything is said to a host, extended only by keys of unknown hosts.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::{Algorithm, HashAlg, PublicKey};

use super::{HostError, SshOptions};

/// Keys on record for a host, each with its line.
pub(super) struct KnownKeys(Vec<(usize, PublicKey)>);

impl KnownKeys {
    /// Reads the file. One that is not there is empty; one that cannot be read or understood is an error, because
    /// a host would count as unknown otherwise and any key of it would be taken.
    pub fn read(options: &SshOptions) -> Result<Self, HostError> {
        match File::open(&options.known_hosts) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self(Vec::new())),
            opened => opened.map_err(|error| unusable(options, error))?,
        };
        let keys = known_host_keys_path(&options.address, options.port, &options.known_hosts);
        keys.map(Self).map_err(|error| unusable(options, io::Error::new(ErrorKind::InvalidData, error)))
    }

    /// The key types to ask the host for: those on record where there are any, as OpenSSH does. A host has several
    /// keys, and showing one of a type that is not on record must look like a changed key.
    pub fn algorithms(&self, default: &[Algorithm]) -> Cow<'static, [Algorithm]> {
        // `ssh-rsa` signs with SHA-1.
        let offered = default.iter().filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None }));
        let recorded = |algorithm: &&Algorithm| self.0.iter().any(|(_, key)| same_type(&key.algorithm(), algorithm));
        let wanted: Vec<Algorithm> = offered.clone().filter(recorded).cloned().collect();
        if wanted.is_empty() { offered.cloned().collect() } else { wanted }.into()
    }

    /// Compares the key that a host shows; tells its fingerprint if it was unknown and is recorded now.
    pub fn check(&self, options: &SshOptions, shown: &PublicKey) -> Result<Option<String>, HostError> {
        if self.0.iter().any(|(_, key)| key.key_data() == shown.key_data()) {
            return Ok(None);
        }
        let fingerprint = shown.fingerprint(HashAlg::Sha256).to_string();
        let (host, address) = (options.node.clone(), options.place());
        let known_hosts = options.known_hosts.display().to_string();
        if let Some((line, _)) = self.0.first() {
            return Err(HostError::HostKeyChanged { host, address, known_hosts, line: *line, fingerprint });
        }
        if options.strict {
            return Err(HostError::HostKeyUnknown { host, address, known_hosts, fingerprint });
        }
        record(options, shown).map_err(|error| unusable(options, error))?;
        Ok(Some(fingerprint))
    }
}

fn same_type(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn unusable(options: &SshOptions, source: io::Error) -> HostError {
    let path = options.known_hosts.display().to_string();
    HostError::KnownHosts { host: options.node.clone(), path, source }
}

/// Writes the file anew with one line more and renames it. Hosts connect at once, in this process and in others: the
/// folder is locked meanwhile, so that no line gets lost.
fn record(options: &SshOptions, key: &PublicKey) -> io::Result<()> {
    let path = &options.known_hosts;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = File::open(folder)?;
    lock.lock()?;
    let mut text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.push(b'\n');
    }
    let name =
        if options.port == 22 { options.address.clone() } else { format!("[{}]:{}", options.address, options.port) };
    let mut bare = key.clone();
    bare.set_comment("");
    let key = bare.to_openssh().map_err(io::Error::other)?;
    text.extend_from_slice(format!("{name} {}\n", key.trim_end()).as_bytes());
    let new = path.with_extension("known_hosts.new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    lock.sync_all()
}

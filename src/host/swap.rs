//! The replacement of one running component, which a host carries out by itself and takes back by itself. Pure.

use bytes::Bytes;

use super::request::{Archive, Lines, Problem, bytes_of, place};
use crate::base::Epoch;
use crate::state::{ContainerSpec, FileSpec, LinkSpec, Owner};

/// The program that carries out a swap on a host, and ends at boot what was begun.
const PROGRAM: &str = include_str!("swap.sh");
/// The unit that starts it at boot.
const UNIT: &str = include_str!("settle.service");
/// Where an intent waits until it is whole.
const NEW: &str = "/var/lib/provision/swap/.new";

/// The replacement of one running component by another. It ends with the new one proven, or with the old one back and
/// proven; which of the two, the host decides alone.
#[derive(Debug, Clone)]
pub struct Swap {
    /// What comes in the place of what.
    pub replacement: Replacement,
    /// Files that only tell what runs (copies at fixed paths, the record of the container): renamed into their places once
    /// the new one is proven, and untouched where it is not. Small ones only.
    pub files: Vec<FileSpec>,
    /// Files that the new one reads and that lie where the old one's do, certificates above all: they are in their places
    /// before it starts, and put back where it fails. Small ones only.
    pub reads: Vec<FileSpec>,
    /// How the new one shows that it works.
    pub proof: Proof,
    /// Seconds until the new one must be healthy for the first time; the old one has as many on the way back.
    pub patience_seconds: u32,
}

/// What comes in the place of what.
#[derive(Debug, Clone)]
pub enum Replacement {
    /// The container of the same name, which is stopped first.
    Container(Box<ContainerSpec>),
    /// The container of the same name, which is stopped when the new one listens beside it on the port of the proof's
    /// first probe. Both must open it with `SO_REUSEPORT`.
    BesideOld(Box<ContainerSpec>),
    /// A service of systemd: its unit file and links, which are put back where it fails.
    Unit {
        /// Name of the unit, such as `kubelet.service`.
        name: String,
        /// Its file.
        unit_file: FileSpec,
        /// Links that choose what it runs.
        links: Vec<LinkSpec>,
    },
    /// A service of systemd by the name of its unit, which only reads other files: it is restarted with them.
    Service(String),
}

impl Replacement {
    /// Name of the component: the container's, or the unit's without its type.
    pub fn name(&self) -> &str {
        match self {
            Self::Container(spec) | Self::BesideOld(spec) => &spec.name,
            Self::Unit { name, .. } | Self::Service(name) => name.strip_suffix(".service").unwrap_or(name),
        }
    }

    pub(super) fn container(&self) -> Option<&ContainerSpec> {
        match self {
            Self::Container(spec) | Self::BesideOld(spec) => Some(spec),
            Self::Unit { .. } | Self::Service(_) => None,
        }
    }
}

/// How a component shows that it works: all probes hold at once, and go on holding without a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What is asked on the host.
    pub probes: Vec<Probe>,
    /// Seconds for which they must hold without the component being started again by itself; 0 for one moment.
    pub stays_seconds: u32,
}

/// One question asked on the host, over loopback where it is one of a port. Its answer must be 200 then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Without TLS.
    Http {
        /// Loopback port.
        port: u16,
        /// Path, such as `/healthz`.
        path: String,
    },
    /// With TLS.
    Https {
        /// Loopback port.
        port: u16,
        /// Path, such as `/readyz`.
        path: String,
        /// File with the authority that the server's certificate is checked against; `None` for a server that signs itself.
        authority: Option<String>,
        /// Certificate to show.
        client: Option<ClientFiles>,
    },
    /// The API through this host's API proxy: the Node has this kubelet and is Ready, by a heartbeat since the start.
    Node {
        /// The Node's name.
        name: String,
        /// What it must report, such as `v1.34.1`. On the way back any version will do.
        version: String,
        /// File with the cluster's authority.
        authority: String,
        /// kubelet's own certificate, which may read its Node.
        client: ClientFiles,
    },
    /// containerd's own word, over its socket: what serves kubelet works. It goes on without it where it does not like its
    /// configuration.
    Runtime,
}

/// A certificate and its key in files of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// Certificate, PEM.
    pub certificate: String,
    /// Key, PEM.
    pub key: String,
}

/// Name of the container that waits to take the place of another.
pub(super) fn next_name(name: &str) -> String {
    format!("{name}.next")
}

/// What the door's script reads to end what is left of an earlier swap.
pub(super) fn encode_settle(epoch: Epoch, name: &str) -> Result<Bytes, Problem> {
    let mut lines = Lines::new(epoch);
    lines.list("swap", &["settle".into(), plain(name)?.to_owned()])?;
    Ok(lines.0.into())
}

/// What the door's script reads to begin a swap.
pub(super) fn encode(epoch: Epoch, swap: &Swap) -> Result<Bytes, Problem> {
    let mut lines = Lines::new(epoch);
    lines.list("swap", &["replace".into(), plain(swap.replacement.name())?.to_owned()])?;
    lines.0.extend(archive(swap)?);
    Ok(lines.0.into())
}

/// The intent with its files, and the program that goes by it.
fn archive(swap: &Swap) -> Result<Vec<u8>, Problem> {
    let mut archive = Archive(tar::Builder::new(Vec::new()));
    for folder in ["/var/lib/provision/swap", NEW, &format!("{NEW}/files")] {
        archive.folder(folder, Owner::ROOT, 0o700)?;
    }
    let mut numbered = Vec::new();
    if let Replacement::Unit { unit_file, links, .. } = &swap.replacement {
        archive.file(&format!("{NEW}/files/0"), unit_file.owner, unit_file.mode, bytes_of(unit_file)?)?;
        numbered.push(("early", unit_file.path.as_str()));
        for link in links {
            archive.link(&format!("{NEW}/files/{}", numbered.len()), &link.target)?;
            numbered.push(("early", &link.path));
        }
    }
    for file in &swap.reads {
        archive.file(&format!("{NEW}/files/{}", numbered.len()), file.owner, file.mode, bytes_of(file)?)?;
        numbered.push(("early", &file.path));
    }
    for file in &swap.files {
        archive.file(&format!("{NEW}/files/{}", numbered.len()), file.owner, file.mode, bytes_of(file)?)?;
        numbered.push(("late", &file.path));
    }
    archive.file(&format!("{NEW}/intent"), Owner::ROOT, 0o600, intent(swap, &numbered)?.as_bytes())?;
    archive.file(&format!("{NEW}/program"), Owner::ROOT, 0o700, PROGRAM.as_bytes())?;
    archive.file(&format!("{NEW}/provision-settle.service"), Owner::ROOT, 0o644, UNIT.as_bytes())?;
    archive.0.into_inner().map_err(|error| error.to_string())
}

/// A value a line. The script adds the ids of both containers.
fn intent(swap: &Swap, files: &[(&str, &str)]) -> Result<String, Problem> {
    let mut lines = vec![format!("name {}", plain(swap.replacement.name())?)];
    match &swap.replacement {
        Replacement::Container(_) => lines.push("kind container".into()),
        Replacement::BesideOld(_) => {
            lines.push("kind beside".into());
            lines.push(format!("port {}", first_port(&swap.proof)?));
        }
        Replacement::Unit { name, .. } | Replacement::Service(name) => {
            lines.push("kind unit".into());
            lines.push(format!("unit {}", plain(name)?));
        }
    }
    lines.push(format!("patience {}", swap.patience_seconds));
    lines.push(format!("stays {}", swap.proof.stays_seconds));
    for probe in &swap.proof.probes {
        lines.push(probe_line(probe)?);
    }
    for (number, (when, path)) in files.iter().enumerate() {
        place(path)?;
        lines.push(format!("{when} {number} {}", plain(path)?));
    }
    Ok(lines.join("\n") + "\n")
}

fn first_port(proof: &Proof) -> Result<u16, Problem> {
    match proof.probes.first() {
        Some(Probe::Http { port, .. } | Probe::Https { port, .. }) => Ok(*port),
        Some(Probe::Node { .. } | Probe::Runtime) | None => {
            Err("a container beside another needs a probe of the port of both".into())
        }
    }
}

fn probe_line(probe: &Probe) -> Result<String, Problem> {
    let (authority, client);
    let words = match probe {
        Probe::Http { port, path } => return Ok(format!("probe http {port} {}", plain(path)?)),
        Probe::Runtime => return Ok("probe runtime".into()),
        Probe::Https { port, path, authority: file, client: files } => {
            (authority, client) = (file.as_deref(), files.as_ref());
            format!("probe https {port} {}", plain(path)?)
        }
        Probe::Node { name, version, authority: file, client: files } => {
            (authority, client) = (Some(file.as_str()), Some(files));
            format!("probe node {} {}", plain(name)?, plain(version)?)
        }
    };
    let (certificate, key) = client.map_or(("-", "-"), |files| (&files.certificate, &files.key));
    Ok(format!("{words} {} {} {}", word(authority.unwrap_or("-"))?, word(certificate)?, word(key)?))
}

/// A file, or `-` for none.
fn word(path: &str) -> Result<&str, Problem> {
    if path == "-" { Ok(path) } else { plain(path) }
}

/// Words of an intent are separated by spaces, and some become part of an address of socat's, where commas, colons and
/// quotes mean something.
fn plain(text: &str) -> Result<&str, Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-+/@".contains(&byte);
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_plain) && !text.contains("..") {
        Ok(text)
    } else {
        Err(format!("{text:?} cannot be a word of a swap"))
    }
}

/// How a swap has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Reverted { reason: String, log: Vec<String> },
    Neither { reason: String, log: Vec<String> },
    Unfinished { reason: String },
}

/// Reads the script's answer: a word, the reason, last lines.
pub(super) fn outcome(output: &[u8]) -> Result<Outcome, Problem> {
    let text = String::from_utf8_lossy(output);
    let mut lines = text.lines();
    let word = lines.next().unwrap_or_default();
    let reason = lines.next().unwrap_or_default().to_owned();
    let log = lines.map(str::to_owned).collect();
    match word {
        "done" => Ok(Outcome::Done),
        "reverted" => Ok(Outcome::Reverted { reason, log }),
        "neither" => Ok(Outcome::Neither { reason, log }),
        "unfinished" => Ok(Outcome::Unfinished { reason }),
        _ => Err(format!("a swap cannot end with {word:?}")),
    }
}

#[cfg(test)]
#[path = "swap_tests.rs"]
mod tests;

//! What a look asks for, and what its answer means. Pure: text in, values out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::SystemTime;

use ipnet::Ipv4Net;

use super::LookRequest;
use super::sections::Sections;
use crate::base::Digest;
use crate::state::{
    HostFacts, HostSnapshot, ImageReference, Listener, ObservedEntry, ObservedSwap, ObservedUnit, OperatingSystem,
    Owner,
};

/// What is wrong with a request or an answer.
pub(super) type Problem = String;

/// The lines that the script reads. A value with a line break would be two requests; none of ours has one.
pub(super) fn encode(request: &LookRequest) -> Result<String, Problem> {
    let mut text = String::new();
    let lists = [
        ("folder", &request.folders),
        ("path", &request.paths),
        ("text", &request.texts),
        ("package", &request.packages),
        ("module", &request.modules),
        ("sysctl", &request.sysctls),
        ("unit", &request.units),
    ];
    for (kind, values) in lists {
        for value in values {
            if value.is_empty() || value.starts_with('-') || value.contains(['\n', '\0']) {
                return Err(format!("{kind} {value:?} cannot be asked for"));
            }
            text.extend([kind, " ", value, "\n"]);
        }
    }
    text.push_str(&format!("etcd-uid {}\nend\n", request.etcd_uid));
    Ok(text)
}

/// A host as the script has seen it, before Docker has told its part.
#[derive(Debug)]
pub(super) struct Gathered {
    pub snapshot: HostSnapshot,
    /// Docker's version by its package, or an empty text, where its program is there.
    pub docker: Option<String>,
    /// Whether somebody listens on Docker's socket.
    pub docker_listens: bool,
}

/// Reads the script's output. Between `asked` and `answered` the host has read its clock.
pub(super) fn parse(
    output: &[u8],
    request: &LookRequest,
    asked: SystemTime,
    answered: SystemTime,
) -> Result<Gathered, Problem> {
    let sections = Sections::read(output)?;
    let packages = packages(sections.lines("packages"));
    let programs = sections.lines("programs");
    let program = |name: &str| programs.iter().any(|path| path.rsplit('/').next() == Some(name));
    let version = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| packages.get(*name));
        found.map(|version| upstream_version(version)).unwrap_or_default()
    };
    let facts = HostFacts {
        clock_offset_seconds: clock_offset(sections.first("clock"), asked, answered)?,
        containerd_version: program("containerd").then(|| version(["containerd.io", "containerd"])),
        ..facts(&sections, request.etcd_uid)?
    };
    let wanted = packages.iter().filter(|(name, _)| request.packages.contains(name));
    let snapshot = HostSnapshot {
        facts,
        entries: entries(&sections)?,
        merged_files: sections.texts().clone(),
        containers: BTreeMap::new(),
        docker_images: BTreeMap::new(),
        containerd_images: containerd_images(sections.lines("images")),
        units: units(sections.lines("units")),
        sysctls: sysctls(sections.lines("sysctls")),
        modules: sections.lines("modules").to_vec(),
        packages: wanted.map(|(name, version)| (name.clone(), version.clone())).collect(),
        listeners: sections.lines("listeners").iter().filter_map(|line| listener(line)).collect(),
        swaps: sections.lines("swaps").iter().filter_map(|line| swap(line)).collect(),
    };
    let docker = program("dockerd").then(|| version(["docker-ce", "docker.io"]));
    Ok(Gathered { snapshot, docker, docker_listens: sections.first("docker-socket").trim() != "0" })
}

/// Everything but the clock and the runtime.
fn facts(sections: &Sections, etcd_uid: u32) -> Result<HostFacts, Problem> {
    let mut uname = sections.first("uname").split(' ');
    let mut word = || uname.next().filter(|word| !word.is_empty()).map(str::to_owned).ok_or("uname says too little");
    let accounts = sections.lines("accounts");
    Ok(HostFacts {
        hostname: word()?,
        kernel: word()?,
        architecture: word()?,
        operating_system: operating_system(sections.lines("os")),
        cgroup_version: if sections.first("cgroup") == "2" { 2 } else { 1 },
        memory_bytes: kibibytes(sections.first("memory")).ok_or("the size of memory is missing")?,
        cores: cores(sections.first("cores")),
        swap: !sections.lines("swap").is_empty(),
        disks: disks(sections.lines("disks"))?,
        clock_offset_seconds: 0,
        resolvers: name_servers(sections.lines("resolvers")),
        upstream_resolvers: name_servers(sections.lines("upstream")),
        default_route: !sections.lines("default-route").is_empty(),
        addresses: sections.lines("addresses").iter().filter_map(|line| address(line)).collect(),
        links: sections.lines("links").iter().filter_map(|line| link(line)).collect(),
        routes: sections.lines("routes").iter().filter_map(|line| route(line)).collect(),
        docker: None,
        containerd_version: None,
        etcd_user: accounts
            .iter()
            .filter_map(|line| account(line))
            .find(|(name, ..)| name == "etcd")
            .map(|(_, uid, gid)| (uid, gid)),
        etcd_uid_holder: accounts
            .iter()
            .filter_map(|line| account(line))
            .find(|(_, uid, _)| *uid == etcd_uid)
            .map(|(name, ..)| name),
    })
}

/// Seconds by which the host is ahead, measured against the middle of the time in which it has answered.
fn clock_offset(line: &str, asked: SystemTime, answered: SystemTime) -> Result<i64, Problem> {
    let theirs: f64 = line.parse().map_err(|_| format!("`{line}` is no time"))?;
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs_f64()).unwrap_or_default()
    };
    let ours = f64::midpoint(seconds(asked), seconds(answered));
    #[expect(clippy::cast_possible_truncation, reason = "casts of floats to integers stop at the limits")]
    let offset = (theirs - ours).round() as i64;
    Ok(offset)
}

/// `kube-scheduler reverted port 10259 does not answer`; one that succeeded has nothing to tell.
fn swap(line: &str) -> Option<(String, ObservedSwap)> {
    let mut parts = line.splitn(3, ' ');
    let (name, word) = (parts.next()?, parts.next()?);
    let reason = parts.next().unwrap_or_default().to_owned();
    let seen = match word {
        "running" => ObservedSwap::Running,
        "interrupted" => ObservedSwap::Interrupted,
        "reverted" => ObservedSwap::Reverted(reason),
        "neither" => ObservedSwap::NeitherWorks(reason),
        "unfinished" => ObservedSwap::Unfinished(reason),
        _ => return None,
    };
    Some((name.to_owned(), seen))
}

/// `KEY=value` lines, values with or without quotes (os-release(5)).
fn operating_system(lines: &[String]) -> OperatingSystem {
    let value = |key: &str| {
        let found = lines.iter().filter_map(|line| line.split_once('=')).find(|(name, _)| *name == key);
        found.map(|(_, value)| value.trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
    };
    OperatingSystem { id: value("ID"), version: value("VERSION_ID"), name: value("PRETTY_NAME") }
}

/// `MemTotal:  24683656 kB`.
fn kibibytes(line: &str) -> Option<u64> {
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|number| number << 10)
}

/// The kernel's list of processors in use, such as `0-3,8`.
fn cores(list: &str) -> u32 {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u32>().ok();
        Some(number(last)?.checked_sub(number(first)?)?.saturating_add(1))
    };
    list.split(',').filter_map(count).fold(0, u32::saturating_add)
}

/// The folders that the script asks about, in its order.
const DISKS: [&str; 4] = ["/", "/var/lib/docker", "/var/lib/containerd", "/var/lib/etcd"];

/// `df`'s table: file system, total, used, free, share, mount point.
fn disks(lines: &[String]) -> Result<BTreeMap<String, (u64, u64)>, Problem> {
    let rows = lines.iter().skip(1);
    let mut found = BTreeMap::new();
    for (path, row) in DISKS.iter().zip(rows) {
        let numbers: Vec<u64> = row.split_whitespace().skip(1).take(3).map_while(|cell| cell.parse().ok()).collect();
        let [total, _, free] = numbers[..] else { return Err(format!("`{row}` does not tell the space of {path}")) };
        found.insert((*path).to_owned(), (free, total));
    }
    Ok(found)
}

fn name_servers(lines: &[String]) -> Vec<String> {
    let server = |line: &String| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next().map(str::to_owned)).flatten()
    };
    lines.iter().filter_map(server).collect()
}

/// `2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0\ ...`; of a pair of interfaces `eth0@if7`.
fn address(line: &str) -> Option<(Ipv4Addr, String)> {
    let mut words = line.split_whitespace();
    let interface = words.nth(1)?.split('@').next()?.to_owned();
    let address = words.nth(1)?.split('/').next()?.parse().ok()?;
    Some((address, interface))
}

/// `2: eth0@if7: <BROADCAST,UP> mtu 1500 qdisc ...`: the interface and its MTU.
fn link(line: &str) -> Option<(String, u32)> {
    let mut words = line.split_whitespace();
    let interface = words.nth(1)?.trim_end_matches(':').split('@').next()?.to_owned();
    words.find(|word| *word == "mtu")?;
    Some((interface, words.next()?.parse().ok()?))
}

/// `10.0.0.0/24 dev eth0 ...`, or `10.0.0.7 dev eth0 ...` for one address. The default route, and ways that lead to nobody
/// (`unreachable`), are none of these.
fn route(line: &str) -> Option<(Ipv4Net, String)> {
    let mut words = line.split_whitespace();
    let network = words.next()?;
    let network = network.parse().ok().or_else(|| network.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))?;
    words.find(|word| *word == "dev")?;
    Some((network, words.next()?.to_owned()))
}

/// A line of passwd(5): name, uid, gid.
fn account(line: &str) -> Option<(String, u32, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    Some((name, uid, fields.next()?.parse().ok()?))
}

/// Installed packages and their versions.
fn packages(lines: &[String]) -> BTreeMap<String, String> {
    let installed = |line: &String| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?.to_owned(), words.next()?.to_owned());
        (words.next() == Some("installed")).then_some((name, version))
    };
    lines.iter().filter_map(installed).collect()
}

/// The program's own version out of a package's: `5:27.3.1-1~debian.12~bookworm` is 27.3.1.
fn upstream_version(package: &str) -> String {
    let version = package.split_once(':').map_or(package, |(_, rest)| rest);
    version.split(['-', '+', '~']).next().unwrap_or_default().to_owned()
}

/// `ctr`'s table: name, type, digest, size, platforms, labels.
fn containerd_images(lines: &[String]) -> BTreeMap<ImageReference, Digest> {
    let image = |line: &String| {
        let mut cells = line.split_whitespace();
        let name = ImageReference(cells.next()?.to_owned());
        Some((name, Digest::parse(cells.nth(1)?)?))
    };
    lines.iter().skip(1).filter_map(image).collect()
}

/// `systemctl show`'s blocks of `Key=value` lines, in any order.
fn units(lines: &[String]) -> BTreeMap<String, ObservedUnit> {
    let mut found = BTreeMap::new();
    for block in lines.split(String::is_empty) {
        let value = |key: &str| {
            let entry = block.iter().filter_map(|line| line.split_once('=')).find(|(name, _)| *name == key);
            entry.map(|(_, value)| value)
        };
        // A unit that does not exist has no file state.
        let (Some(id), Some(state)) = (value("Id"), value("UnitFileState").filter(|state| !state.is_empty())) else {
            continue;
        };
        let enabled = matches!(state, "enabled" | "enabled-runtime" | "static" | "alias");
        let active = value("ActiveState").unwrap_or_default().to_owned();
        found.insert(id.to_owned(), ObservedUnit { enabled, active });
    }
    found
}

/// `name = value`, where a tab stands between several numbers.
fn sysctls(lines: &[String]) -> BTreeMap<String, String> {
    let setting = |line: &String| line.split_once(" = ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    lines.iter().filter_map(setting).collect()
}

/// `tcp LISTEN 0 4096 127.0.0.1:2379 0.0.0.0:* users:(("etcd",pid=812,fd=8))`.
fn listener(line: &str) -> Option<Listener> {
    let mut cells = line.split_whitespace();
    let protocol = cells.next()?.to_owned();
    let port = cells.nth(3)?.rsplit(':').next()?.parse().ok()?;
    let users = cells.nth(1).unwrap_or_default();
    let name = users.split('"').nth(1);
    let id = users.split_once("pid=").and_then(|(_, rest)| rest.split([',', ')']).next());
    let process = match (name, id) {
        (Some(name), Some(id)) => format!("{name} (process {id})"),
        _ => "an unknown process".into(),
    };
    Some(Listener { protocol, port, process })
}

fn entries(sections: &Sections) -> Result<BTreeMap<String, ObservedEntry>, Problem> {
    let mut found = BTreeMap::new();
    for entry in sections.entries() {
        let mut words = entry.facts.split(' ');
        let mut word = || words.next().ok_or_else(|| format!("`{}` does not describe {}", entry.facts, entry.path));
        let kind = word()?;
        let mode = u32::from_str_radix(word()?, 8).map_err(|_| format!("{} has no mode", entry.path))?;
        let mut number = || word()?.parse().map_err(|_| format!("{} has no owner", entry.path));
        let owner = Owner { uid: number()?, gid: number()? };
        let seen = match kind {
            "f" => match sections.digest(&entry.path) {
                Some(digest) => ObservedEntry::File { owner, mode, digest: digest.clone() },
                // It has gone meanwhile.
                None => continue,
            },
            "d" => ObservedEntry::Directory { owner, mode },
            "l" => ObservedEntry::Link { target: entry.target.clone() },
            _ => ObservedEntry::Other,
        };
        found.insert(entry.path.clone(), seen);
    }
    Ok(found)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;

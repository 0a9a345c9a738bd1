//! The nodes: names, addresses, roles, ways in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::base::NodeName;
use crate::config::{At, Config, Field, NodeEntry, Position, TaintEntry, nearest, shown};

use super::checks::Checks;
use super::{Context, Node, Roles, SshTarget, Taint, grammar};

const ROLES: &[&str] = &["controlplane", "etcd", "worker"];
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// Labels that kubelet or `provision` sets from other keys, and taints of roles.
const RESERVED: &[&str] = &[
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/controlplane",
    "node-role.kubernetes.io/etcd",
    "node-role.kubernetes.io/master",
    "node-role.kubernetes.io/worker",
];

/// A node with the places that later checks point at.
pub(super) struct Placed {
    pub node: Node,
    pub address_at: Position,
    pub internal_at: Position,
}

/// All nodes, each and together. Those with findings may be missing.
pub(super) fn nodes(config: &Config, context: &Context, checks: &mut Checks) -> Vec<Placed> {
    let Some(entries) = config.nodes.written() else {
        if config.nodes.is_missing() {
            checks.fail(Position::START, "`nodes` is missing", "name at least one host, see examples/single.yml");
        }
        return Vec::new();
    };
    if entries.value.is_empty() {
        checks.fail(entries.at, "`nodes` is empty", "name at least one host, see examples/single.yml");
        return Vec::new();
    }
    let mut seen = Seen::default();
    let mut roles = Vec::new();
    let mut nodes = Vec::new();
    for (index, entry) in entries.value.iter().enumerate() {
        let mut builder = Builder { entry, path: format!("nodes[{index}]"), config, context, checks: &mut *checks };
        let held = builder.roles();
        nodes.extend(builder.node(held, &mut seen));
        roles.push(held);
    }
    check_roles(&roles, entries.at, checks);
    nodes
}

/// Every cluster needs these roles, if all could be read.
fn check_roles(roles: &[Option<Roles>], at: Position, checks: &mut Checks) {
    let Some(roles) = roles.iter().copied().collect::<Option<Vec<Roles>>>() else { return };
    let count = |holds: fn(&Roles) -> bool| roles.iter().filter(|roles| holds(roles)).count();
    let counted = [(count(|roles| roles.control_plane), "controlplane"), (count(|roles| roles.etcd), "etcd")];
    for (_, role) in counted.iter().filter(|(count, _)| *count == 0) {
        let help = format!("add `{role}` to the `role` of at least one node");
        checks.fail(at, format!("no node has the role `{role}`"), help);
    }
    let members = count(|roles| roles.etcd);
    if members > 0 && members % 2 == 0 {
        let less = members - 1;
        checks.advise(format!("{members} etcd members survive the loss of no more than {less} do; use an odd number, such as {less} or {}", members + 1));
    }
    if count(|roles| roles.worker) == 0 {
        checks.advise("no node has the role `worker`: workloads have nowhere to run".into());
    }
}

/// What must be there once only, with the line where it was met first.
#[derive(Default)]
struct Seen {
    names: BTreeMap<String, usize>,
    addresses: BTreeMap<String, usize>,
}

struct Builder<'a> {
    entry: &'a NodeEntry,
    path: String,
    config: &'a Config,
    context: &'a Context,
    checks: &'a mut Checks,
}

impl Builder<'_> {
    fn node(&mut self, roles: Option<Roles>, seen: &mut Seen) -> Option<Placed> {
        let address = self.address();
        let name = self.name(address.as_ref());
        let internal = self.internal_address(address.as_ref());
        self.once(seen, address.as_ref(), name.as_ref(), internal.as_ref());
        let ssh = self.ssh();
        let (labels, taints) = (self.labels(), self.taints());
        let (address, internal) = (address?, internal?);
        let address_at = address.at;
        let node = Node {
            name: name?.value,
            address: address.value,
            internal_address: internal.value,
            roles: roles?,
            ssh: ssh?,
            labels,
            taints,
        };
        Some(Placed { node, address_at, internal_at: internal.at })
    }

    /// None if a role could not be read.
    fn roles(&mut self) -> Option<Roles> {
        let help = "write one or more of `controlplane`, `etcd`, `worker`, such as `role: [worker]`";
        let what = format!("`{}.role`", self.path);
        let written = self.checks.required(&self.entry.role, self.entry.at, &what, help)?;
        if written.value.is_empty() {
            self.checks.fail(written.at, format!("{what} is empty"), help);
            return None;
        }
        let mut unknown = false;
        for role in written.value.iter().filter(|role| !ROLES.contains(&role.value.as_str())) {
            unknown = true;
            let meant = if role.value == "master" { Some("controlplane") } else { nearest(&role.value, ROLES) };
            let help = meant.map_or(help.to_owned(), |near| format!("did you mean `{near}`?"));
            self.checks.fail(role.at, format!("{} is no role", shown(role)), help);
        }
        let has = |name: &str| written.value.iter().any(|role| role.value == name);
        let roles = Roles { control_plane: has("controlplane"), etcd: has("etcd"), worker: has("worker") };
        (!unknown).then_some(roles)
    }

    fn address(&mut self) -> Option<At<String>> {
        let what = format!("`{}.address`", self.path);
        let written = self.checks.required(
            &self.entry.address,
            self.entry.at,
            &what,
            "write the IPv4 address or DNS name of the host",
        )?;
        let (checks, at) = (&mut *self.checks, written.at);
        match written.value.parse() {
            Ok(IpAddr::V4(_)) => return Some(written.clone()),
            Ok(IpAddr::V6(_)) => {
                checks.fail(at, "IPv6 is not supported yet", "write an IPv4 address, or a name that has one");
                return None;
            }
            Err(_) => {}
        }
        let numeric = written.value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let rule = if numeric {
            Err("write an IPv4 address as four numbers from 0 to 255")
        } else {
            grammar::dns_name(&written.value.to_ascii_lowercase())
        };
        match rule {
            Ok(()) => Some(written.clone()),
            Err(rule) => {
                checks.fail(at, format!("{} is neither an IPv4 address nor a DNS name", shown(written)), rule);
                None
            }
        }
    }

    fn name(&mut self, address: Option<&At<String>>) -> Option<At<NodeName>> {
        let source = match &self.entry.hostname_override {
            Field::Bad => return None,
            Field::Written(written) => written.clone(),
            Field::Missing => {
                address.map(|address| At { value: address.value.to_ascii_lowercase(), at: address.at })?
            }
        };
        let text = &source.value;
        // The name is also the value of the label kubernetes.io/hostname.
        if text.len() > 63 {
            self.checks.fail(
                source.at,
                format!("{} is too long for the name of a node", shown(&source)),
                "write a `hostname_override` of at most 63 characters",
            );
            return None;
        }
        match NodeName::new(text.as_str()) {
            Ok(value) => Some(At { value, at: source.at }),
            Err(error) => {
                let lower = text.to_ascii_lowercase();
                let help = if NodeName::new(lower.as_str()).is_ok() {
                    format!("write `{lower}`")
                } else {
                    error.reason.to_owned()
                };
                self.checks.fail(source.at, format!("{} is no name of a node", shown(&source)), help);
                None
            }
        }
    }

    fn internal_address(&mut self, address: Option<&At<String>>) -> Option<At<Ipv4Addr>> {
        let help = "write the IPv4 address at which other nodes reach this one";
        let source = match &self.entry.internal_address {
            Field::Bad => return None,
            Field::Written(written) => written,
            Field::Missing => address?,
        };
        let Ok(value) = source.value.parse::<Ipv4Addr>() else {
            let message = if self.entry.internal_address.is_missing() {
                format!("`{}.internal_address` is missing, and `address` is a name", self.path)
            } else {
                format!("{} is no IPv4 address", shown(source))
            };
            self.checks.fail(source.at, message, help);
            return None;
        };
        if value.is_loopback()
            || value.is_unspecified()
            || value.is_multicast()
            || value.is_broadcast()
            || value.is_link_local()
        {
            self.checks.fail(source.at, format!("other nodes cannot reach this one at {value}"), help);
            return None;
        }
        Some(At { value, at: source.at })
    }

    /// No two nodes share a name or an address.
    fn once(
        &mut self,
        seen: &mut Seen,
        address: Option<&At<String>>,
        name: Option<&At<NodeName>>,
        internal: Option<&At<Ipv4Addr>>,
    ) {
        let mut addresses: Vec<At<String>> = Vec::new();
        addresses.extend(address.map(|at| At { value: at.value.to_ascii_lowercase(), at: at.at }));
        addresses.extend(internal.map(|at| At { value: at.value.to_string(), at: at.at }));
        addresses.dedup_by(|one, other| one.value == other.value);
        let mut repeated = false;
        for address in addresses {
            if let Some(line) = seen.addresses.get(&address.value) {
                repeated = true;
                self.twice(&address, "address", *line);
            }
            seen.addresses.entry(address.value).or_insert(address.at.line);
        }
        let Some(name) = name.map(|name| At { value: name.value.to_string(), at: name.at }) else { return };
        // A name that is the repeated address would say the same again.
        let said = repeated && self.entry.hostname_override.is_missing();
        if let Some(line) = seen.names.get(&name.value).filter(|_| !said) {
            self.twice(&name, "name", *line);
        }
        seen.names.entry(name.value).or_insert(name.at.line);
    }

    fn twice(&mut self, value: &At<String>, what: &str, line: usize) {
        let message = format!("two nodes have the {what} {}", shown(value));
        self.checks.fail(value.at, message, format!("the other one is in line {line}: give each node its own"));
    }

    fn ssh(&mut self) -> Option<SshTarget> {
        let what = format!("`{}.user`", self.path);
        let help = "write who logs in: root, or a user with sudo without password";
        self.checks.required(&self.entry.user, self.entry.at, &what, help);
        let user = self.checks.grammar(&self.entry.user, "user name", grammar::user).map(str::to_owned);
        let port = self.checks.port(&self.entry.port, "port").unwrap_or(22);
        let agent = self.entry.ssh_agent_auth.value().or(self.config.ssh_agent_auth.value()).copied().unwrap_or(false);
        let key_path = match key_file(self.config, self.entry) {
            Some(written) => self.context.resolve(&written.value),
            None if agent => None,
            None => self.context.resolve("~/.ssh/id_rsa"),
        };
        self.checks.grammar(&self.entry.ssh_key_path, "path of a file", grammar::path);
        Some(SshTarget { port, user: user?, key_path, agent })
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        let written = self.entry.labels.value().map(Vec::as_slice).unwrap_or_default();
        for (key, value) in written {
            self.label_key(key, "label");
            self.label_value(value);
        }
        written.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect()
    }

    fn label_key(&mut self, key: &At<String>, what: &str) {
        if let Err(rule) = grammar::label_key(&key.value) {
            self.checks.fail(key.at, format!("{} is no key of a {what}", shown(key)), rule);
        } else if RESERVED.contains(&key.value.as_str()) {
            self.checks.fail(
                key.at,
                format!("the {what} {} is set by the cluster itself", shown(key)),
                "take it out; `role` and `hostname_override` decide it",
            );
        }
    }

    fn label_value(&mut self, value: &At<String>) {
        if let Err(rule) = grammar::label_value(&value.value) {
            self.checks.fail(value.at, format!("{} is no value of a label or taint", shown(value)), rule);
        }
    }

    fn taints(&mut self) -> Vec<Taint> {
        let written = self.entry.taints.value().map(Vec::as_slice).unwrap_or_default();
        let mut taints: Vec<Taint> = Vec::new();
        for (index, entry) in written.iter().enumerate() {
            let Some(taint) = self.taint(entry, &format!("{}.taints[{index}]", self.path)) else { continue };
            if taints.iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
                let message = format!("the taint `{}` stands twice with the effect {}", taint.key, taint.effect);
                self.checks.fail(entry.at, message, "keep one of them");
            }
            taints.push(taint);
        }
        taints
    }

    fn taint(&mut self, entry: &TaintEntry, path: &str) -> Option<Taint> {
        let key = self.checks.required(&entry.key, entry.at, &format!("`{path}.key`"), "write the key of the taint");
        let help = "write `NoSchedule`, `PreferNoSchedule` or `NoExecute`";
        let effect = self.checks.required(&entry.effect, entry.at, &format!("`{path}.effect`"), help);
        if let Some(key) = key {
            self.label_key(key, "taint");
        }
        if let Some(value) = entry.value.written() {
            self.label_value(value);
        }
        if let Some(effect) = effect.filter(|effect| !EFFECTS.contains(&effect.value.as_str())) {
            let near = nearest(&effect.value, EFFECTS).map(|near| format!("did you mean `{near}`?"));
            self.checks.fail(
                effect.at,
                format!("{} is no effect of a taint", shown(effect)),
                near.unwrap_or(help.into()),
            );
        }
        let value = entry.value.value().cloned().unwrap_or_default();
        Some(Taint { key: key?.value.clone(), value, effect: effect?.value.clone() })
    }
}

/// The key file that is written for a node, its own or the cluster's.
fn key_file<'a>(config: &'a Config, entry: &'a NodeEntry) -> Option<&'a At<String>> {
    entry.ssh_key_path.written().or(config.ssh_key_path.written())
}

/// Where the key file of each node is written, in the order of [`super::Cluster::nodes`]; the node itself where none is.
pub fn key_file_positions(config: &Config) -> Vec<Position> {
    let entries = config.nodes.value().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| key_file(config, entry).map_or(entry.at, |written| written.at)).collect()
}

impl Context {
    /// A path of the file as a path of this machine.
    pub(super) fn resolve(&self, path: &str) -> Option<PathBuf> {
        match path.strip_prefix("~/") {
            Some(rest) => Some(self.home.join(rest)),
            None => Some(self.base.join(path)),
        }
    }
}

//! Cluster DNS: upstream servers, stub domains, number of replicas.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::config::{self, At, Config, Field, TextsMap, shown};

use super::checks::Checks;
use super::placement::{self, Placement, UpdateStrategy};
use super::{Network, grammar};

/// CoreDNS' plugin `forward` takes no more (its manual page).
const MOST_UPSTREAMS: usize = 15;
/// Replicas that nobody needs more of.
const MOST_REPLICAS: u32 = 1000;

/// CoreDNS, where the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dns {
    /// Priority class of its pods; none for `system-cluster-critical`.
    pub priority_class: Option<String>,
    /// Name servers for names outside of the cluster, each an address or `address:port`; empty for those of the node.
    pub upstream: Vec<String>,
    /// Reverse zones or ranges that it answers for; empty for all.
    pub reverse: Vec<String>,
    /// Domains with name servers of their own; no list is empty.
    pub stub_domains: BTreeMap<String, Vec<String>>,
    /// Where its pods may run.
    pub placement: Placement,
    /// How its pods are replaced; none for the tool's own way.
    pub update_strategy: Option<UpdateStrategy>,
    /// How many replicas there are.
    pub scaling: Scaling,
}

/// RKE's linear parameters, from which the number of replicas follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaling {
    /// Thousandths of CPU cores for each replica; 0 for as many as there are.
    pub cores_per_replica: u64,
    /// Thousandths of nodes for each replica; 0 for as many as there are.
    pub nodes_per_replica: u64,
    /// Replicas at least, from 1.
    pub min: u32,
    /// Replicas at most; 0 for no limit.
    pub max: u32,
    /// Two replicas at least where there are two nodes.
    pub prevent_single_point_failure: bool,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            cores_per_replica: 128_000,
            nodes_per_replica: 4_000,
            min: 1,
            max: 0,
            prevent_single_point_failure: true,
        }
    }
}

impl Scaling {
    /// The number of replicas for so many nodes and cores, by the formula of cluster-proportional-autoscaler's linear mode.
    pub fn replicas(&self, nodes: u64, cores: u64) -> u64 {
        let of = |size: u64, per_replica: u64| {
            if per_replica == 0 {
                return 1;
            }
            let wanted = size.saturating_mul(1000).div_ceil(per_replica);
            let most = if self.max == 0 { u64::MAX } else { self.max.into() };
            wanted.min(most).max(self.min.into())
        };
        let by_nodes = of(nodes, self.nodes_per_replica);
        let two = self.prevent_single_point_failure && nodes > 1;
        by_nodes.max(if two { 2 } else { 1 }).max(of(cores, self.cores_per_replica))
    }
}

/// `dns`, all rules checked; none with `provider: none`.
pub(super) fn dns(config: &Config, network: &Network, checks: &mut Checks) -> Option<Dns> {
    let written = &config.dns;
    let dns = Dns {
        priority_class: checks
            .grammar(&written.priority_class, "name of a priority class", grammar::dns_name)
            .map(str::to_owned),
        upstream: servers(written.upstream.value().map(Vec::as_slice).unwrap_or_default(), network, checks),
        reverse: reverse(&written.reverse, checks),
        stub_domains: stub_domains(&written.stub_domains, network, checks),
        placement: placement::placement(&written.placement, checks),
        update_strategy: placement::update_strategy(&written.update_strategy, checks),
        scaling: scaling(&written.scaling, checks),
    };
    is_wanted(&written.provider, checks).then_some(dns)
}

fn is_wanted(provider: &Field<String>, checks: &mut Checks) -> bool {
    let Some(written) = provider.written() else { return true };
    if written.value == "kube-dns" {
        let message = "kube-dns is left out on purpose: it is not maintained any more";
        checks.fail(
            written.at,
            message,
            "write `coredns`, or leave the key out; stub domains and upstream servers stay",
        );
        return true;
    }
    if placement::one_of(provider, "provider of cluster DNS", &["coredns", "none"], checks) != Some("none") {
        return true;
    }
    checks.advise(
        "`dns.provider` is `none`: pods resolve no name until you have installed a name server at the address of \
         `services.kubelet.cluster_dns_server`"
            .into(),
    );
    false
}

/// What stands in the Corefile is addresses and nothing else: its language has no quoting that holds everywhere.
fn servers(written: &[At<String>], network: &Network, checks: &mut Checks) -> Vec<String> {
    if let Some(first_too_many) = written.get(MOST_UPSTREAMS) {
        let message = format!("{} name servers are more than CoreDNS asks", written.len());
        checks.fail(first_too_many.at, message, format!("write {MOST_UPSTREAMS} at most"));
    }
    written.iter().filter_map(|server| self::server(server, network, checks)).collect()
}

fn server(written: &At<String>, network: &Network, checks: &mut Checks) -> Option<String> {
    let text = &written.value;
    let plain = text.parse::<IpAddr>().ok();
    let with_port = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    let Some(address) = plain.or(with_port.map(|address| address.ip())) else {
        let help = "write an address such as `10.0.0.53`, `10.0.0.53:5353` or `[2001:db8::1]:53`";
        checks.fail(written.at, format!("{} is no address of a name server", shown(written)), help);
        return None;
    };
    let help = "name a server outside of the cluster";
    if address.is_loopback() || address.is_unspecified() {
        checks.fail(written.at, format!("{} is CoreDNS itself, seen from its pod", shown(written)), help);
    } else if address == IpAddr::V4(network.dns_ip) {
        checks.fail(written.at, format!("{} is the address of cluster DNS itself", shown(written)), help);
    }
    Some(with_port.map_or_else(|| address.to_string(), |address| address.to_string()))
}

fn reverse(field: &Field<Vec<At<String>>>, checks: &mut Checks) -> Vec<String> {
    let written = field.value().map(Vec::as_slice).unwrap_or_default();
    for zone in written {
        let range = zone.value.parse::<IpNet>();
        let is_zone = zone.value.ends_with(".arpa") && grammar::dns_name(&zone.value).is_ok();
        match range {
            Ok(range) if range.addr() != range.network() => {
                let message = format!("{} is an address inside a range", shown(zone));
                checks.fail(zone.at, message, format!("did you mean `{}`?", range.trunc()));
            }
            Err(_) if !is_zone => {
                let help = "write a range such as `10.43.0.0/16`, or a zone such as `43.10.in-addr.arpa`";
                checks.fail(zone.at, format!("{} is no range and no reverse zone", shown(zone)), help);
            }
            _ => {}
        }
    }
    written.iter().map(|zone| zone.value.clone()).collect()
}

fn stub_domains(field: &TextsMap, network: &Network, checks: &mut Checks) -> BTreeMap<String, Vec<String>> {
    let mut domains = BTreeMap::new();
    for (domain, written) in field.value().map(Vec::as_slice).unwrap_or_default() {
        if let Err(rule) = grammar::dns_name(&domain.value) {
            checks.fail(domain.at, format!("{} is no DNS domain", shown(domain)), rule);
        } else if domain.value == network.domain {
            let message = format!("{} is the cluster's own domain", shown(domain));
            checks.fail(domain.at, message, "CoreDNS answers for it itself: take it out");
        }
        if written.is_empty() {
            let message = format!("the stub domain {} has no name server", shown(domain));
            checks.fail(domain.at, message, "write a list of addresses: `corp.example: [10.0.0.53]`");
        }
        domains.insert(domain.value.clone(), servers(written, network, checks));
    }
    domains
}

fn scaling(written: &config::Scaling, checks: &mut Checks) -> Scaling {
    let defaults = Scaling::default();
    let mut per_replica = |field: &Field<String>, what: &str, default: u64| {
        let Some(written) = field.written() else { return default };
        let number = thousandths(&written.value);
        if number.is_none() {
            let message = format!("{} is no number of {what}", shown(written));
            checks.fail(written.at, message, "write a number such as 4 or 2.5, or 0 to leave it out of account");
        }
        number.unwrap_or(default)
    };
    let cores_per_replica = per_replica(&written.cores_per_replica, "cores", defaults.cores_per_replica);
    let nodes_per_replica = per_replica(&written.nodes_per_replica, "nodes", defaults.nodes_per_replica);
    let min = placement::count(&written.min, "number of replicas", 1, MOST_REPLICAS, checks).unwrap_or(defaults.min);
    let max = placement::count(&written.max, "number of replicas", 0, MOST_REPLICAS, checks).unwrap_or(defaults.max);
    if let Some(at) = written.max.written().filter(|_| max != 0 && max < min).map(|written| written.at) {
        checks.fail(at, format!("`max` {max} is less than `min` {min}"), "write at least as much, or 0 for no limit");
    }
    let prevent_single_point_failure =
        written.prevent_single_point_failure.value().copied().unwrap_or(defaults.prevent_single_point_failure);
    Scaling { cores_per_replica, nodes_per_replica, min, max, prevent_single_point_failure }
}

/// A decimal number of at most six digits before the point and three after it.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole, 6) || !digits(part, 3) {
        return None;
    }
    Some(whole.parse::<u64>().ok()? * 1000 + format!("{part:0<3}").parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_follow_the_linear_rule() {
        let defaults = Scaling::default();
        for (nodes, cores, replicas) in
            [(1, 4, 1), (2, 8, 2), (8, 32, 2), (9, 36, 3), (3, 1000, 8), (500, 1000, 125), (1, 129, 2), (0, 0, 1)]
        {
            assert_eq!(defaults.replicas(nodes, cores), replicas, "{nodes} nodes with {cores} cores");
        }
    }

    #[test]
    fn each_parameter_counts() {
        let with = |change: fn(&mut Scaling)| {
            let mut scaling = Scaling::default();
            change(&mut scaling);
            scaling
        };
        assert_eq!(with(|scaling| scaling.prevent_single_point_failure = false).replicas(4, 8), 1);
        assert_eq!(with(|scaling| scaling.min = 3).replicas(2, 2), 3);
        assert_eq!(with(|scaling| scaling.max = 5).replicas(100, 100), 5);
        assert_eq!(with(|scaling| scaling.nodes_per_replica = 500).replicas(3, 1), 6);
        let cores_only = with(|scaling| (scaling.nodes_per_replica, scaling.cores_per_replica) = (0, 2_500));
        assert_eq!(cores_only.replicas(100, 11), 5);
        // The rule against single points of failure comes after the limit, as in the autoscaler.
        assert_eq!(with(|scaling| scaling.max = 1).replicas(9, 9), 2);
    }

    #[test]
    fn numbers_are_decimal() {
        for (text, number) in [("4", 4000), ("2.5", 2500), ("0.125", 125), ("0", 0)] {
            assert_eq!(thousandths(text), Some(number));
        }
        for text in ["", "-1", "1e3", ".5", "1.", "1.2345", "1234567", "four", " 1", "+1"] {
            assert_eq!(thousandths(text), None, "{text:?}");
        }
    }
}

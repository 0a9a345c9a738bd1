//! Address ranges of the cluster.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::{At, Config, Field, Position, shown};

use super::checks::Checks;
use super::nodes::Placed;
use super::{Network, grammar, network_plugin};

const POD_CIDR: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 42, 0, 0), 16);
const SERVICE_CIDR: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 43, 0, 0), 16);
const DOMAIN: &str = "cluster.local";
const NODE_PORTS: (u16, u16) = (30000, 32767);
/// Every node takes a range of this size for its pods (`--node-cidr-mask-size`, default of the controller-manager).
const NODE_PREFIX: u8 = 24;
/// Ranges that no cluster can use: this network, loopback, link-local, multicast and above.
const UNUSABLE: &[Ipv4Net] = &[
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3),
];
/// TCP ports that components listen on.
const TAKEN_PORTS: &[u16] = &[2379, 2380, 2381, 6443, 6444, 10248, 10249, 10250, 10256, 10257, 10259];

/// `network` and the ranges of `services`, all rules checked.
pub(super) fn network(config: &Config, checks: &mut Checks) -> Network {
    let services = &config.services;
    let pods = range(&services.kube_controller.cluster_cidr, POD_CIDR, checks);
    let service = service_range(config, checks);
    check_sizes(&pods, &service, config, checks);
    if overlap(&pods.value, &service.value) {
        let at = pods.at.max(service.at);
        let message = format!("the pod range {} and the service range {} overlap", pods.value, service.value);
        checks.fail(at, message, "choose ranges that have no address in common");
    }
    Network {
        plugin: network_plugin::plugin(config, checks),
        pod_cidr: pods.value,
        service_cidr: service.value,
        dns_ip: dns_ip(config, service.value, checks),
        domain: checks
            .grammar(&services.kubelet.cluster_domain, "DNS domain", grammar::dns_name)
            .unwrap_or(DOMAIN)
            .to_owned(),
        mtu: mtu(&config.network.mtu, checks),
    }
}

/// Addresses of nodes lie in no range of the cluster, or their traffic would be taken for that of pods or Services.
pub(super) fn check_nodes(network: &Network, nodes: &[Placed], checks: &mut Checks) {
    let ranges = [
        (network.pod_cidr, "pod", "services.kube-controller.cluster_cidr"),
        (network.service_cidr, "service", "services.kube-api.service_cluster_ip_range"),
    ];
    for Placed { node, address_at, internal_at } in nodes {
        let internal = node.internal_address;
        let ssh = node.address.parse().ok().filter(|address: &Ipv4Addr| *address != internal);
        let addresses = ssh.map(|address| (address, address_at)).into_iter().chain([(internal, internal_at)]);
        for (address, at) in addresses {
            for (range, what, key) in ranges.iter().filter(|(range, ..)| range.contains(&address)) {
                let message = format!("the node's address {address} lies in the {what} range {range}");
                checks.fail(*at, message, format!("choose another range with `{key}`"));
            }
        }
    }
}

/// `services.kube-api.service_node_port_range`.
pub(super) fn node_ports(config: &Config, checks: &mut Checks) -> (u16, u16) {
    let Some(written) = config.services.kube_api.service_node_port_range.written() else { return NODE_PORTS };
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0 && !text.trim().starts_with('+'));
    let bounds = written.value.split_once('-').and_then(|(low, high)| Some((port(low)?, port(high)?)));
    let Some((low, high)) = bounds.filter(|(low, high)| low <= high) else {
        let help = "write two ports from 1 to 65535, the lower one first, such as `30000-32767`";
        checks.fail(written.at, format!("{} is no range of ports", shown(written)), help);
        return NODE_PORTS;
    };
    if let Some(taken) = TAKEN_PORTS.iter().find(|port| (low..=high).contains(port)) {
        let message = format!("the range {low}-{high} holds port {taken}, on which a component listens");
        checks.fail(written.at, message, "choose a range above 10259, such as `30000-32767`");
    }
    (low, high)
}

fn range(field: &Field<String>, default: Ipv4Net, checks: &mut Checks) -> At<Ipv4Net> {
    let Some(written) = field.written() else { return At { value: default, at: Position::START } };
    let at = written.at;
    let fallback = At { value: default, at };
    if written.value.contains(',') {
        checks.fail(at, "two ranges (dual stack) are not supported yet", "write one IPv4 range");
        return fallback;
    }
    if written.value.contains(':') {
        checks.fail(at, "IPv6 is not supported yet", format!("write an IPv4 range such as `{default}`"));
        return fallback;
    }
    let Ok(net) = written.value.parse::<Ipv4Net>() else {
        checks.fail(at, format!("{} is no address range", shown(written)), format!("write it like `{default}`"));
        return fallback;
    };
    if net.addr() != net.network() {
        let message = format!("{} is an address inside a range", shown(written));
        checks.fail(at, message, format!("did you mean `{}`?", net.trunc()));
    }
    if let Some(unusable) = UNUSABLE.iter().find(|unusable| overlap(unusable, &net)) {
        checks.fail(
            at,
            format!("{} overlaps {unusable}, which hosts use for other things", shown(written)),
            format!("write a private range such as `{default}`"),
        );
        return fallback;
    }
    At { value: net.trunc(), at }
}

/// RKE has the range twice and does not look whether both are the same. One may be left out here.
fn service_range(config: &Config, checks: &mut Checks) -> At<Ipv4Net> {
    let (api, controller) =
        (&config.services.kube_api.service_cluster_ip_range, &config.services.kube_controller.service_cluster_ip_range);
    match (api.written(), controller.written()) {
        (None, Some(_)) => range(controller, SERVICE_CIDR, checks),
        (Some(api_written), Some(written)) if api_written.value != written.value => {
            let (first, second) = (range(api, SERVICE_CIDR, checks), range(controller, SERVICE_CIDR, checks));
            if first.value != second.value {
                let message = format!(
                    "the service range is {} here and {} in `services.kube-api`",
                    written.value, api_written.value
                );
                checks.fail(written.at, message, "write the same range in both places, or leave this one out");
            }
            first
        }
        _ => range(api, SERVICE_CIDR, checks),
    }
}

fn check_sizes(pods: &At<Ipv4Net>, service: &At<Ipv4Net>, config: &Config, checks: &mut Checks) {
    if !(12..=28).contains(&service.value.prefix_len()) {
        checks.fail(
            service.at,
            format!("{} has a size that the apiserver does not take", service.value),
            "choose a range from /12 to /28",
        );
    }
    let nodes = config.nodes.value().map_or(0, Vec::len);
    let prefix = pods.value.prefix_len();
    let fits = prefix <= NODE_PREFIX && nodes as u64 <= 1 << u32::from(NODE_PREFIX - prefix);
    if !fits {
        let message =
            format!("the pod range {} is too small: each of {nodes} node(s) takes a /{NODE_PREFIX}", pods.value);
        checks.fail(pods.at, message, "choose a larger range, such as a /16; it cannot be changed later");
    }
}

/// The address of the DNS Service: by default the tenth of the range, as in RKE's default range.
fn dns_ip(config: &Config, service: Ipv4Net, checks: &mut Checks) -> Ipv4Addr {
    let nth = |number: u32| Ipv4Addr::from(u32::from(service.network()) + number);
    let Some(written) = config.services.kubelet.cluster_dns_server.written() else { return nth(10) };
    let help = format!("write an address of {service} other than the first, such as {}", nth(10));
    let Ok(address) = written.value.parse::<Ipv4Addr>() else {
        checks.fail(written.at, format!("{} is no IPv4 address", shown(written)), help);
        return nth(10);
    };
    if !service.contains(&address) {
        checks.fail(written.at, format!("the DNS address {address} lies outside the service range {service}"), help);
    } else if address == nth(1) {
        checks.fail(written.at, format!("the DNS address {address} is that of the API's own Service"), help);
    } else if address == service.network() || address == service.broadcast() {
        checks.fail(
            written.at,
            format!("the DNS address {address} is at the edge of the service range {service}"),
            help,
        );
    }
    address
}

fn mtu(field: &Field<i64>, checks: &mut Checks) -> u32 {
    let Some(written) = field.written() else { return 0 };
    let mtu = u32::try_from(written.value).ok().filter(|mtu| *mtu == 0 || (1280..=9216).contains(mtu));
    if mtu.is_none() {
        checks.fail(
            written.at,
            format!("{} is no MTU of a pod network", written.value),
            "write a number from 1280 to 9216, or 0 to let the plugin find it",
        );
    }
    mtu.unwrap_or(0)
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

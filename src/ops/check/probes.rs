//! Tries all connections, as many at once as hosts bear.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _, join, join_all};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::patience::patiently;
use super::tester::{SETTLE, TestPod, Tester, persist};
use super::{Check, policy};
use crate::base::NodeName;
use crate::kubeapi::Collection;
use crate::netcheck::{
    Coverage, Dial, HOSTNAME, HTTP_PORT, Observations, Outcome, Pair, Probe, SERVICE_LABEL, SERVICE_PORT, Trial,
    UDP_PORT, padded_hostname, ready_endpoints,
};
use crate::ops::OperationError;
use crate::state::ObjectKey;

const KUBELET_PORT: u16 = 10250;
const API_PORT: u16 = 443;
/// "Discard": whoever gets a datagram there throws it away.
const DISCARD_PORT: u16 = 9;

type Noted<'a> = BoxFuture<'a, (Probe, Pair, Outcome)>;

/// Nodes with running servers, and what leads to them.
struct Ground<'a> {
    check: &'a Check<'a>,
    tester: &'a Tester<'a>,
    nodes: Vec<NodeName>,
    services: Vec<Service>,
    mtu: BTreeMap<NodeName, u32>,
}

/// A Service as the API has made it.
struct Service {
    name: String,
    address: String,
    node_port: u16,
    /// Where its only endpoint is.
    node: NodeName,
}

/// Tries everything. Gives the pairs that were covered.
pub(super) async fn observe(
    check: &Check<'_>,
    pods: &BTreeMap<String, TestPod>,
    seen: &mut Observations,
) -> Result<Coverage, OperationError> {
    let tester = Tester::new(&check.hosts, pods);
    let running = |node: &&NodeName| check.trial.server(node).is_some_and(|server| pods.contains_key(&server));
    let nodes: Vec<NodeName> = check.trial.nodes().iter().filter(running).cloned().collect();
    let nodes = reach_pods(check, &tester, nodes, seen).await;
    let coverage = Coverage::of(&nodes, check.rotation);
    check.phase(format!("trying connections: {coverage}"));
    let (services, without) = services(check, &nodes).await?;
    seen.without_endpoint = without;
    seen.name_servers = name_servers(check).await?;
    let ground = Ground { check, tester: &tester, nodes, services, mtu: seen.mtu.clone() };
    let mut work = ground.pairs(&coverage);
    work.extend(ground.services());
    work.extend(ground.node_ports(&coverage));
    work.extend(ground.names());
    let (outcomes, reached) = join(join_all(work), policy::reached(check, &tester, &ground.nodes)).await;
    for (probe, pair, outcome) in outcomes {
        seen.note(probe, pair, outcome);
    }
    seen.policy = policy::observe(check, &tester, &reached).await?;
    Ok(coverage)
}

/// Without this way nothing can be learnt from a pod. Gives the nodes whose pods answer.
async fn reach_pods(
    check: &Check<'_>,
    tester: &Tester<'_>,
    nodes: Vec<NodeName>,
    seen: &mut Observations,
) -> Vec<NodeName> {
    let reach = |node: NodeName| async move {
        let server = check.trial.server(&node).unwrap_or_default();
        let outcome = persist(SETTLE, || tester.own(&server)).await;
        let mtu = if outcome.works() { tester.mtu(&server).await } else { None };
        (node, outcome, mtu)
    };
    let mut reached = Vec::new();
    for (node, outcome, mtu) in join_all(nodes.into_iter().map(reach)).await {
        let works = outcome.works();
        seen.note(Probe::OwnPod, Pair::new(&node, &node), outcome);
        seen.mtu.extend(mtu.map(|mtu| (node.clone(), mtu)));
        if works {
            reached.push(node);
        }
    }
    reached
}

/// The Services with their addresses, and the names of those that have got no endpoint in time.
async fn services(check: &Check<'_>, nodes: &[NodeName]) -> Result<(Vec<Service>, Vec<String>), OperationError> {
    let wanted: Vec<_> = check.trial.services().into_iter().filter(|(_, node)| nodes.contains(node)).collect();
    let keys: Vec<ObjectKey> = wanted.iter().map(|(key, _)| key.clone()).collect();
    let found = patiently(|| check.api.read(&keys)).await?;
    let service = |(key, node): &(ObjectKey, NodeName)| {
        let spec = &found.get(key)?["spec"];
        let node_port = spec["ports"][0]["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok())?;
        let (name, address) = (key.name.clone(), spec["clusterIP"].as_str()?.to_owned());
        Some(Service { name, address, node_port, node: node.clone() })
    };
    let services: Vec<Service> = wanted.iter().filter_map(service).collect();
    let started = Instant::now();
    loop {
        let slices = slices(check, check.trial.namespace(), Trial::selector()).await?;
        let ready = ready_endpoints(&slices);
        let is_ready = |service: &&Service| ready.get(&service.name).is_some_and(|endpoints| endpoints.ready > 0);
        let without: Vec<String> =
            services.iter().filter(|service| !is_ready(service)).map(|service| service.name.clone()).collect();
        if without.is_empty() || started.elapsed() > SETTLE {
            return Ok((services, without));
        }
        check.phase("waiting for the endpoints of Services");
        sleep(Duration::from_millis(300)).await;
    }
}

async fn slices(check: &Check<'_>, namespace: &str, labels: String) -> Result<Vec<Value>, OperationError> {
    let [api_version, kind] = ["discovery.k8s.io/v1", "EndpointSlice"].map(str::to_owned);
    let wanted = Collection { api_version, kind, namespace: namespace.to_owned(), labels };
    Ok(patiently(|| check.api.list(&wanted)).await?)
}

/// Whoever brings another name server than ours keeps the Service's name: pods of any origin look for it.
async fn name_servers(check: &Check<'_>) -> Result<crate::netcheck::NameServers, OperationError> {
    let slices = slices(check, "kube-system", format!("{SERVICE_LABEL}=kube-dns")).await?;
    Ok(ready_endpoints(&slices).remove("kube-dns").unwrap_or_default())
}

impl<'a> Ground<'a> {
    fn server(&self, node: &NodeName) -> String {
        self.check.trial.server(node).unwrap_or_default()
    }

    fn ip(&self, node: &NodeName) -> String {
        self.tester.ip(&self.server(node)).unwrap_or_default().to_owned()
    }

    fn pairs(&'a self, coverage: &Coverage) -> Vec<Noted<'a>> {
        let mut work: Vec<Noted<'a>> = Vec::new();
        for pair in &coverage.pairs {
            let ip = self.ip(&pair.to);
            work.push(self.dialled(Probe::Tcp, pair, Dial::tcp(&ip, HTTP_PORT)));
            work.push(self.dialled(Probe::TcpFull, pair, Dial::tcp(&ip, HTTP_PORT).long()));
            work.push(self.dialled(Probe::Udp, pair, Dial::udp(&ip, UDP_PORT)));
            if let Some(mtu) = self.mtu.get(&pair.from) {
                let dial = Dial::udp(&ip, UDP_PORT).filling(*mtu);
                work.push(self.dialled(Probe::UdpFull, pair, dial));
            }
            work.push(self.asked(Probe::NodeTcp, pair, (ip.clone(), HTTP_PORT), &pair.to));
            work.push(self.asked(Probe::NodeTcpFull, pair, (ip, HTTP_PORT), &pair.to));
            work.push(self.kubelet(pair.clone()));
        }
        work
    }

    /// From every node to every Service: there are few of these.
    fn services(&'a self) -> Vec<Noted<'a>> {
        let mut work: Vec<Noted<'a>> = Vec::new();
        for (from, service) in self.nodes.iter().flat_map(|node| self.services.iter().map(move |one| (node, one))) {
            let pair = Pair::new(from, &service.node);
            let place = (service.address.clone(), SERVICE_PORT);
            work.push(self.dialled(Probe::ClusterIp, &pair, Dial::tcp(&service.address, SERVICE_PORT)));
            work.push(self.asked(Probe::NodeClusterIp, &pair, place, &service.node));
        }
        work
    }

    /// At every node, from itself and from the covered others; to an endpoint on another node where there is one.
    fn node_ports(&'a self, coverage: &Coverage) -> Vec<Noted<'a>> {
        let own = self.nodes.iter().map(|node| Pair::new(node, node));
        let mut work = Vec::new();
        for pair in own.chain(coverage.pairs.iter().cloned()) {
            let elsewhere = self.services.iter().find(|service| service.node != pair.to);
            let Some(service) = elsewhere.or(self.services.first()) else { continue };
            let Some(node) = self.check.cluster().node(&pair.to) else { continue };
            let place = (node.internal_address.to_string(), service.node_port);
            work.push(self.asked(Probe::NodePort, &pair, place, &service.node));
        }
        work
    }

    fn names(&'a self) -> Vec<Noted<'a>> {
        let cluster = format!("kubernetes.default.svc.{}.", self.check.cluster().network.domain);
        let outside = self.check.options.outside.as_deref();
        let mut work = Vec::new();
        for node in &self.nodes {
            work.push(self.resolved(Probe::Name, node, Dial::tcp(&cluster, API_PORT)));
            if let Some(name) = outside {
                let name = format!("{}.", name.trim_end_matches('.'));
                work.push(self.resolved(Probe::OutsideName, node, Dial::udp(name, DISCARD_PORT)));
            }
        }
        work
    }

    fn dialled(&'a self, probe: Probe, pair: &Pair, dial: Dial) -> Noted<'a> {
        let (pair, from, wanted) = (pair.clone(), self.server(&pair.from), self.server(&pair.to));
        async move {
            let outcome = persist(SETTLE, || self.tester.dial(&from, &dial, &wanted)).await;
            (probe, pair, outcome)
        }
        .boxed()
    }

    fn asked(&'a self, probe: Probe, pair: &Pair, (address, port): (String, u16), endpoint: &NodeName) -> Noted<'a> {
        let (pair, wanted) = (pair.clone(), self.server(endpoint));
        let path = move || if probe == Probe::NodeTcpFull { padded_hostname() } else { HOSTNAME.to_owned() };
        async move {
            let attempt = || self.tester.ask(&pair.from, (&address, port), path, &wanted);
            let outcome = persist(SETTLE, attempt).await;
            (probe, pair, outcome)
        }
        .boxed()
    }

    fn kubelet(&'a self, pair: Pair) -> Noted<'a> {
        let address = self.check.cluster().node(&pair.to).map(|node| node.internal_address.to_string());
        async move {
            let address = address.unwrap_or_default();
            // kubelet has listened for longer than the check runs.
            let outcome = persist(Duration::ZERO, || self.tester.connect(&pair.from, &address, KUBELET_PORT)).await;
            (Probe::Nodes, pair, outcome)
        }
        .boxed()
    }

    /// Only whether the name was resolved counts; who answers there does not.
    fn resolved(&'a self, probe: Probe, node: &NodeName, dial: Dial) -> Noted<'a> {
        let (pair, from) = (Pair::new(node, node), self.server(node));
        async move {
            let attempt = || async {
                match self.tester.dial(&from, &dial, "").await {
                    outcome @ (Outcome::NameSilent | Outcome::NameUnknown) => outcome,
                    _ => Outcome::Answered,
                }
            };
            let outcome = persist(SETTLE, attempt).await;
            (probe, pair, outcome)
        }
        .boxed()
    }
}

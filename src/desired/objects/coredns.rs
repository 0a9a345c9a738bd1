//! CoreDNS: names of services inside the cluster.

use serde_json::{Value, json};

use super::DesiredError;
use super::placement::{TOLERATED, place, places, set_strategy};
use crate::cluster::{Cluster, Dns, UpdateStrategy};
use crate::desired::template::Template;
use crate::release::Release;
use crate::state::Object;

const COREDNS: Template =
    Template { name: "coredns/coredns.yaml", text: include_str!("../../../templates/coredns/coredns.yaml") };
const COREFILE: Template =
    Template { name: "coredns/Corefile", text: include_str!("../../../templates/coredns/Corefile") };
/// Where kubelet puts the name servers of the node.
const NODE_SERVERS: &str = "/etc/resolv.conf";
/// All addresses.
const ALL_REVERSE: &str = "in-addr.arpa ip6.arpa";

pub(super) fn objects(cluster: &Cluster, release: &Release) -> Result<Vec<Object>, DesiredError> {
    let Some(dns) = &cluster.dns else { return Ok(Vec::new()) };
    let places = places(&cluster.nodes, &dns.placement);
    let mut objects = COREDNS.objects(&json!({
        "image": release.images.coredns.0,
        "corefile": corefile(&cluster.network.domain, dns)?,
        "address": cluster.network.dns_ip,
        "places": places,
        "tolerated": TOLERATED,
    }))?;
    if let Some(deployment) = deployment(&mut objects) {
        place(deployment, &dns.placement, dns.priority_class.as_deref());
        fit(deployment, dns, cluster, 0);
    }
    Ok(objects)
}

/// Gives CoreDNS as many replicas as so many CPU cores of all nodes ask for. Nothing else depends on the hosts.
pub(super) fn fit_to_cores(objects: &mut [Object], cluster: &Cluster, cores: u64) {
    if let (Some(dns), Some(deployment)) = (&cluster.dns, deployment(objects)) {
        fit(deployment, dns, cluster, cores);
    }
}

fn deployment(objects: &mut [Object]) -> Option<&mut Value> {
    let is_it = |object: &&mut Object| object.key.kind == "Deployment" && object.key.name == "coredns";
    objects.iter_mut().find(is_it).map(|object| &mut object.body)
}

/// Number of replicas, and how they are replaced. Each wants a node of its own, so that there are no more than places.
fn fit(deployment: &mut Value, dns: &Dns, cluster: &Cluster, cores: u64) {
    let places = places(&cluster.nodes, &dns.placement);
    let replicas = dns.scaling.replicas(cluster.nodes.len() as u64, cores).clamp(1, places.max(1));
    deployment["spec"]["replicas"] = replicas.into();
    let away = if replicas > 1 { 1 } else { 0 };
    deployment["spec"]["strategy"] =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": away, "maxSurge": 1 } });
    set_strategy(deployment, dns.update_strategy);
    if let Some(UpdateStrategy::Rolling { max_unavailable: Some(amount), .. }) = dns.update_strategy
        && amount.is_none_of(replicas)
    {
        prefer_other_nodes(deployment);
    }
}

/// Where no old pod may go before its new one is ready, the new one must be able to lie beside it.
fn prefer_other_nodes(deployment: &mut Value) {
    let affinity = &mut deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"];
    let Some(required) =
        affinity.as_object_mut().and_then(|map| map.remove("requiredDuringSchedulingIgnoredDuringExecution"))
    else {
        return;
    };
    let terms = required.as_array().into_iter().flatten();
    affinity["preferredDuringSchedulingIgnoredDuringExecution"] =
        terms.map(|term| json!({ "weight": 100, "podAffinityTerm": term })).collect();
}

/// The language of the Corefile has no quoting that would hold everywhere: what stands in it is letters, digits, dots and
/// dashes, and what addresses and ranges have besides.
fn corefile(domain: &str, dns: &Dns) -> Result<String, DesiredError> {
    let or = |list: String, default: &str| if list.is_empty() { default.to_owned() } else { list };
    let stub = |(domain, servers): (&String, &Vec<String>)| {
        Ok::<_, DesiredError>(json!({ "domain": plain(domain, "")?, "servers": list(servers)? }))
    };
    COREFILE.render(&json!({
        "domain": plain(domain, "")?,
        "reverse": or(list(&dns.reverse)?, ALL_REVERSE),
        "upstream": or(list(&dns.upstream)?, NODE_SERVERS),
        "stubs": dns.stub_domains.iter().map(stub).collect::<Result<Vec<_>, _>>()?,
    }))
}

fn list(texts: &[String]) -> Result<String, DesiredError> {
    let texts: Result<Vec<&str>, _> = texts.iter().map(|text| plain(text, ":/[]")).collect();
    Ok(texts?.join(" "))
}

fn plain<'a>(text: &'a str, others: &str) -> Result<&'a str, DesiredError> {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || ".-".contains(sign) || others.contains(sign);
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err(DesiredError::Unwritable { template: COREFILE.name, value: text.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 8] = ["", "a b", "a\n}", "a{", "\"a\"", "a#b", "{$HOME}", "a\tb"];

    #[test]
    fn a_domain_cannot_leave_its_place() {
        let text = corefile("cluster.example", &Dns::default()).unwrap();
        assert!(text.starts_with(".:53 {\n"), "{text}");
        assert!(text.contains("kubernetes cluster.example in-addr.arpa ip6.arpa {"), "{text}");
        assert!(text.contains("forward . /etc/resolv.conf {"), "{text}");
        for hostile in HOSTILE {
            assert!(corefile(hostile, &Dns::default()).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn no_list_can_leave_its_place() {
        for hostile in HOSTILE {
            let texts = || vec![hostile.to_owned()];
            let stub_domains = [("corp.example".to_owned(), texts())].into();
            let named = [(hostile.to_owned(), vec!["10.0.0.53".to_owned()])].into();
            for dns in [
                Dns { upstream: texts(), ..Dns::default() },
                Dns { reverse: texts(), ..Dns::default() },
                Dns { stub_domains, ..Dns::default() },
                Dns { stub_domains: named, ..Dns::default() },
            ] {
                assert!(corefile("cluster.example", &dns).is_err(), "{hostile:?}");
            }
        }
    }

    #[test]
    fn each_stub_domain_is_a_server_of_its_own() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let dns = Dns {
            upstream: texts(&["192.0.2.1", "[2001:db8::1]:5353"]),
            reverse: texts(&["10.0.0.0/8"]),
            stub_domains: [("a.example".into(), texts(&["192.0.2.2", "192.0.2.3:54"]))].into(),
            ..Dns::default()
        };
        let text = corefile("cluster.local", &dns).unwrap();
        assert!(text.starts_with("a.example:53 {\n"), "{text}");
        assert!(text.contains("    forward . 192.0.2.2 192.0.2.3:54 {\n"), "{text}");
        assert!(text.contains("}\n.:53 {\n"), "{text}");
        assert!(text.contains("kubernetes cluster.local 10.0.0.0/8 {\n"), "{text}");
        assert!(text.contains("    forward . 192.0.2.1 [2001:db8::1]:5353 {\n"), "{text}");
    }
}

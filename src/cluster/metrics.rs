//! metrics-server: `monitoring`.

use std::collections::BTreeMap;

use crate::config::{At, Config, shown};

use super::checks::Checks;
use super::grammar;
use super::placement::{self, Placement, UpdateStrategy};

const MOST_REPLICAS: u32 = 10;

/// metrics-server, where the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// More flags, by name without dashes; none that the tool owns.
    pub options: BTreeMap<String, String>,
    /// Where its pods may run.
    pub placement: Placement,
    /// How its pods are replaced; none for the tool's own way.
    pub update_strategy: Option<UpdateStrategy>,
    /// Number of replicas, from 1 to 10.
    pub replicas: u32,
    /// Priority class of its pods; none for `system-cluster-critical`.
    pub priority_class: Option<String>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            options: BTreeMap::new(),
            placement: Placement::default(),
            update_strategy: None,
            replicas: 1,
            priority_class: None,
        }
    }
}

/// Flags that decide whom metrics-server trusts and where it listens, with the reason why they are not the operator's.
const OWNED: &[(&str, &str)] = &[
    ("authentication-kubeconfig", "it asks the apiserver as its own service account"),
    ("authentication-skip-lookup", "it trusts whom the apiserver trusts"),
    ("authorization-always-allow-paths", "only probes are answered without a right to it"),
    ("authorization-kubeconfig", "it asks the apiserver as its own service account"),
    ("bind-address", "it listens inside its pod"),
    ("cert-dir", "its certificate is signed by the cluster's authority"),
    ("deprecated-kubelet-completely-insecure", "kubelets answer with certificates that are verified"),
    ("kubeconfig", "it asks the apiserver as its own service account"),
    ("kubelet-certificate-authority", "kubelets' certificates are signed by the cluster's authority"),
    ("kubelet-insecure-tls", "kubelets' certificates are signed by the cluster's authority and verified"),
    ("kubelet-preferred-address-types", "kubelets' certificates name their internal addresses"),
    ("kubelet-use-node-status-port", "kubelets listen where their nodes say"),
    ("requestheader-allowed-names", "it trusts whom the apiserver trusts"),
    ("requestheader-client-ca-file", "it trusts whom the apiserver trusts"),
    ("secure-port", "it listens where its Service expects it"),
    ("tls-cert-file", "its certificate is signed by the cluster's authority"),
    ("tls-private-key-file", "its certificate is signed by the cluster's authority"),
];

/// `monitoring`, all rules checked; none with `provider: none`.
pub(super) fn metrics(config: &Config, checks: &mut Checks) -> Option<Metrics> {
    let written = &config.monitoring;
    let defaults = Metrics::default();
    let metrics = Metrics {
        options: options(written.options.value().map(Vec::as_slice).unwrap_or_default(), checks),
        placement: placement::placement(&written.placement, checks),
        update_strategy: placement::update_strategy(&written.update_strategy, checks),
        replicas: placement::count(&written.replicas, "number of replicas", 1, MOST_REPLICAS, checks)
            .unwrap_or(defaults.replicas),
        priority_class: checks
            .grammar(&written.priority_class, "name of a priority class", grammar::dns_name)
            .map(str::to_owned),
    };
    let provider = placement::one_of(&written.provider, "provider of metrics", &["metrics-server", "none"], checks);
    (provider != Some("none")).then_some(metrics)
}

fn options(written: &[(At<String>, At<String>)], checks: &mut Checks) -> BTreeMap<String, String> {
    for (flag, value) in written {
        if let Err(rule) = grammar::flag(&flag.value) {
            checks.fail(flag.at, format!("{} is no flag of metrics-server", shown(flag)), rule);
        } else if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == flag.value) {
            let message = format!("the flag {} is set by provision itself: {reason}", shown(flag));
            checks.fail(flag.at, message, "take it out");
        }
        if value.value.chars().any(char::is_control) {
            let message = format!("the value of {} holds a control character", shown(flag));
            checks.fail(value.at, message, "write it in one line");
        }
    }
    written.iter().map(|(flag, value)| (flag.value.clone(), value.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_flags_is_sorted_and_each_is_a_flag() {
        assert!(OWNED.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(OWNED.iter().all(|(flag, _)| grammar::flag(flag).is_ok()));
    }
}

//! Fields of component configurations that belong to `provision`.

use crate::config::FreeMap;

use super::checks::Checks;

/// Fields of `KubeletConfiguration` that `services.kubelet.config` may not hold, with what to use where there is something.
///
/// They decide who may talk to a kubelet, and what other components expect of it. All other fields are the operator's,
/// those too that `provision` sets to a safer value than Kubernetes does.
pub const OWNED_KUBELET_KEYS: &[&str] = &[
    "address",
    "apiVersion",
    "authentication",
    "authorization",
    "cgroupDriver",
    "cgroupRoot",
    "clusterDNS",
    "clusterDomain",
    "containerRuntimeEndpoint",
    "enableDebugFlagsHandler",
    "enableDebuggingHandlers",
    "enableProfilingHandler",
    "enableServer",
    "healthzBindAddress",
    "healthzPort",
    "imageServiceEndpoint",
    "kind",
    "podCIDR",
    "port",
    "readOnlyPort",
    "registerNode",
    "registerWithTaints",
    "rotateCertificates",
    "serverTLSBootstrap",
    "staticPodPath",
    "staticPodURL",
    "staticPodURLHeader",
    "tlsCertFile",
    "tlsCipherSuites",
    "tlsMinVersion",
    "tlsPrivateKeyFile",
];

/// Fields of `KubeProxyConfiguration` that `services.kubeproxy.config` may not hold.
pub const OWNED_KUBE_PROXY_KEYS: &[&str] = &[
    "apiVersion",
    "bindAddress",
    "bindAddressHardFail",
    "clientConnection",
    "clusterCIDR",
    "enableProfiling",
    "healthzBindAddress",
    "hostnameOverride",
    "kind",
];

/// What stands for an owned field elsewhere in the file.
const ELSEWHERE: &[(&str, &str)] = &[
    ("clusterDNS", "services.kubelet.cluster_dns_server"),
    ("clusterDomain", "services.kubelet.cluster_domain"),
    ("clusterCIDR", "services.kube-controller.cluster_cidr"),
    ("registerWithTaints", "nodes[].taints"),
    ("hostnameOverride", "nodes[].hostname_override"),
];

/// Refuses fields of a free map that are not the operator's.
pub(super) fn check(map: &FreeMap, path: &str, owned: &[&str], checks: &mut Checks) {
    for key in map.keys.iter().filter(|key| owned.contains(&key.value.as_str())) {
        let elsewhere = ELSEWHERE.iter().find(|(field, _)| *field == key.value);
        let help = match elsewhere {
            Some((_, instead)) => format!("use `{instead}`"),
            None => "take it out".to_owned(),
        };
        checks.fail(key.at, format!("`{path}.{}` is set by provision itself", key.value), help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_without_repetition() {
        for list in [OWNED_KUBELET_KEYS, OWNED_KUBE_PROXY_KEYS] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
        }
        let owned = |field: &str| OWNED_KUBELET_KEYS.contains(&field) || OWNED_KUBE_PROXY_KEYS.contains(&field);
        assert!(ELSEWHERE.iter().all(|(field, _)| owned(field)));
    }
}

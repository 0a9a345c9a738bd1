//! What a look at a host must find out to compare it with the wanted state.

use super::engine_proxy::PROXY_FILES;
use super::{base, cni, kernel, registries, runtime};
use crate::cluster::Cluster;
use crate::host::LookRequest;
use crate::release::Release;
use crate::state::Component;

/// Folders in which everything is ours.
const FOLDERS: [&str; 3] = [super::part::ROOT, "/opt/provision", cni::PROGRAMS];

/// Single paths of ours outside of those folders, and etcd's data.
const PATHS: [&str; 10] = [
    kernel::MODULES_FILE,
    kernel::SYSCTL_FILE,
    "/etc/systemd/system/kubelet.service",
    base::SLICE_PATH,
    "/etc/cni",
    cni::CONFIGURATION,
    "/opt/cni",
    "/var/lib/etcd",
    "/var/lib/etcd/member",
    "/var/log/kube-audit",
];

/// Our containers.
const CONTAINERS: [Component; 6] = [
    Component::Etcd,
    Component::KubeApiserver,
    Component::KubeControllerManager,
    Component::KubeScheduler,
    Component::ApiProxy,
    Component::KubeProxy,
];

/// Containers by which an RKE node is known; the others have the names of ours.
const FOREIGN_CONTAINERS: [&str; 4] = ["etcd-rolling-snapshots", "kubelet", "nginx-proxy", "service-sidekick"];

/// Every folder and path that the tool owns, and all else that decides its plans. The same for every host.
pub fn look_request(cluster: &Cluster, release: &Release) -> LookRequest {
    let mut paths = texts(&PATHS);
    paths.extend(registries::paths(&cluster.supply, release));
    LookRequest {
        folders: texts(&FOLDERS),
        paths,
        texts: [runtime::DAEMON_JSON, runtime::CONTAINERD_TOML, runtime::RESTARTS_DUE]
            .into_iter()
            .chain(PROXY_FILES.map(|(path, _)| path))
            .map(str::to_owned)
            .collect(),
        packages: runtime::packages(),
        modules: texts(&kernel::MODULES),
        sysctls: kernel::SYSCTLS.map(|(name, _)| name.to_owned()).into(),
        units: texts(&["kubelet.service", "docker.service", "containerd.service"]),
        containers: CONTAINERS
            .iter()
            .map(|component| component.as_str())
            .chain(FOREIGN_CONTAINERS)
            .map(str::to_owned)
            .collect(),
        etcd_uid: cluster.etcd_user.0,
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

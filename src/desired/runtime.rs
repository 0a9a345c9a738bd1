//! Docker and the containerd that it brings: packages, and the keys of their configuration that are ours.

use serde_json::{Value, json};

use super::DesiredError;
use super::engine_proxy;
use super::host::{MergeFormat, MergedFile};
use super::input::Site;
use super::part::Part;
use crate::state::{CgroupDriver, Component, HostFacts};

/// Docker's configuration.
pub(super) const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// containerd's configuration.
pub(super) const CONTAINERD_TOML: &str = "/etc/containerd/config.toml";
/// The distribution's Docker; it brings containerd. Not wanted where another Docker is installed already.
const DOCKER_PACKAGE: &str = "docker.io";
/// What a bare host lacks: kubelet's rules and the port forwarding and connection table tools that it and
/// containerd call, `modprobe` and `sysctl`.
const PACKAGES: [&str; 5] = ["conntrack", "iptables", "kmod", "procps", "socat"];

/// Units that must be restarted since their configuration is written, one a line. It is there from before the configuration
/// is until they have been: a run that ends between the two leaves it to the next one.
pub const RESTARTS_DUE: &str = "/var/lib/provision/restarts-due";

/// Every package that may be wanted.
pub(super) fn packages() -> Vec<String> {
    [DOCKER_PACKAGE].iter().chain(&PACKAGES).map(ToString::to_string).collect()
}

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::Runtime);
    if site.facts.docker.is_none() {
        part.packages.push(DOCKER_PACKAGE.to_owned());
    }
    part.packages.extend(PACKAGES.map(str::to_owned));
    part.merged_files.push(docker(site));
    part.merged_files.push(containerd(site));
    part.merged_files.extend(engine_proxy::files(site.cluster));
    Ok(part)
}

/// The cgroup driver for Docker, containerd and kubelet: what Docker says, or what a Docker that we install will say
/// (from 20.10 on systemd's where there is only cgroup version 2).
pub fn predicted_cgroup_driver(facts: &HostFacts) -> CgroupDriver {
    match (&facts.docker, facts.cgroup_version) {
        (Some(docker), _) => docker.cgroup_driver,
        (None, 2) => CgroupDriver::Systemd,
        (None, _) => CgroupDriver::Cgroupfs,
    }
}

/// The cgroup driver is not among the keys: everything follows what Docker has. `no-new-privileges` is set on each
/// container, because set here it would break other people's.
fn docker(site: &Site<'_>) -> MergedFile {
    let mut wanted = json!({
        // A restarted daemon stops nothing.
        "live-restore": true,
        "log-driver": "json-file",
        "log-opts": { "max-size": "50m", "max-file": "5" },
    });
    let registries = &site.cluster.supply.registries;
    let insecure: Vec<&str> =
        registries.iter().filter(|registry| registry.plain_http).map(|registry| registry.host.as_str()).collect();
    if !insecure.is_empty() {
        wanted["insecure-registries"] = json!(insecure);
    }
    MergedFile {
        path: DAEMON_JSON.into(),
        format: MergeFormat::Json,
        mode: 0o644,
        wanted,
        unit: "docker.service".into(),
    }
}

fn containerd(site: &Site<'_>) -> MergedFile {
    let systemd = predicted_cgroup_driver(site.facts) == CgroupDriver::Systemd;
    let sandbox = &site.release.images.pause.0;
    let wanted = match version(site.facts) {
        (..2, _) => layout_2(sandbox, systemd),
        (_, minor) => layout_3(sandbox, systemd, minor),
    };
    MergedFile {
        path: CONTAINERD_TOML.into(),
        format: MergeFormat::Toml,
        mode: 0o644,
        wanted,
        unit: "containerd.service".into(),
    }
}

/// Major and minor of containerd. Debian's, which comes with its Docker, is 1.6 or 1.7.
fn version(facts: &HostFacts) -> (u64, u64) {
    let text = facts.containerd_version.as_deref().unwrap_or("1.6").trim_start_matches('v');
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(1), parts.next().unwrap_or(0))
}

/// containerd 1.6 and 1.7.
fn layout_2(sandbox: &str, systemd: bool) -> Value {
    json!({
        "version": 2,
        // Docker's own packages ship a file that switches CRI off.
        "disabled_plugins": [],
        "plugins": {
            "io.containerd.grpc.v1.cri": {
                "sandbox_image": sandbox,
                "cni": { "bin_dir": super::cni::PROGRAMS, "conf_dir": super::cni::CONFIGURATION },
                "containerd": { "runtimes": { "runc": runc(systemd) } },
                // Read at each pull: a registry that is added later needs no restart.
                "registry": { "config_path": super::registries::CONTAINERD_HOSTS },
            },
        },
    })
}

/// containerd 2: the plugin is two, and `bin_dir` became a list in 2.1.
fn layout_3(sandbox: &str, systemd: bool, minor: u64) -> Value {
    let programs = super::cni::PROGRAMS;
    let (key, programs) = if minor == 0 { ("bin_dir", json!(programs)) } else { ("bin_dirs", json!([programs])) };
    json!({
        "version": 3,
        "disabled_plugins": [],
        "plugins": {
            "io.containerd.cri.v1.images": {
                "pinned_images": { "sandbox": sandbox },
                "registry": { "config_path": super::registries::CONTAINERD_HOSTS },
            },
            "io.containerd.cri.v1.runtime": {
                "cni": { key: programs, "conf_dir": super::cni::CONFIGURATION },
                "containerd": { "runtimes": { "runc": runc(systemd) } },
            },
        },
    })
}

fn runc(systemd: bool) -> Value {
    json!({ "runtime_type": "io.containerd.runc.v2", "options": { "SystemdCgroup": systemd } })
}

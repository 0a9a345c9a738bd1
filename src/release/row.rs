//! A row of the catalog, made for one version.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::canal_line::CanalLine;
use super::one_way::OneWay;
use crate::base::{KubernetesVersion, Minor};
use crate::state::{Component, ImageReference, ImageStore};

/// Everything that is particular to one Kubernetes version.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// The version, any patch of the minor.
    pub version: KubernetesVersion,
    /// The row.
    pub minor: Minor,
    /// How the row was proven.
    pub proof: Proof,
    /// Images, `{version}` filled in.
    pub images: Images,
    /// The line of Calico that Canal runs.
    pub canal: CanalLine,
    /// Version of the CNI plugins, such as `v1.6.2`.
    pub cni_plugins: String,
    /// Major versions of Docker that are known to work.
    pub docker_versions: Vec<u64>,
    /// Versions of containerd that serve this kubelet.
    pub containerd: ContainerdRange,
    /// What enforces the pod security level.
    pub pod_security: PodSecurityMechanism,
    /// API version of `PodSecurityConfiguration`.
    pub pod_security_configuration: String,
    /// Admission plugins besides those that are on by default.
    pub admission_plugins: Vec<String>,
    /// Seconds that an apiserver has for ending after its shutdown delay.
    pub apiserver_stop_margin_seconds: i64,
    /// Whether an apiserver that ends leaves its address in the Service `kubernetes` (kubernetes issue 114049).
    pub leaves_stale_endpoint: bool,
    /// Differences in arguments.
    pub arguments: Arguments,
    /// Differences in component configuration files.
    pub configuration: Configuration,
    /// What is no longer served, as `policy/v1beta1 PodSecurityPolicy`, and the API version that took its place; empty for
    /// none.
    pub removed_apis: BTreeMap<String, String>,
    /// What the way back to the minor before loses.
    pub one_way: Vec<OneWay>,
}

/// How a row was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// It ran in the lab.
    Lab,
    /// It was put together from release notes.
    Table,
}

/// The images of a version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// kube-apiserver.
    pub kube_apiserver: ImageReference,
    /// kube-controller-manager.
    pub kube_controller_manager: ImageReference,
    /// kube-scheduler.
    pub kube_scheduler: ImageReference,
    /// kube-proxy.
    pub kube_proxy: ImageReference,
    /// etcd.
    pub etcd: ImageReference,
    /// The sandbox of pods.
    pub pause: ImageReference,
    /// CoreDNS.
    pub coredns: ImageReference,
    /// metrics-server.
    pub metrics_server: ImageReference,
    /// HAProxy.
    pub api_proxy: ImageReference,
    /// calico-node, for Canal.
    pub calico_node: ImageReference,
    /// The image that brings Calico's CNI plugin, for Canal.
    pub calico_cni: ImageReference,
    /// flannel's daemon, for Canal.
    pub canal_flannel: ImageReference,
    /// flannel's daemon, for flannel alone.
    pub flannel: ImageReference,
    /// The image that brings flannel's CNI plugin.
    pub flannel_cni: ImageReference,
    /// What the test pods of `check network` run; no node needs it otherwise.
    pub network_check: ImageReference,
}

impl Images {
    /// The keys of `system_images`, in the order of [`Images::rows`]: RKE's words where it has one.
    pub const KEYS: [&str; 15] = [
        "kube_apiserver",
        "kube_controller_manager",
        "kube_scheduler",
        "kube_proxy",
        "etcd",
        "api_proxy",
        "pod_infra_container",
        "coredns",
        "metrics_server",
        "canal_node",
        "canal_cni",
        "canal_flannel",
        "flannel",
        "flannel_cni",
        "network_check",
    ];

    /// Every image with its key and the store that it is run from.
    pub fn rows(&mut self) -> [(&'static str, ImageStore, &mut ImageReference); 15] {
        use ImageStore::{Containerd, Docker};
        let [apiserver, controller_manager, scheduler, proxy, etcd, api_proxy, pause, coredns, rest @ ..] = Self::KEYS;
        let [metrics_server, canal_node, canal_cni, canal_flannel, flannel, flannel_cni, network_check] = rest;
        [
            (apiserver, Docker, &mut self.kube_apiserver),
            (controller_manager, Docker, &mut self.kube_controller_manager),
            (scheduler, Docker, &mut self.kube_scheduler),
            (proxy, Docker, &mut self.kube_proxy),
            (etcd, Docker, &mut self.etcd),
            (api_proxy, Docker, &mut self.api_proxy),
            (pause, Containerd, &mut self.pause),
            (coredns, Containerd, &mut self.coredns),
            (metrics_server, Containerd, &mut self.metrics_server),
            (canal_node, Containerd, &mut self.calico_node),
            (canal_cni, Containerd, &mut self.calico_cni),
            (canal_flannel, Containerd, &mut self.canal_flannel),
            (flannel, Containerd, &mut self.flannel),
            (flannel_cni, Containerd, &mut self.flannel_cni),
            (network_check, Containerd, &mut self.network_check),
        ]
    }

    /// Fills `{version}` in.
    #[must_use]
    pub(super) fn of(&self, version: &KubernetesVersion) -> Self {
        let fill = |image: &ImageReference| ImageReference(image.0.replace("{version}", &version.to_string()));
        Self {
            kube_apiserver: fill(&self.kube_apiserver),
            kube_controller_manager: fill(&self.kube_controller_manager),
            kube_scheduler: fill(&self.kube_scheduler),
            kube_proxy: fill(&self.kube_proxy),
            etcd: fill(&self.etcd),
            pause: fill(&self.pause),
            coredns: fill(&self.coredns),
            metrics_server: fill(&self.metrics_server),
            api_proxy: fill(&self.api_proxy),
            calico_node: fill(&self.calico_node),
            calico_cni: fill(&self.calico_cni),
            canal_flannel: fill(&self.canal_flannel),
            flannel: fill(&self.flannel),
            flannel_cni: fill(&self.flannel_cni),
            network_check: fill(&self.network_check),
        }
    }
}

/// A range of containerd versions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenRange")]
pub struct ContainerdRange {
    /// The oldest that works.
    pub from: semver::Version,
    /// The first that no longer works, where there is one.
    pub below: Option<semver::Version>,
}

/// The range as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRange {
    from: String,
    below: Option<String>,
}

impl TryFrom<WrittenRange> for ContainerdRange {
    type Error = String;

    fn try_from(written: WrittenRange) -> Result<Self, String> {
        let read = |text: &String| {
            semver::Version::parse(text).map_err(|error| format!("containerd version `{text}`: {error}"))
        };
        Ok(Self { from: read(&written.from)?, below: written.below.as_ref().map(read).transpose()? })
    }
}

impl ContainerdRange {
    /// Whether a version works; text behind the patch number (`1.6.20~ds1`) does not count.
    pub fn contains(&self, version: &str) -> bool {
        let plain: String = version.chars().take_while(|sign| sign.is_ascii_digit() || *sign == '.').collect();
        let Ok(version) = semver::Version::parse(&plain) else { return false };
        version >= self.from && self.below.as_ref().is_none_or(|below| version < *below)
    }
}

/// What enforces the pod security level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurityMechanism {
    /// PodSecurityPolicy objects (up to 1.24).
    Policy,
    /// The admission plugin's own configuration (from 1.25).
    Admission,
}

/// Differences in arguments, by component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Arguments {
    /// etcd.
    pub etcd: ArgumentChanges,
    /// kube-apiserver.
    pub kube_apiserver: ArgumentChanges,
    /// kube-controller-manager.
    pub kube_controller_manager: ArgumentChanges,
    /// kube-scheduler.
    pub kube_scheduler: ArgumentChanges,
    /// kubelet.
    pub kubelet: ArgumentChanges,
    /// kube-proxy.
    pub kube_proxy: ArgumentChanges,
}

impl Arguments {
    /// Fills `{pause}` in.
    pub(super) fn with(&self, images: &Images) -> Self {
        let fill = |changes: &ArgumentChanges| ArgumentChanges {
            added: changes.added.iter().map(|argument| argument.replace("{pause}", &images.pause.0)).collect(),
            removed: changes.removed.clone(),
        };
        Self {
            etcd: fill(&self.etcd),
            kube_apiserver: fill(&self.kube_apiserver),
            kube_controller_manager: fill(&self.kube_controller_manager),
            kube_scheduler: fill(&self.kube_scheduler),
            kubelet: fill(&self.kubelet),
            kube_proxy: fill(&self.kube_proxy),
        }
    }

    /// The changes of a component; none for what is no part of Kubernetes.
    pub fn of(&self, component: Component) -> Option<&ArgumentChanges> {
        match component {
            Component::Etcd => Some(&self.etcd),
            Component::KubeApiserver => Some(&self.kube_apiserver),
            Component::KubeControllerManager => Some(&self.kube_controller_manager),
            Component::KubeScheduler => Some(&self.kube_scheduler),
            Component::Kubelet => Some(&self.kubelet),
            Component::KubeProxy => Some(&self.kube_proxy),
            Component::Runtime | Component::Kernel | Component::Base | Component::ApiProxy | Component::Cni => None,
        }
    }
}

/// How one component's arguments differ from those that every version takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArgumentChanges {
    /// Whole arguments that this version takes besides.
    pub added: Vec<String>,
    /// Flags that this version refuses, without value.
    pub removed: Vec<String>,
}

impl ArgumentChanges {
    /// The arguments of this version: what all take, without what it refuses, and what it takes besides.
    pub fn apply(&self, arguments: Vec<String>) -> Vec<String> {
        let refused = |argument: &String| {
            let flag = argument.split('=').next().unwrap_or_default();
            self.removed.iter().any(|removed| removed == flag)
        };
        arguments.into_iter().filter(|argument| !refused(argument)).chain(self.added.iter().cloned()).collect()
    }
}

/// Keys of component configuration files that differ by version.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// `KubeletConfiguration`.
    pub kubelet: Map<String, Value>,
    /// `KubeProxyConfiguration`.
    pub kube_proxy: Map<String, Value>,
}

//! The parts that a node is made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of a node that is installed, compared and repaired as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// Packages, Docker, containerd and their configuration.
    Runtime,
    /// Modules and sysctls.
    Kernel,
    /// The folders, the boot files and the slice that all others lie in.
    Base,
    /// An etcd member.
    Etcd,
    /// kube-apiserver.
    KubeApiserver,
    /// kube-controller-manager.
    KubeControllerManager,
    /// kube-scheduler.
    KubeScheduler,
    /// The loopback proxy to all apiservers.
    ApiProxy,
    /// kubelet, a service of systemd.
    Kubelet,
    /// kube-proxy.
    KubeProxy,
    /// CNI plugin binaries.
    Cni,
}

impl Component {
    /// The name that files, containers, steps and messages use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Kernel => "kernel",
            Self::Base => "base",
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::ApiProxy => "api-proxy",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Cni => "cni",
        }
    }

    /// The loopback port that listens once the component works, where no other sign of its health is awaited.
    pub fn health_port(self) -> Option<u16> {
        match self {
            Self::KubeControllerManager => Some(10257),
            Self::KubeScheduler => Some(10259),
            Self::KubeProxy => Some(10256),
            Self::ApiProxy => Some(6444),
            _ => None,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

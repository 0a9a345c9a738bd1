//! Ways in which what takes the place of a component can be bad.

use crate::harness::V1_24;

/// One way to fail.
#[derive(Default)]
pub struct Sickness {
    pub name: &'static str,
    /// What is written behind cluster.yml.
    pub config: String,
    /// The Kubernetes version of cluster.yml, where it is another.
    pub version: Option<&'static str>,
    /// Arguments of the catalog's row: component, arguments.
    pub arguments: Option<(&'static str, &'static [&'static str])>,
    /// Images of a script: name, program, script.
    pub image: Option<(&'static str, &'static str, &'static str)>,
    /// A script in the place of kubelet's program of a version.
    pub kubelet: Option<(&'static str, &'static str)>,
    /// What is done on the host before, and what takes it back.
    pub host: Option<(&'static str, &'static str)>,
    /// More options of `up`.
    pub options: &'static [&'static str],
    /// What the plan names, before and after.
    pub planned: &'static str,
    /// What the run says.
    pub says: &'static [&'static str],
}

pub fn image_that_exits() -> Sickness {
    let image = "registry.k8s.io/kube-apiserver:exits";
    Sickness {
        name: "an image of kube-apiserver that exits at once",
        config: format!("system_images:\n  kube_apiserver: {image}\n"),
        image: Some((image, "/usr/local/bin/kube-apiserver", "#!/bin/sh\necho 'wrong turn taken' >&2\nexit 7\n")),
        planned: "replace container kube-apiserver",
        says: &["the old one is back", "exit code 7", "| wrong turn taken"],
        ..Sickness::default()
    }
}

pub fn argument_that_is_unknown() -> Sickness {
    Sickness {
        name: "an argument that kube-controller-manager does not know",
        arguments: Some(("kube_controller_manager", &["--no-such-flag=1"])),
        planned: "replace container kube-controller-manager",
        says: &["the old one is back", "exit code 1", "unknown flag: --no-such-flag"],
        ..Sickness::default()
    }
}

pub fn etcd_that_may_not_read() -> Sickness {
    Sickness {
        name: "an etcd that lacks access to its data",
        arguments: Some(("etcd", &["--data-dir=/var/lib/etcd/of-root"])),
        host: Some(("install -d -m 700 /var/lib/etcd/of-root", "rmdir /var/lib/etcd/of-root")),
        planned: "replace container etcd",
        says: &["the old one is back", "exit code 1", "permission denied"],
        ..Sickness::default()
    }
}

/// A patch of kubelet that reports itself, and is gone ten seconds later.
pub fn kubelet_that_crashes_after_ten_seconds() -> Sickness {
    let images = ["kube_apiserver", "kube_controller_manager", "kube_scheduler", "kube_proxy"];
    let image = |key: &str| format!("  {key}: registry.k8s.io/{}:{V1_24}\n", key.replace('_', "-"));
    let drain = "upgrade_strategy:\n  drain: true\n  node_drain_input: {delete_local_data: true}\n";
    Sickness {
        name: "a kubelet that crashes after ten seconds",
        config: format!("system_images:\n{}{drain}", images.map(image).concat()),
        version: Some("v1.24.18"),
        kubelet: Some((
            "v1.24.18",
            "#!/bin/sh
             sed 's/v1\\.24\\.17/v1.24.18/g' /opt/provision/kubelet/v1.24.17/kubelet >/var/tmp/kubelet
             chmod 755 /var/tmp/kubelet
             exec timeout -s KILL 10 /var/tmp/kubelet \"$@\"\n",
        )),
        planned: "replace kubelet.service",
        says: &["the old one is back", "it ended by itself after it was healthy", "exit code", "h1 takes pods again"],
        ..Sickness::default()
    }
}

pub fn image_without_its_program() -> Sickness {
    let image = "registry.k8s.io/kube-scheduler:empty";
    Sickness {
        name: "an image of kube-scheduler that lacks its program",
        config: format!("system_images:\n  kube_scheduler: {image}\n"),
        image: Some((image, "/usr/local/bin/another", "#!/bin/sh\n")),
        planned: "replace container kube-scheduler",
        says: &["the old one is back", "/usr/local/bin/kube-scheduler", "no such file or directory"],
        ..Sickness::default()
    }
}

pub fn image_that_hangs() -> Sickness {
    let image = "registry.k8s.io/kube-apiserver:hangs";
    let script = "#!/bin/sh\necho 'waiting for nobody' >&2\nexec sleep 1000000\n";
    Sickness {
        name: "an image of kube-apiserver that never listens",
        config: format!("system_images:\n  kube_apiserver: {image}\n"),
        image: Some((image, "/usr/local/bin/kube-apiserver", script)),
        planned: "replace container kube-apiserver",
        says: &["the old one is back", "port 6443 does not answer", "after 90 s", "| waiting for nobody"],
        ..Sickness::default()
    }
}

/// Its answer from etcd never comes in time.
pub fn apiserver_that_never_gets_ready() -> Sickness {
    Sickness {
        name: "a kube-apiserver that starts and never gets ready",
        arguments: Some(("kube_apiserver", &["--etcd-healthcheck-timeout=1ns"])),
        planned: "replace container kube-apiserver",
        says: &["the old one is back", "[-]etcd", "after 90 s"],
        ..Sickness::default()
    }
}

/// Its certificate is not that of this node.
pub fn kubelet_that_never_registers() -> Sickness {
    Sickness {
        name: "a kubelet that never registers",
        // The first one is the row's own.
        arguments: Some((
            "kubelet",
            &["--container-runtime-endpoint=unix:///run/containerd/containerd.sock", "--hostname-override=another"],
        )),
        planned: "replace kubelet.service",
        says: &["the old one is back", "node h1 has not reported since", "after 90 s"],
        ..Sickness::default()
    }
}

/// An add-on: what was applied before is applied again. After a reboot nobody leads until the lease of the controller-manager
/// before it is over.
pub fn network_that_never_gets_ready() -> Sickness {
    let image = "ghcr.io/flannel-io/flannel:broken";
    Sickness {
        name: "pods of the network plugin that never get ready",
        config: format!("system_images:\n  flannel: {image}\n"),
        image: Some((image, "/opt/bin/flanneld", "#!/bin/sh\necho 'no way out' >&2\nexit 3\n")),
        options: &["--step-timeout", "60"],
        planned: "DaemonSet kube-system/kube-flannel-ds",
        says: &["the old one is back", "kube-flannel-ds", "exit code 3", "no way out"],
        ..Sickness::default()
    }
}

/// An add-on of the operator's: it stays until the generation that brought it is taken back.
pub fn addon_that_never_gets_ready() -> Sickness {
    Sickness {
        name: "an add-on of cluster.yml that never gets ready",
        config: "addons: |
  apiVersion: v1
  kind: Namespace
  metadata: {name: sick}
  ---
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: sick, namespace: sick}
  spec:
    selector: {matchLabels: {app: sick}}
    template:
      metadata: {labels: {app: sick}}
      spec:
        containers: [{name: main, image: 'registry.k8s.io/pause:nobody-has-it'}]
"
        .into(),
        options: &["--step-timeout", "60"],
        planned: "Deployment sick/sick",
        says: &["Deployment sick/sick", "0 of 1 pods ready"],
        ..Sickness::default()
    }
}

/// Nothing is wrong with this one.
pub fn scheduler_that_says_more() -> Sickness {
    Sickness {
        name: "a good kube-scheduler",
        arguments: Some(("kube_scheduler", &["--v=1"])),
        planned: "replace container kube-scheduler",
        ..Sickness::default()
    }
}

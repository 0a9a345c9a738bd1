//! `kubeadm init` of the same Kubernetes on a copy of the same host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::Lab;
use crate::measured::timed;

/// The service as kubeadm's own packages install it.
const UNIT: &str = "[Service]
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=2
[Install]
WantedBy=multi-user.target
";

/// Prepares the host as kubeadm wants it, then times `kubeadm init` alone.
pub fn init(lab: &Lab) -> Duration {
    let bundle = lab.bundle(lab.version());
    for image in files(&bundle.join("images")) {
        // The control plane's images are in Docker already; kubeadm's static pods want them in containerd.
        lab.feed("h1", &image, &["ctr", "-n", "k8s.io", "images", "import", "-"]);
    }
    let kubeadm = lab.command(&["program", "kubeadm", lab.version()]).succeeded();
    lab.send("h1", Path::new(kubeadm.text()), "/usr/local/bin/kubeadm");
    lab.send("h1", &bundle.join(format!("files/kubelet-{}", lab.version())), "/usr/local/bin/kubelet");
    let prepare = format!(
        "cat >/etc/systemd/system/kubelet.service <<'UNIT'\n{UNIT}UNIT\ncat >/root/kubeadm.yml <<'CONFIG'\n{}CONFIG\n\
         systemctl daemon-reload; systemctl enable -q kubelet; sync\n",
        config(lab)
    );
    lab.script("h1", &prepare);
    timed(|| {
        lab.script("h1", "kubeadm init --config /root/kubeadm.yml --skip-phases=preflight </dev/null");
    })
}

fn config(lab: &Lab) -> String {
    let driver = lab.script("h1", "docker info -f '{{.CgroupDriver}}'");
    let images = files(&lab.bundle(lab.version()).join("images"));
    let names = images.iter().filter_map(|path| path.file_stem()?.to_str());
    let tag = names.filter_map(|name| name.strip_prefix("registry.k8s.io_etcd_")).next().expect("a bundle has etcd");
    format!(
        "apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {address}}}
nodeRegistration: {{criSocket: unix:///run/containerd/containerd.sock, imagePullPolicy: Never, taints: []}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
networking: {{podSubnet: 10.42.0.0/16, serviceSubnet: 10.43.0.0/16}}
etcd: {{local: {{imageTag: {tag}, dataDir: /var/lib/etcd}}}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: {driver}
failSwapOn: false
evictionHard: {{memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {{maxPerCore: 0}}
",
        address = lab.address("h1"),
        version = lab.version(),
        driver = driver.trim(),
    )
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.flatten().map(|entry| entry.path()).collect()
}

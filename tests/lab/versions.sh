# shellcheck shell=bash
# The versions that the lab builds. One set of network parts serves every Kubernetes; etcd and the
# sandbox image go with the Kubernetes minor.

KUBERNETES_DEFAULT=v1.34.1
KUBERNETES_KNOWN="v1.34.1 v1.25.4 v1.24.17"
COREDNS=1.12.1
CNI_PLUGINS=1.6.2
FLANNEL=0.26.7
FLANNEL_CNI=0.9.1
HAPROXY=2.6.12
# The Kubernetes that agnhost, the image for trying workloads, is taken from, and what it calls itself.
AGNHOST_KUBERNETES=1.34.1
AGNHOST=2.56
# An etcd by itself, older than those that go with a Kubernetes: catalog-etcd-3.5.21.yml has clusters start on it.
ETCD_OLD=3.5.21
DEBIAN=bookworm

etcd_for() {
    case $1 in
    v1.34.*) echo 3.6.14 ;;
    v1.25.*) echo 3.5.33 ;;
    v1.24.*) echo 3.5.33 ;;
    *) die "no etcd is known for Kubernetes $1; the lab builds: $KUBERNETES_KNOWN" ;;
    esac
}

pause_for() {
    case $1 in
    v1.34.*) echo 3.10.1 ;;
    v1.25.*) echo 3.8 ;;
    v1.24.*) echo 3.7 ;;
    *) die "no sandbox image is known for Kubernetes $1; the lab builds: $KUBERNETES_KNOWN" ;;
    esac
}

# The Calico whose images make the lab's network Canal, where somebody hands them (LAB_BUNDLES).
calico_for() {
    case $1 in
    v1.34.*) echo 3.32.1 ;;
    v1.25.*) echo 3.26.5 ;;
    v1.24.*) echo 3.26.5 ;;
    *) die "no Calico is known for Kubernetes $1; the lab builds: $KUBERNETES_KNOWN" ;;
    esac
}

# The oldest that its module still gives and the newest.
metrics_server_for() {
    case $1 in
    v1.34.*) echo 0.9.0 ;;
    v1.25.*) echo 0.7.2 ;;
    v1.24.*) echo 0.7.2 ;;
    *) die "no metrics-server is known for Kubernetes $1; the lab builds: $KUBERNETES_KNOWN" ;;
    esac
}

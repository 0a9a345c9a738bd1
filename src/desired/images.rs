//! Which images a node needs, as a table.

use std::collections::BTreeSet;

use super::host::DesiredImage;
use super::input::Site;
use crate::cluster::{Cluster, NetworkPlugin, Node};
use crate::release::{Images, Release};
use crate::state::{ImageReference, ImageStore};

/// One image: where it must be, and on which nodes.
struct Row {
    store: ImageStore,
    image: fn(&Images) -> &ImageReference,
    needed: fn(&Cluster, &Node) -> bool,
}

const fn row(store: ImageStore, image: fn(&Images) -> &ImageReference, needed: fn(&Cluster, &Node) -> bool) -> Row {
    Row { store, image, needed }
}

/// System containers are Docker's; what runs in pods is containerd's, on every node where such a pod may come to lie.
const ROWS: [Row; 14] = {
    use ImageStore::{Containerd, Docker};
    [
        row(Docker, |images| &images.etcd, |_, node| node.roles.etcd),
        row(Docker, |images| &images.kube_apiserver, |_, node| node.roles.control_plane),
        row(Docker, |images| &images.kube_controller_manager, |_, node| node.roles.control_plane),
        row(Docker, |images| &images.kube_scheduler, |_, node| node.roles.control_plane),
        row(Docker, |images| &images.api_proxy, |_, _| true),
        row(Docker, |images| &images.kube_proxy, |_, _| true),
        row(Containerd, |images| &images.pause, |_, _| true),
        row(Containerd, |images| &images.coredns, |cluster, _| cluster.dns.is_some()),
        row(Containerd, |images| &images.metrics_server, |cluster, _| cluster.metrics.is_some()),
        row(Containerd, |images| &images.calico_node, |cluster, _| is_canal(cluster)),
        row(Containerd, |images| &images.calico_cni, |cluster, _| is_canal(cluster)),
        row(Containerd, |images| &images.canal_flannel, |cluster, _| is_canal(cluster)),
        row(Containerd, |images| &images.flannel, |cluster, _| is_flannel(cluster)),
        row(Containerd, |images| &images.flannel_cni, |cluster, _| is_flannel(cluster)),
    ]
};

fn is_canal(cluster: &Cluster) -> bool {
    matches!(cluster.network.plugin, NetworkPlugin::Canal(_))
}

fn is_flannel(cluster: &Cluster) -> bool {
    matches!(cluster.network.plugin, NetworkPlugin::Flannel(_))
}

/// Every image that some node needs, once each, sorted.
pub fn images(cluster: &Cluster, release: &Release) -> Vec<(ImageStore, ImageReference)> {
    let needed = ROWS.iter().filter(|row| cluster.nodes.iter().any(|node| (row.needed)(cluster, node)));
    let images: BTreeSet<_> = needed.map(|row| (row.store, (row.image)(&release.images).clone())).collect();
    images.into_iter().collect()
}

/// The images that one node needs.
pub fn images_of(cluster: &Cluster, release: &Release, node: &Node) -> Vec<(ImageStore, ImageReference)> {
    let needed = ROWS.iter().filter(|row| (row.needed)(cluster, node));
    needed.map(|row| (row.store, (row.image)(&release.images).clone())).collect()
}

/// The images of one node.
pub(super) fn of(site: &Site<'_>) -> Vec<DesiredImage> {
    let needed = ROWS.iter().filter(|row| (row.needed)(site.cluster, site.node));
    let image = |row: &Row| {
        let reference = (row.image)(&site.release.images).clone();
        let id = site.pins.images.get(&(row.store, reference.clone())).cloned();
        DesiredImage { store: row.store, reference, id }
    };
    needed.map(image).collect()
}

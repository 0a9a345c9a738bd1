//! The wanted state of every host and of the API, as plain values.
//!
//! Pure and deterministic: equal input gives equal bytes on every machine.

mod api_proxy;
mod base;
mod cni;
mod engine_proxy;
mod error;
mod etcd;
mod host;
mod images;
mod input;
mod kernel;
mod kube_apiserver;
mod kube_controller_manager;
mod kube_proxy;
mod kube_scheduler;
mod kubeconfig;
mod kubelet;
mod look;
mod merge;
mod objects;
mod overlay;
mod part;
mod registries;
mod render;
mod runtime;
mod template;

pub use cni::cni_program_path;
pub use engine_proxy::{PROXY_FILES, only_nodes_differ};
pub use error::DesiredError;
pub use etcd::peer_url as etcd_peer_url;
pub use host::{Desired, DesiredHost, DesiredImage, MergeFormat, MergedFile, NodeMetadata, UnitSpec, UserSpec};
pub use images::{images, images_of};
pub use input::{Input, PayloadPin, Pins};
pub use kubelet::kubelet_path;
pub use look::look_request;
pub use merge::{MergeError, merge};
pub use objects::{KEEP, MANAGED_BY, NETWORK, POD_SECURITY, STAMP, complete, complete_objects, object_keys, objects};
pub use render::render;
pub use runtime::{RESTARTS_DUE, predicted_cgroup_driver};

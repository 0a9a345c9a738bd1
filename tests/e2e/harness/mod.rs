//! What every scenario uses: hosts, the tool, kubectl, pictures of what is there, and waiting.

mod jobs;
mod kubectl;
mod lab;
mod made;
mod openapi;
mod picture;
pub mod prepared;
pub mod probes;
mod ran;
mod registry;
pub mod tool;
mod wait;

pub use jobs::Jobs;
pub use kubectl::Kubectl;
pub use lab::{Lab, cache, checkout};
pub use made::MadeBundle;
pub use openapi::OpenApi;
pub use picture::Picture;
pub use ran::{Ran, run, run_with_input};
pub use registry::{Port, Registry, Site};
pub use wait::{SECOND, until};

/// The newest Kubernetes that the lab builds.
pub const V1_34: &str = "v1.34.1";
/// The last Kubernetes with PodSecurityPolicy.
pub const V1_24: &str = "v1.24.17";
/// The first without PodSecurityPolicy.
pub const V1_25: &str = "v1.25.4";
/// The workload image that the lab puts on its hosts; it has no numeric user of its own.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.56";

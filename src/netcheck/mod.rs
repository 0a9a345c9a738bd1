//! The check of a cluster's network: which connections are tried, what their answers mean, and what is told of it. Pure;
//! `ops` opens the connections.
//!
//! Test pods serve and dial themselves (`agnhost netexec`), and each is spoken to from its own node only, over SSH: the
//! way by which an answer comes back is no part of what is tested.

mod coverage;
mod diagnosis;
mod finding;
mod observations;
mod outcome;
mod pods;
mod report;
mod request;
mod slices;
mod trial;

pub use coverage::{Coverage, Pair};
pub use finding::{Cause, Finding};
pub use observations::{NameServers, Observations, PolicySeen, Probe, Setting};
pub use outcome::Outcome;
pub use pods::{PodState, pod_state};
pub use report::{Failure, Line, NetworkReport, Status};
pub use request::{Dial, HOSTNAME, MTU_REQUEST, mtu_of, padded_hostname};
pub use slices::{SERVICE_LABEL, ready_endpoints};
pub use trial::{HTTP_PORT, NAMESPACE_PREFIX, SERVICE_PORT, Trial, UDP_PORT};

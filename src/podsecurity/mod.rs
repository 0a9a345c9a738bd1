//! The Pod Security Standards as checks on pod templates, and what follows from them where Pod Security admission takes the
//! place of PodSecurityPolicy: which level each namespace can bear, and which workloads live on what a policy filled in.
//!
//! Source of the controls: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>, and for what differs
//! between versions the `policy` package of `k8s.io/pod-security-admission`.

mod baseline;
mod control;
mod labels;
mod mutation;
mod pod;
mod render;
mod report;
mod restricted;
mod verdict;
mod workloads;

pub use control::{Control, controls};
pub use labels::{LABELS_ANNOTATION, LABELS_MANAGER, labelled, unlabelled};
pub use mutation::as_mutated;
pub use report::{BorderInput, BorderReport, EXEMPT, MutationFinding, NamespaceReport, WorkloadFinding, border_report};
pub use restricted::WITHOUT_SECCOMP;
pub use verdict::{Verdict, Violation, level_of};
pub use workloads::{WORKLOAD_KINDS, template_of};

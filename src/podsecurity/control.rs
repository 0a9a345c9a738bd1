//! The table of controls.

use super::baseline::BASELINE;
use super::pod::Pod;
use super::restricted::RESTRICTED;
use crate::base::Minor;
use crate::cluster::PodSecurity;

/// A control of the standards.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    /// Its name in the standards.
    pub name: &'static str,
    /// The laxest level that has it.
    pub level: PodSecurity,
    /// The first Kubernetes minor that has it.
    pub since: Minor,
    /// The fields that it looks at, below the pod; `*` is every container, be it an init or an ephemeral one.
    pub fields: &'static [&'static str],
    /// What may stand there, in words.
    pub allowed: &'static str,
    /// What a pod has there that may not be, one line each.
    pub(super) check: fn(&Pod<'_>) -> Vec<String>,
}

/// All controls that a Kubernetes minor knows, those of level `baseline` first.
pub fn controls(minor: Minor) -> impl Iterator<Item = &'static Control> {
    BASELINE.iter().chain(RESTRICTED).filter(move |control| control.since <= minor)
}

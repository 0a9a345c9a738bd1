//! `upgrade_strategy` as it is written.

use super::Field;

/// `upgrade_strategy`.
#[derive(Debug, Clone)]
pub struct UpgradeStrategy {
    /// `max_unavailable_worker`.
    pub max_unavailable_worker: Field<String>,
    /// `max_unavailable_controlplane`.
    pub max_unavailable_controlplane: Field<String>,
    /// `drain`.
    pub drain: Field<bool>,
    /// `node_drain_input`.
    pub node_drain_input: NodeDrainInput,
    /// `canary`.
    pub canary: Field<i64>,
    /// `soak`.
    pub soak: Field<String>,
    /// `on_failure`.
    pub on_failure: Field<String>,
}

/// `upgrade_strategy.node_drain_input`.
#[derive(Debug, Clone)]
pub struct NodeDrainInput {
    /// `force`.
    pub force: Field<bool>,
    /// `ignore_daemonsets`.
    pub ignore_daemonsets: Field<bool>,
    /// `delete_local_data`.
    pub delete_local_data: Field<bool>,
    /// `grace_period`.
    pub grace_period: Field<i64>,
    /// `timeout`.
    pub timeout: Field<i64>,
}

//! `dns` and `monitoring` as they are written.

use super::{At, Field, Position};

/// Texts by name, each with its place.
pub type TextMap = Field<Vec<(At<String>, At<String>)>>;
/// Lists of texts by name, each with its place.
pub type TextsMap = Field<Vec<(At<String>, Vec<At<String>>)>>;

/// `dns`.
#[derive(Debug, Clone)]
pub struct Dns {
    /// `provider`.
    pub provider: Field<String>,
    /// `options.coredns_priority_class_name`.
    pub priority_class: Field<String>,
    /// `upstreamnameservers`.
    pub upstream: Field<Vec<At<String>>>,
    /// `reversecidrs`.
    pub reverse: Field<Vec<At<String>>>,
    /// `stubdomains`.
    pub stub_domains: TextsMap,
    /// `node_selector` and `tolerations`.
    pub placement: Placement,
    /// `update_strategy`.
    pub update_strategy: UpdateStrategy,
    /// `linear_autoscaler_params`.
    pub scaling: Scaling,
}

/// `dns.linear_autoscaler_params`.
#[derive(Debug, Clone)]
pub struct Scaling {
    /// `cores_per_replica`.
    pub cores_per_replica: Field<String>,
    /// `nodes_per_replica`.
    pub nodes_per_replica: Field<String>,
    /// `min`.
    pub min: Field<i64>,
    /// `max`.
    pub max: Field<i64>,
    /// `prevent_single_point_failure`.
    pub prevent_single_point_failure: Field<bool>,
}

/// `monitoring`.
#[derive(Debug, Clone)]
pub struct Monitoring {
    /// `provider`.
    pub provider: Field<String>,
    /// `options`.
    pub options: TextMap,
    /// `node_selector` and `tolerations`.
    pub placement: Placement,
    /// `update_strategy`.
    pub update_strategy: UpdateStrategy,
    /// `replicas`.
    pub replicas: Field<i64>,
    /// `metrics_server_priority_class_name`.
    pub priority_class: Field<String>,
}

/// Where an add-on's pods may run.
#[derive(Debug, Clone)]
pub struct Placement {
    /// `node_selector`.
    pub node_selector: TextMap,
    /// `tolerations`.
    pub tolerations: Field<Vec<TolerationEntry>>,
}

/// An entry of `tolerations`.
#[derive(Debug, Clone)]
pub struct TolerationEntry {
    /// Where it begins.
    pub at: Position,
    /// `key`.
    pub key: Field<String>,
    /// `operator`.
    pub operator: Field<String>,
    /// `value`.
    pub value: Field<String>,
    /// `effect`.
    pub effect: Field<String>,
    /// `tolerationSeconds`.
    pub seconds: Field<i64>,
}

/// `update_strategy` of a Deployment.
#[derive(Debug, Clone)]
pub struct UpdateStrategy {
    /// The key `update_strategy`.
    pub at: Position,
    /// `strategy`.
    pub strategy: Field<String>,
    /// `rollingUpdate.maxUnavailable`.
    pub max_unavailable: Field<String>,
    /// `rollingUpdate.maxSurge`.
    pub max_surge: Field<String>,
}

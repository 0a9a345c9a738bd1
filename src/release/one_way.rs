//! What the way back from a minor loses.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Something that an apiserver of a minor stores and that one of the minor before cannot read, or does not go by.
///
/// Sources: Kubernetes' feature gates and the `generated.proto` of its API groups.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneWay {
    /// Kind of the objects, such as `CronJob`.
    pub kind: String,
    /// Where etcd has them, below `/registry/`: `cronjobs`, or group and plural for what is no part of Kubernetes' core.
    pub keys: String,
    /// The fields, such as `spec.timeZone`, each with its place in an object that is stored as protobuf: field numbers from
    /// the object on, empty where the kind is stored as JSON. No field: the older minor does not know the kind at all.
    #[serde(default)]
    pub fields: BTreeMap<String, Vec<u32>>,
    /// Objects that the control plane makes by itself and that do not count: namespace and name, or the name alone.
    #[serde(default)]
    pub own: Vec<String>,
    /// What becomes of them there, in words.
    pub meaning: String,
    /// Whether the older minor would do something else than is asked for; otherwise it only does less.
    pub refused: bool,
}

//! What a line of Calico needs, for Canal.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Where lines of Calico differ: a row of the catalog names the one that its images are of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanalLine {
    /// Every kind of the API that this line brings, used by Canal or only by Calico's other tools.
    pub kinds: Vec<CalicoKind>,
    /// What calico-node asks of kinds that others bring, besides what all lines ask for.
    #[serde(default)]
    pub rules: Vec<AccessRule>,
    /// ConfigMaps of kube-system that calico-node looks for at its start, and stops when it may not.
    #[serde(default)]
    pub config_maps: Vec<String>,
    /// Environment of calico-node, besides that of all lines.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// A kind of Calico's API.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalicoKind {
    /// Plural, as in paths of the API.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Group of the API.
    #[serde(default = "calico_group")]
    pub group: String,
    /// Version of the API.
    #[serde(default = "calico_version")]
    pub version: String,
    /// Whether its objects lie in namespaces.
    #[serde(default)]
    pub namespaced: bool,
    /// Whether it has a status of its own.
    #[serde(default)]
    pub status: bool,
    /// Where Kubernetes has approved a group that ends with its own name; the API takes no such kind without.
    #[serde(default)]
    pub approval: String,
    /// Short names for kubectl.
    #[serde(default)]
    pub short_names: Vec<String>,
    /// What calico-node does with it.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// What the API fills in below `spec`.
    #[serde(default)]
    pub defaults: Map<String, Value>,
}

/// What may be done with resources of a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// Group of the API.
    pub group: String,
    /// Resources, in the plural.
    pub resources: Vec<String>,
    /// Verbs.
    pub verbs: Vec<String>,
}

fn calico_group() -> String {
    "crd.projectcalico.org".to_owned()
}

fn calico_version() -> String {
    "v1".to_owned()
}

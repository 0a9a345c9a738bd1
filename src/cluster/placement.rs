//! Where pods of an add-on may run, and how they are replaced.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::config::{self, Field, TolerationEntry, nearest, shown};

use super::checks::Checks;
use super::{Node, Taint, grammar};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
/// A Deployment counts its replicas with 32 bits; nobody needs more than this.
const MOST: u32 = 1000;

/// What the file says about the nodes of an add-on's pods, besides what the tool says itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are borne.
    pub tolerations: Vec<Toleration>,
}

/// A toleration, in the form of the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; empty for all keys.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Whether any value will do.
    pub operator: TolerationOperator,
    /// The value; empty with [`TolerationOperator::Exists`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// The effect; empty for all effects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub effect: String,
    /// Seconds for which a taint with `NoExecute` is borne; none for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration and a taint are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TolerationOperator {
    /// By value.
    Equal,
    /// Any value will do.
    Exists,
}

/// How a Deployment's pods are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateStrategy {
    /// All at once, with a gap.
    Recreate,
    /// One after the other. Where a number is not written, the tool's own holds.
    Rolling {
        /// Replicas that may be away.
        max_unavailable: Option<Amount>,
        /// Replicas that there may be too many.
        max_surge: Option<Amount>,
    },
}

/// A number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// As it is.
    Count(u32),
    /// Percent of the wanted replicas.
    Percent(u32),
}

impl Placement {
    /// Whether the file lets pods onto a node, where these taints are borne in any case.
    pub fn admits(&self, node: &Node, tolerated: &[&str]) -> bool {
        let has = |(key, value): (&String, &String)| node.labels.get(key) == Some(value) || is_set_elsewhere(key);
        let bears = |taint: &Taint| {
            taint.effect == "PreferNoSchedule"
                || tolerated.contains(&taint.key.as_str())
                || self.tolerations.iter().any(|toleration| toleration.bears(taint))
        };
        self.node_selector.iter().all(has) && node.taints.iter().all(bears)
    }
}

/// Labels that no node's `labels` holds: Kubernetes and the roles set them.
fn is_set_elsewhere(label: &str) -> bool {
    label.split_once('/').is_some_and(|(prefix, _)| prefix.ends_with("kubernetes.io"))
}

impl Toleration {
    fn bears(&self, taint: &Taint) -> bool {
        (self.key.is_empty() || self.key == taint.key)
            && (self.effect.is_empty() || self.effect == taint.effect)
            && (self.operator == TolerationOperator::Exists || self.value == taint.value)
    }
}

impl Amount {
    /// Whether it is nothing of so many replicas; percentages of unavailable replicas are rounded down, as Kubernetes does.
    pub fn is_none_of(self, replicas: u64) -> bool {
        match self {
            Self::Count(count) => count == 0,
            Self::Percent(percent) => u64::from(percent) * replicas < 100,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Percent(percent) => write!(formatter, "{percent}%"),
        }
    }
}

/// `node_selector` and `tolerations` of an add-on.
pub(super) fn placement(written: &config::Placement, checks: &mut Checks) -> Placement {
    let mut node_selector = BTreeMap::new();
    for (key, value) in written.node_selector.value().map(Vec::as_slice).unwrap_or_default() {
        if let Err(rule) = grammar::label_key(&key.value) {
            checks.fail(key.at, format!("{} is no key of a label", shown(key)), rule);
        }
        if let Err(rule) = grammar::label_value(&value.value) {
            checks.fail(value.at, format!("{} is no value of a label", shown(value)), rule);
        }
        node_selector.insert(key.value.clone(), value.value.clone());
    }
    let tolerations = written.tolerations.value().map(Vec::as_slice).unwrap_or_default();
    Placement { node_selector, tolerations: tolerations.iter().map(|entry| toleration(entry, checks)).collect() }
}

fn toleration(entry: &TolerationEntry, checks: &mut Checks) -> Toleration {
    let key = checks.grammar(&entry.key, "key of a taint", grammar::label_key).unwrap_or_default().to_owned();
    let value = checks.grammar(&entry.value, "value of a taint", grammar::label_value).unwrap_or_default().to_owned();
    let operator = operator(&entry.operator, checks);
    if entry.key.is_missing() && operator == TolerationOperator::Equal {
        checks.fail(
            entry.at,
            "a toleration without `key` bears nothing",
            "write `key`, or `operator: Exists` for all keys",
        );
    }
    if let (TolerationOperator::Exists, Some(value)) = (operator, entry.value.written()) {
        checks.fail(value.at, "`value` and `operator: Exists` are both written", "leave one of them out");
    }
    let effect = one_of(&entry.effect, "effect of a taint", &EFFECTS, checks).unwrap_or_default().to_owned();
    if let Some(seconds) =
        entry.seconds.written().filter(|_| effect != "NoExecute" && !matches!(entry.effect, Field::Bad))
    {
        checks.fail(
            seconds.at,
            "`tolerationSeconds` counts only with `effect: NoExecute`",
            "leave it out, or write that effect",
        );
    }
    Toleration { key, operator, value, effect, toleration_seconds: entry.seconds.value().copied() }
}

fn operator(field: &Field<String>, checks: &mut Checks) -> TolerationOperator {
    match one_of(field, "operator of a toleration", &["Equal", "Exists"], checks) {
        Some("Exists") => TolerationOperator::Exists,
        _ => TolerationOperator::Equal,
    }
}

/// A written word out of a few; `None` for what is missing or wrong.
pub(super) fn one_of<'a>(field: &'a Field<String>, what: &str, words: &[&str], checks: &mut Checks) -> Option<&'a str> {
    let written = field.written()?;
    if words.contains(&written.value.as_str()) {
        return Some(&written.value);
    }
    let near = nearest(&written.value, words).map(|near| format!("did you mean `{near}`?"));
    let all = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    checks.fail(written.at, format!("{} is no {what}", shown(written)), near.unwrap_or_else(|| format!("write {all}")));
    None
}

/// `update_strategy` of a Deployment; none where the tool's own holds.
pub(super) fn update_strategy(written: &config::UpdateStrategy, checks: &mut Checks) -> Option<UpdateStrategy> {
    let word = one_of(&written.strategy, "update strategy", &["RollingUpdate", "Recreate"], checks);
    let (max_unavailable, max_surge) =
        (amount(&written.max_unavailable, "replicas", checks), amount(&written.max_surge, "replicas", checks));
    if word == Some("Recreate") {
        for field in [&written.max_unavailable, &written.max_surge] {
            if let Some(field) = field.written() {
                checks.fail(
                    field.at,
                    "`rollingUpdate` has no meaning with `strategy: Recreate`",
                    "leave one of them out",
                );
            }
        }
        return Some(UpdateStrategy::Recreate);
    }
    let is_zero = |amount: Option<Amount>| matches!(amount, Some(Amount::Count(0) | Amount::Percent(0)));
    if is_zero(max_unavailable) && is_zero(max_surge) {
        checks.fail(
            written.at,
            "`maxUnavailable` and `maxSurge` are both 0: no pod could ever be replaced",
            "write 1 for one of them",
        );
    }
    let any = max_unavailable.is_some() || max_surge.is_some();
    any.then_some(UpdateStrategy::Rolling { max_unavailable, max_surge })
}

/// A written number or percentage of these things.
pub(super) fn amount(field: &Field<String>, things: &str, checks: &mut Checks) -> Option<Amount> {
    let written = field.written()?;
    let number = |text: &str, most: u32| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= most)
    };
    let amount = match written.value.strip_suffix('%') {
        Some(percent) => number(percent, 100).map(Amount::Percent),
        None => number(&written.value, MOST).map(Amount::Count),
    };
    if amount.is_none() {
        let help = format!("write a number up to {MOST}, or a percentage up to `100%`");
        checks.fail(written.at, format!("{} is no number of {things}", shown(written)), help);
    }
    amount
}

/// A written number of replicas within bounds.
pub(super) fn count(field: &Field<i64>, what: &str, least: u32, most: u32, checks: &mut Checks) -> Option<u32> {
    let written = field.written()?;
    let number = u32::try_from(written.value).ok().filter(|number| (least..=most).contains(number));
    if number.is_none() {
        checks.fail(
            written.at,
            format!("{} is no {what}", written.value),
            format!("write a number from {least} to {most}"),
        );
    }
    number
}

//! What of an object that we would apply differs from the live one.
//!
//! Every field that we write must be as we write it. Fields that we do not write belong to the server or to others and
//! are not compared; that we wrote one earlier shows in the digest of what was applied. A comparison by hand, and not a
//! dry run of server-side apply, because a run that changes nothing must not cost a write request for each object.

use std::fmt;

use serde_json::{Map, Value};

use super::owned_fields::OwnedFields;
use crate::desired::STAMP;

/// Fields below `metadata` that only the server sets, whatever we send.
const SERVER_METADATA: [&str; 6] =
    ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];
/// Lists to which others add their own: ours must be among them.
const SHARED_LISTS: [&str; 1] = ["finalizers"];
/// Plain booleans of the API that it leaves out when false. Others (`allowPrivilegeEscalation`,
/// `automountServiceAccountToken`, …) mean something else when absent.
const OMITTED_WHEN_FALSE: [&str; 4] = ["hostIPC", "hostNetwork", "hostPID", "readOnly"];
/// The same, which only in a `PodSecurityPolicy` are plain.
const OMITTED_IN_POLICY: [&str; 2] = ["privileged", "readOnlyRootFilesystem"];
/// Fields that are amounts, or hold some.
const AMOUNTS: [&str; 8] =
    ["averageValue", "capacity", "divisor", "hard", "limits", "overhead", "resources", "sizeLimit"];
/// Characters of a value that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where, such as `spec.template.spec.containers[0].image`.
    pub path: String,
    /// The value that we write; `null` stands for a secret one.
    pub wanted: Value,
    /// The live value; `None` where the field is missing, `null` for a secret one.
    pub live: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, wanted, live } = self;
        if *path == stamp_path() {
            let text = if live.is_some() { "provision writes it otherwise than before" } else { "not applied yet" };
            return formatter.write_str(text);
        }
        match live {
            _ if wanted.is_null() => write!(formatter, "{path} differs (secret)"),
            None => write!(formatter, "{path} is missing, wanted {}", shown(wanted, wanted)),
            Some(live) => write!(formatter, "{path} is {}, wanted {}", shown(live, wanted), shown(wanted, live)),
        }
    }
}

fn stamp_path() -> String {
    format!("metadata.annotations[{STAMP}]")
}

/// A value on one line; of a long text the part from where it differs from the other.
fn shown(value: &Value, other: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARACTERS {
        return text;
    }
    let common = text.chars().zip(other.to_string().chars()).take_while(|(one, other)| one == other).count();
    let start = if value == other { 0 } else { common.saturating_sub(SHOWN_CHARACTERS / 3) };
    let window: String = text.chars().skip(start).take(SHOWN_CHARACTERS).collect();
    let (before, after) = (if start > 0 { "…" } else { "" }, "…");
    format!("{before}{window}{after}")
}

/// Compares an object that we would apply with the live one, both complete; empty where applying would change nothing.
pub fn object_difference(wanted: &Value, live: &Value) -> Vec<Difference> {
    let kind = wanted["kind"].as_str().unwrap_or_default();
    let stamp = |object: &Value| object["metadata"]["annotations"][STAMP].as_str().map(str::to_owned);
    let is_current = stamp(wanted).is_some() && stamp(wanted) == stamp(live);
    let mut comparison = Comparison { kind, is_current, path: Vec::new(), differences: Vec::new() };
    comparison.value(wanted, live, OwnedFields::of(wanted, live));
    // What else differs says more.
    let others = comparison.differences.iter().any(|difference| difference.path != stamp_path());
    comparison.differences.retain(|difference| !others || difference.path != stamp_path());
    comparison.differences
}

#[derive(Debug, Clone)]
enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

struct Comparison<'a> {
    kind: &'a str,
    /// Whether the object was last applied as it is wanted now.
    is_current: bool,
    path: Vec<Segment<'a>>,
    differences: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    fn value(&mut self, wanted: &'a Value, live: &Value, owned: OwnedFields<'_>) {
        match (wanted, live) {
            (Value::Null, _) => {}
            (Value::Object(wanted), Value::Object(live)) => self.map(wanted, live, owned),
            (Value::Array(wanted), Value::Array(live)) => self.list(wanted, live, owned),
            _ if is_equal(wanted, live) || (self.is_quantity() && is_same_quantity(wanted, live)) => {}
            _ if self.is_rewritten(owned) => {}
            _ => self.report(wanted, Some(live)),
        }
    }

    /// Whether the server keeps what we applied in words of its own. Who else changes a field becomes its owner; before
    /// 1.22 scaling did not.
    fn is_rewritten(&self, owned: OwnedFields<'_>) -> bool {
        let is_replicas = matches!(self.path.last(), Some(Segment::Key("replicas")));
        self.is_current && owned.is_whole() && !is_replicas
    }

    fn map(&mut self, wanted: &'a Map<String, Value>, live: &Map<String, Value>, owned: OwnedFields<'_>) {
        for (key, wanted) in wanted {
            if self.is_the_servers(key) {
                continue;
            }
            let owned = owned.field(key);
            self.inside(Segment::Key(key), |comparison| match live.get(key) {
                Some(live) => comparison.value(wanted, live, owned),
                None if comparison.is_omitted(key, wanted) => {}
                None => comparison.report(wanted, None),
            });
        }
    }

    fn list(&mut self, wanted: &'a [Value], live: &[Value], owned: OwnedFields<'_>) {
        if owned.is_set() || self.is_shared_list() {
            self.shared_list(wanted, live);
        } else if owned.is_keyed() {
            self.keyed_list(wanted, live, owned);
        } else if wanted.len() == live.len() {
            for (index, (wanted, live)) in wanted.iter().zip(live).enumerate() {
                self.inside(Segment::Index(index), |comparison| comparison.value(wanted, live, owned));
            }
        } else if !self.is_rewritten(owned) {
            self.report_list(wanted, live);
        }
    }

    /// Items are told apart by a key, and others may add some of their own.
    fn keyed_list(&mut self, wanted: &'a [Value], live: &[Value], owned: OwnedFields<'_>) {
        for (index, wanted) in wanted.iter().enumerate() {
            let (live, owned) = owned.item(wanted, live);
            self.inside(Segment::Index(index), |comparison| match live {
                Some(live) => comparison.value(wanted, live, owned),
                None => comparison.report(wanted, None),
            });
        }
    }

    fn shared_list(&mut self, wanted: &'a [Value], live: &[Value]) {
        if let Some(missing) = wanted.iter().find(|value| !live.contains(value)) {
            self.report(missing, None);
        }
    }

    fn report_list(&mut self, wanted: &[Value], live: &[Value]) {
        self.report(&Value::Array(wanted.to_vec()), Some(&Value::Array(live.to_vec())));
    }

    fn inside(&mut self, segment: Segment<'a>, compare: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        compare(self);
        self.path.pop();
    }

    fn is_the_servers(&self, key: &str) -> bool {
        match self.path.as_slice() {
            [] => key == "status",
            [Segment::Key("metadata")] => SERVER_METADATA.contains(&key),
            _ => false,
        }
    }

    fn is_shared_list(&self) -> bool {
        matches!(self.path.last(), Some(Segment::Key(key)) if SHARED_LISTS.contains(key))
    }

    /// The server leaves out what is empty, and some booleans that are false.
    fn is_omitted(&self, key: &str, wanted: &Value) -> bool {
        match wanted {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Bool(false) => {
                let in_policy = self.kind == "PodSecurityPolicy" && OMITTED_IN_POLICY.contains(&key);
                in_policy || OMITTED_WHEN_FALSE.contains(&key)
            }
            _ => false,
        }
    }

    /// Whether the field is an amount, which the server writes in its own way (`0.5` becomes `500m`).
    fn is_quantity(&self) -> bool {
        let keys = self.path.iter().rev().filter_map(|segment| match segment {
            Segment::Key(key) => Some(*key),
            Segment::Index(_) => None,
        });
        let is_data = matches!(self.path.first(), Some(Segment::Key("data")));
        !is_data && keys.take(3).any(|key| AMOUNTS.contains(&key))
    }

    fn report(&mut self, wanted: &Value, live: Option<&Value>) {
        let secret = self.kind == "Secret" && matches!(self.path.first(), Some(Segment::Key("data" | "stringData")));
        let hidden = |value: &Value| if secret { Value::Null } else { value.clone() };
        let path = self.path_text();
        self.differences.push(Difference { path, wanted: hidden(wanted), live: live.map(hidden) });
    }

    fn path_text(&self) -> String {
        let texts = self.path.iter().enumerate().map(|(position, segment)| match segment {
            Segment::Index(index) => format!("[{index}]"),
            Segment::Key(key) if key.contains(['.', '/']) => format!("[{key}]"),
            Segment::Key(key) if position == 0 => (*key).to_owned(),
            Segment::Key(key) => format!(".{key}"),
        });
        texts.collect()
    }
}

/// `1` and `1.0` are one number.
fn is_equal(wanted: &Value, live: &Value) -> bool {
    wanted == live || matches!((wanted, live), (Value::Number(one), Value::Number(two)) if one.as_f64() == two.as_f64())
}

fn is_same_quantity(wanted: &Value, live: &Value) -> bool {
    quantity(wanted).is_some_and(|wanted| Some(wanted) == quantity(live))
}

/// Thousandths of a quantity such as `100m`, `0.5`, `1e3` or `128Mi`; both sides are rounded alike.
fn quantity(value: &Value) -> Option<i128> {
    /// The suffixes of the API's quantities, longest first, and their factors.
    const SUFFIXES: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("", 1.0),
    ];
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let (number, factor) = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))?;
    let thousandths = number.parse::<f64>().ok()? * factor * 1000.0;
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    thousandths.is_finite().then(|| thousandths.round() as i128)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(wanted: &Value, live: &Value) -> Vec<String> {
        object_difference(wanted, live).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn what_the_server_and_others_add_is_no_difference() {
        let wanted = json!({
            "kind": "Deployment",
            "metadata": {"name": "a", "labels": {"k8s-app": "a"}, "creationTimestamp": null, "finalizers": ["x"]},
            "spec": {"template": {"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 53}]}]}}},
        });
        let live = json!({
            "kind": "Deployment",
            "metadata": {"name": "a", "labels": {"k8s-app": "a", "other": "1"}, "uid": "1", "finalizers": ["y", "x"]},
            "spec": {"replicas": 1, "template": {"spec": {"restartPolicy": "Always", "containers": [
                {"name": "c", "ports": [{"containerPort": 53, "protocol": "TCP"}]}
            ]}}},
            "status": {"replicas": 1},
        });
        assert_eq!(lines(&wanted, &live), [""; 0]);
    }

    #[test]
    fn each_edited_removed_or_added_thing_is_named() {
        let wanted =
            json!({"metadata": {"labels": {"a.b/c": "1"}}, "spec": {"replicas": 2, "args": ["x"], "one": {"two": 1}}});
        let live = json!({"metadata": {"labels": {}}, "spec": {"replicas": 1, "args": ["x", "y"], "one": []}});
        assert_eq!(
            lines(&wanted, &live),
            [
                r#"metadata.labels[a.b/c] is missing, wanted "1""#,
                "spec.replicas is 1, wanted 2",
                r#"spec.args is ["x","y"], wanted ["x"]"#,
                r#"spec.one is [], wanted {"two":1}"#,
            ]
        );
        let list = json!({"rules": [{"verbs": ["get"]}]});
        assert_eq!(lines(&list, &json!({"rules": [{"verbs": ["*"]}]})), [r#"rules[0].verbs[0] is "*", wanted "get""#]);
    }

    #[test]
    fn empty_values_that_the_server_leaves_out_are_no_difference() {
        let wanted = json!({"spec": {"a": {}, "b": [], "c": "", "d": null, "hostNetwork": false}});
        assert_eq!(lines(&wanted, &json!({"spec": {}})), [""; 0]);
        let guarded = json!({"spec": {"securityContext": {"allowPrivilegeEscalation": false, "privileged": false}}});
        assert_eq!(lines(&guarded, &json!({"spec": {"securityContext": {}}})).len(), 2);
        let policy =
            json!({"kind": "PodSecurityPolicy", "spec": {"privileged": false, "allowPrivilegeEscalation": false}});
        assert_eq!(lines(&policy, &json!({"kind": "PodSecurityPolicy", "spec": {}})).len(), 1);
    }

    /// An object as applied by us, with what the server keeps account of.
    fn live(spec: Value, fields: Value, stamp: &str) -> Value {
        let fields = json!({
            "manager": "provision", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:spec": fields},
        });
        let metadata = json!({"annotations": {STAMP: stamp}, "managedFields": [fields]});
        json!({"apiVersion": "v1", "metadata": metadata, "spec": spec})
    }

    fn wanted(spec: Value) -> Value {
        json!({"apiVersion": "v1", "metadata": {"annotations": {STAMP: "1"}}, "spec": spec})
    }

    #[test]
    fn items_of_a_list_are_told_apart_by_their_keys_and_others_may_add_some() {
        let port = |number: u16, name: &str| json!({"port": number, "protocol": "TCP", "name": name});
        let item = |fields: Value| json!({"f:ports": {"k:{\"port\":53,\"protocol\":\"TCP\"}": fields}});
        let ours = wanted(json!({"ports": [{"port": 53, "name": "dns"}]}));
        let untouched = item(json!({".": {}, "f:port": {}, "f:name": {}}));
        let with = |ports: Value| live(json!({"ports": ports}), untouched.clone(), "1");
        assert_eq!(lines(&ours, &with(json!([port(9153, "other"), port(53, "dns")]))), [""; 0]);
        let ports = json!([port(9153, "other"), port(53, "edited")]);
        let edited = live(json!({"ports": ports}), item(json!({".": {}, "f:port": {}})), "1");
        assert_eq!(lines(&ours, &edited), [r#"spec.ports[0].name is "edited", wanted "dns""#]);
        assert_eq!(lines(&ours, &with(json!([port(9153, "other")]))).len(), 1);
    }

    #[test]
    fn a_value_that_the_server_keeps_in_its_own_words_is_no_difference_while_it_is_ours() {
        let ours = wanted(json!({"window": "1h", "replicas": 1}));
        let fields = json!({"f:window": {}, "f:replicas": {}});
        let is = json!({"window": "1h0m0s", "replicas": 1});
        assert_eq!(lines(&ours, &live(is.clone(), fields.clone(), "1")), [""; 0]);
        // Whoever else writes the field becomes its owner.
        assert_eq!(lines(&ours, &live(is.clone(), json!({"f:replicas": {}}), "1")).len(), 1);
        // What was applied last was something else.
        assert_eq!(lines(&ours, &live(is, fields.clone(), "2")).len(), 1);
        let scaled = live(json!({"window": "1h", "replicas": 5}), fields, "1");
        assert_eq!(lines(&ours, &scaled), ["spec.replicas is 5, wanted 1"]);
    }

    #[test]
    fn a_set_may_hold_what_others_add() {
        let fields = json!({"f:names": {"v:\"a\"": {}}});
        let ours = wanted(json!({"names": ["a"]}));
        assert_eq!(lines(&ours, &live(json!({"names": ["b", "a"]}), fields.clone(), "1")), [""; 0]);
        assert_eq!(lines(&ours, &live(json!({"names": ["b"]}), fields, "1")).len(), 1);
    }

    #[test]
    fn what_we_write_no_more_shows_in_the_digest_alone() {
        let ours = wanted(json!({"a": 1}));
        let before = live(json!({"a": 1, "b": 2}), json!({"f:a": {}, "f:b": {}}), "0");
        assert_eq!(lines(&ours, &before), ["provision writes it otherwise than before"]);
        let edited = live(json!({"a": 5, "b": 2}), json!({}), "0");
        assert_eq!(lines(&ours, &edited), ["spec.a is 5, wanted 1"]);
        let taken_over = json!({"apiVersion": "v1", "metadata": {}, "spec": {"a": 1}});
        assert_eq!(lines(&ours, &taken_over).len(), 1);
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        assert_eq!(lines(&json!({"spec": {"a": 1.0, "b": "1"}}), &json!({"spec": {"a": 1, "b": "1"}})), [""; 0]);
        assert_eq!(lines(&json!({"spec": {"port": "80"}}), &json!({"spec": {"port": 80}})).len(), 1);
    }

    #[test]
    fn amounts_are_compared_as_amounts_and_only_they() {
        let spec = |cpu: Value, memory: Value| json!({"resources": {"limits": {"cpu": cpu, "memory": memory}}});
        assert_eq!(lines(&spec(json!("0.5"), json!("1024Ki")), &spec(json!("500m"), json!("1Mi"))), [""; 0]);
        assert_eq!(lines(&spec(json!(1), json!("1e3")), &spec(json!("1"), json!("1k"))), [""; 0]);
        assert_eq!(lines(&spec(json!("1"), json!("1Mi")), &spec(json!("1"), json!("1M"))).len(), 1);
        assert_eq!(lines(&json!({"data": {"a": "1000m"}}), &json!({"data": {"a": "1"}})).len(), 1);
    }

    #[test]
    fn secrets_are_never_shown() {
        let wanted = json!({"kind": "Secret", "data": {"key": "aGlkZGVu"}});
        let live = json!({"kind": "Secret", "data": {"key": "b3RoZXI="}});
        let differences = object_difference(&wanted, &live);
        assert_eq!(differences[0].to_string(), "data.key differs (secret)");
        assert!(!format!("{differences:?}").contains("aGlk"));
    }

    #[test]
    fn of_long_texts_the_differing_part_is_shown() {
        let text = |end: &str| json!({"data": {"Corefile": format!("{}{end}", "x".repeat(500))}});
        let line = lines(&text("old"), &text("new")).remove(0);
        assert!(line.contains("new") && line.contains("old") && line.len() < 200, "{line}");
    }
}

//! Which fields of a live object are ours, as the server keeps account of it.

use serde_json::{Map, Value};

use crate::state::FIELD_MANAGER;

/// Part of what `metadata.managedFields` says of us. Each field hangs below its parent under `f:NAME`; an item of a list
/// under `k:{…}`, its keys, or `v:…`, its value. A field without anything below it was written as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnedFields<'a>(Option<&'a Map<String, Value>>);

impl<'a> OwnedFields<'a> {
    /// Ours of a live object, if the account is in the version of the wanted one.
    pub fn of(wanted: &Value, live: &'a Value) -> Self {
        let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
        let is_ours = |entry: &&Value| {
            entry["manager"] == FIELD_MANAGER
                && entry["operation"] == "Apply"
                && entry["apiVersion"] == wanted["apiVersion"]
                && entry["subresource"].as_str().unwrap_or_default().is_empty()
        };
        let ours = entries.into_iter().flatten().find(is_ours);
        Self(ours.and_then(|entry| entry["fieldsV1"].as_object()))
    }

    /// A field of a map.
    pub fn field(self, name: &str) -> Self {
        Self(self.0.and_then(|fields| fields.get(&format!("f:{name}"))).and_then(Value::as_object))
    }

    /// Whether the value is ours as a whole.
    pub fn is_whole(self) -> bool {
        self.0.is_some_and(Map::is_empty)
    }

    /// Whether it is a list whose values are a set, to which others may add.
    pub fn is_set(self) -> bool {
        self.0.is_some_and(|fields| fields.keys().any(|key| key.starts_with("v:")))
    }

    /// Whether it is a list whose items have keys, to which others may add.
    pub fn is_keyed(self) -> bool {
        self.keys().next().is_some()
    }

    /// The live item that a wanted one stands for, and what of it is ours.
    pub fn item<'b>(self, wanted: &Value, live: &'b [Value]) -> (Option<&'b Value>, Self) {
        // A key that we leave out has its default: a port's protocol.
        let fits = |item: &Value, (name, value): (&String, &Value)| item.get(name).is_none_or(|is| is == value);
        let own = self.keys().find(|(key, _)| key.iter().all(|part| fits(wanted, part)));
        if let Some((key, fields)) = own {
            let found = live.iter().find(|item| key.iter().all(|part| fits(item, part)));
            return (found, Self(fields.as_object()));
        }
        // It is no longer ours, or never was: its keys are of the same names.
        let Some((names, _)) = self.keys().next() else { return (None, Self(None)) };
        let is_same = |item: &&Value| {
            names.keys().all(|name| wanted.get(name).zip(item.get(name)).is_none_or(|(wanted, is)| wanted == is))
        };
        (live.iter().find(is_same), Self(None))
    }

    fn keys(self) -> impl Iterator<Item = (Map<String, Value>, &'a Value)> {
        let parsed = |(key, fields): (&String, &'a Value)| {
            let Ok(Value::Object(key)) = serde_json::from_str(key.strip_prefix("k:")?) else { return None };
            Some((key, fields))
        };
        self.0.into_iter().flatten().filter_map(parsed)
    }
}

/// Maps that the server takes as a whole: who applies one owns all of it.
const ATOMIC_MAPS: [&str; 2] = ["nodeSelector", "selector"];

/// What brings a live object back as it is, after `wanted` was applied over it: what we have applied of it, by the server's
/// account, and what of others `wanted` takes over. Each with its live value. What else others have written stays theirs, but
/// for lists of which nothing was ours: they come whole.
pub(super) fn as_it_is(live: &Value, wanted: &Value) -> Value {
    let ours = OwnedFields::of(wanted, live).0;
    let none = Map::new();
    let mut body = part(live, ours.unwrap_or(&none), wanted);
    for name in ["apiVersion", "kind"] {
        body[name] = live[name].clone();
    }
    for name in ["namespace", "name"] {
        if let Some(value) = live["metadata"].get(name) {
            body["metadata"][name] = value.clone();
        }
    }
    body
}

/// The part of a value that is ours or that is wanted.
fn part(live: &Value, ours: &Map<String, Value>, wanted: &Value) -> Value {
    match live {
        Value::Object(live) => {
            let field = |(name, value): (&String, &Value)| {
                let part = chosen(value, ours.get(&format!("f:{name}")), wanted.get(name))?;
                let is_whole = ATOMIC_MAPS.contains(&name.as_str());
                Some((name.clone(), if is_whole { value.clone() } else { part }))
            };
            Value::Object(live.iter().filter_map(field).collect())
        }
        Value::Array(live) => Value::Array(live.iter().filter_map(|item| part_of_item(item, ours, wanted)).collect()),
        _ => live.clone(),
    }
}

/// `None` for what is neither ours nor wanted.
fn chosen(live: &Value, ours: Option<&Value>, wanted: Option<&Value>) -> Option<Value> {
    match (ours.and_then(Value::as_object), wanted) {
        (None, None) => None,
        (Some(ours), _) if ours.is_empty() => Some(live.clone()),
        // Whose list it is, and how its items are told apart, nobody tells us: its live items are what it had.
        (None, Some(_)) if live.is_array() => Some(live.clone()),
        (ours, wanted) => Some(part(live, ours.unwrap_or(&Map::new()), wanted.unwrap_or(&Value::Null))),
    }
}

fn part_of_item(live: &Value, ours: &Map<String, Value>, wanted: &Value) -> Option<Value> {
    if ours.contains_key(&format!("v:{live}")) {
        return Some(live.clone());
    }
    let of_list = OwnedFields(Some(ours));
    let is_it = |(key, _): &(Map<String, Value>, &Value)| key.iter().all(|(name, is)| live.get(name) == Some(is));
    let own = of_list.keys().find(is_it);
    let names = of_list.keys().next().map(|(key, _)| key).unwrap_or_default();
    // A key that it leaves out has its default.
    let fits = |item: &&Value| names.keys().all(|name| item.get(name).is_none_or(|is| live.get(name) == Some(is)));
    let wanted = wanted.as_array().into_iter().flatten().find(|item| !names.is_empty() && fits(item) || *item == live);
    let mut part = chosen(live, own.as_ref().map(|(_, fields)| *fields), wanted)?;
    // An item is found again by its key, whose parts may be defaults that nobody owns.
    if let Value::Object(part) = &mut part {
        part.extend(names.keys().map(|name| (name.clone(), live[name].clone())));
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn account(manager: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields})
    }

    #[test]
    fn what_was_applied_is_found_again_without_what_others_have_added() {
        let fields = json!({
            "f:metadata": {"f:annotations": {"f:stamp": {}}},
            "f:spec": {
                "f:args": {},
                "f:ports": {"k:{\"port\":53,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:name": {}}},
                "f:finalizers": {"v:\"ours\"": {}},
            },
        });
        let accounts = [account("another", &json!({"f:spec": {"f:replicas": {}}})), account(FIELD_MANAGER, &fields)];
        let live = json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": {
                "name": "a", "namespace": "b", "uid": "1", "managedFields": accounts,
                "annotations": {"stamp": "1", "other": "2"},
            },
            "spec": {
                "args": ["one", {"two": 2}], "replicas": 3, "finalizers": ["theirs", "ours"],
                "ports": [
                    {"port": 52, "protocol": "TCP", "name": "theirs"},
                    {"port": 53, "protocol": "TCP", "name": "dns", "nodePort": 30053},
                ],
            },
            "status": {"replicas": 3},
        });
        let before = json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": {"name": "a", "namespace": "b", "annotations": {"stamp": "1"}},
            "spec": {
                "args": ["one", {"two": 2}], "finalizers": ["ours"],
                "ports": [{"port": 53, "protocol": "TCP", "name": "dns"}],
            },
        });
        let wanted = json!({"apiVersion": "v1", "metadata": {"annotations": {"stamp": "2"}}, "spec": {"new": 1}});
        assert_eq!(as_it_is(&live, &wanted), before);
    }

    /// Else they would go with it: who applies no more what it has applied takes it away.
    #[test]
    fn what_others_have_written_and_the_new_one_takes_over_comes_back() {
        let fields = json!({"f:data": {"f:ours": {}}, "f:ports": {"k:{\"port\":1}": {"f:port": {}}}});
        let live = json!({
            "apiVersion": "v1", "kind": "Thing",
            "metadata": {"name": "a", "managedFields": [account(FIELD_MANAGER, &fields)]},
            "data": {"ours": "1", "edited": "theirs", "added": "theirs"}, "replicas": 3, "args": ["theirs"],
            "nodeSelector": {"os": "linux", "disk": "theirs"},
            "ports": [{"port": 1, "name": "theirs"}, {"port": 2, "name": "theirs"}, {"port": 3}],
        });
        let wanted = json!({
            "apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"},
            "data": {"ours": "2", "edited": "2"}, "replicas": 1, "args": ["2"], "nodeSelector": {"os": "linux"},
            "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "x"}, {"port": 4}],
        });
        let before = json!({
            "apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a"},
            "data": {"ours": "1", "edited": "theirs"}, "replicas": 3, "args": ["theirs"],
            "nodeSelector": {"os": "linux", "disk": "theirs"},
            "ports": [{"port": 1, "name": "theirs"}, {"port": 2, "name": "theirs"}],
        });
        assert_eq!(as_it_is(&live, &wanted), before);
    }
}

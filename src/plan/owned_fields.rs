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

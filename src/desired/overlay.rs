//! Laying one map over another.

use serde_json::{Map, Value};

/// Lays `over` over `under`: maps are merged key by key, everything else is replaced.
pub(super) fn overlay(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => overlay(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

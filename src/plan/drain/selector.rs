//! Label selectors, as the Kubernetes API has them.

use serde_json::Value;

/// Whether a `LabelSelector` picks an object with these labels. An empty selector picks everything, none at all nothing;
/// so does one with an operator that nobody knows.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    let Some(selector) = selector.as_object() else { return false };
    let pairs = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    pairs.into_iter().all(|(key, value)| labels[key] == *value)
        && expressions.into_iter().all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &Value) -> bool {
    let Some(key) = expression["key"].as_str() else { return false };
    let label = labels.get(key);
    let listed = || {
        let values = expression["values"].as_array().into_iter().flatten();
        values.into_iter().any(|value| label == Some(value))
    };
    match expression["operator"].as_str() {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => label.is_some(),
        Some("DoesNotExist") => label.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_pick_by_labels_and_by_expressions() {
        let labels = json!({"app": "web", "tier": "front"});
        let expression = |operator: &str, key: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (selector, wanted) in [
            (json!({}), true),
            (Value::Null, false),
            (json!({"matchLabels": {"app": "web"}}), true),
            (json!({"matchLabels": {"app": "web", "tier": "back"}}), false),
            (json!({"matchLabels": {"other": "web"}}), false),
            (expression("In", "app", json!(["api", "web"])), true),
            (expression("In", "other", json!(["web"])), false),
            (expression("NotIn", "app", json!(["web"])), false),
            (expression("NotIn", "other", json!(["web"])), true),
            (expression("Exists", "app", Value::Null), true),
            (expression("DoesNotExist", "app", Value::Null), false),
            (expression("Near", "app", Value::Null), false),
        ] {
            assert_eq!(selects(&selector, &labels), wanted, "{selector}");
        }
    }
}

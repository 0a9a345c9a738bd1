//! Objects against the schemas that an API server tells of itself: unknown fields, missing ones, wrong types. Servers up to
//! 1.24 drop what they do not know without a word.

use serde_json::Value;

use super::Kubectl;

/// The server's schemas, `/openapi/v2`.
pub struct OpenApi {
    definitions: Value,
}

impl OpenApi {
    /// Asks a server.
    pub fn of(kubectl: &Kubectl) -> Self {
        let ran = kubectl.run(&["get", "--raw", "/openapi/v2"]).succeeded();
        let mut all: Value = serde_json::from_str(&ran.stdout).expect("the schemas are JSON");
        Self { definitions: all["definitions"].take() }
    }

    /// What is wrong with an object.
    pub fn violations(&self, object: &Value) -> Vec<String> {
        let Some(schema) = self.schema_of(object) else {
            return vec![format!("no schema for {} {}", object["apiVersion"], object["kind"])];
        };
        let mut found = Vec::new();
        self.check(schema, object, "", &mut found);
        found
    }

    fn schema_of(&self, object: &Value) -> Option<&Value> {
        let api_version = object["apiVersion"].as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_it =
            |kind: &Value| kind["group"] == group && kind["version"] == version && kind["kind"] == object["kind"];
        let kinds = |schema: &Value| {
            schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|kinds| kinds.iter().any(is_it))
        };
        self.definitions.as_object()?.values().find(|schema| kinds(schema))
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => &self.definitions[reference.trim_start_matches("#/definitions/")],
            None => schema,
        };
        if !fits(schema, value) {
            found.push(format!("{path} is {value}, but {} is wanted", schema["type"]));
        }
        for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(field).is_none() {
                found.push(format!("{path}.{field} is missing"));
            }
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            match (schema["properties"].get(key), schema.get("additionalProperties")) {
                (Some(schema), _) | (None, Some(schema)) => self.check(schema, inner, &path, found),
                // A schema that names no field takes all of them.
                (None, None) if schema.get("properties").is_none() => {}
                (None, None) => found.push(format!("{path} is unknown")),
            }
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{path}[{index}]"), found);
        }
    }
}

fn fits(schema: &Value, value: &Value) -> bool {
    let free = schema["format"] == "int-or-string" || schema["x-kubernetes-int-or-string"] == true;
    match schema["type"].as_str() {
        Some("string") => value.is_string() || (free && value.is_number()),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}

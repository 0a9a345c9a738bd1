//! Texts with places for values, and the objects that they give.

use serde::Deserialize as _;
use serde_json::Value;
use tera::{Context, Kwargs, State, Tera, TeraResult};

use super::DesiredError;
use crate::state::Object;

/// A file below `templates/`, part of the program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    /// Path below `templates/`.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

impl Template {
    /// The text with its values, which are the members of a JSON object.
    pub(super) fn render(&self, values: &Value) -> Result<String, DesiredError> {
        let mut tera = Tera::new();
        tera.register_filter("json", json_text);
        let context = Context::from_serialize(values).map_err(|error| self.failed(&error))?;
        tera.render_str(self.text, &context, false).map_err(|error| self.failed(&error))
    }

    /// The objects of a YAML text of one or several documents.
    pub(super) fn objects(&self, values: &Value) -> Result<Vec<Object>, DesiredError> {
        let text = self.render(values)?;
        let object = |document| {
            let body = Value::deserialize(document).map_err(|error| self.failed(&error))?;
            Object::new(body).ok_or_else(|| self.failed(&"a document is no object of the API"))
        };
        serde_yaml::Deserializer::from_str(&text).map(object).collect()
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> DesiredError {
        DesiredError::Template { template: self.name, reason: error.to_string() }
    }
}

/// Writes a value as JSON, which YAML reads as the same value whatever it contains. Only for texts, numbers, truth values
/// and lists of these: the members of a map would come in any order.
fn json_text(value: &tera::Value, _: Kwargs, _: &State) -> TeraResult<String> {
    let text = serde_json::to_string(value).map_err(tera::Error::message)?;
    Ok(text.chars().map(printable).collect())
}

/// JSON escapes control characters below U+0020 only; YAML refuses some more.
fn printable(sign: char) -> String {
    match sign {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            format!("\\u{:04x}", u32::from(sign))
        }
        _ => sign.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEMPLATE: Template = Template {
        name: "test.yaml",
        text: "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ name | json }}\ndata:\n  list:\n{%- for item in list %}\n    - {{ item | json }}\n{%- endfor %}\n---\napiVersion: v1\nkind: Other\nmetadata: { name: b }\n",
    };

    #[test]
    fn hostile_values_stay_values() {
        for hostile in [
            "a: b",
            "\"quoted\" 'twice'",
            "two\nlines\n---\nkind: Secret",
            "{{ name }}{% for",
            "# no comment",
            "- no list",
            "\u{7f}\u{85}\u{2028}\u{feff}\u{0}\u{1f600}",
            "back\\slash",
            "&anchor *alias !tag",
            "",
            "null",
            "1",
        ] {
            let objects = TEMPLATE.objects(&json!({ "name": hostile, "list": [hostile, 1, true] })).unwrap();
            assert_eq!(objects.len(), 2, "{hostile:?}");
            assert_eq!(objects[0].body["metadata"], json!({ "name": hostile }));
            assert_eq!(objects[0].body["data"]["list"], json!([hostile, 1, true]));
        }
    }

    #[test]
    fn a_value_that_is_missing_is_an_error() {
        let error = TEMPLATE.objects(&json!({ "list": [] })).unwrap_err();
        assert!(error.to_string().starts_with("template test.yaml: "), "{error}");
    }

    #[test]
    fn what_names_no_object_is_an_error() {
        let template = Template { name: "test.yaml", text: "apiVersion: v1\nkind: ConfigMap\n" };
        let error = template.objects(&json!({})).unwrap_err();
        assert_eq!(error.to_string(), "template test.yaml: a document is no object of the API");
    }
}

//! A free map as JSON, as Kubernetes' own YAML reader would read it.

use serde_json::{Map, Number, Value};

use super::findings::Finding;
use super::tree::{Content, Entry, Node};

/// Converts the entries of a map; what has no JSON value is a finding.
pub(super) fn object(entries: &[Entry], findings: &mut Vec<Finding>) -> Map<String, Value> {
    entries.iter().map(|entry| (entry.key.value.clone(), value(&entry.value, findings))).collect()
}

/// The same for an object of the API: kubectl reads `0644` as octal, as do all who write manifests.
pub(super) fn manifest(node: &Node, findings: &mut Vec<Finding>) -> Value {
    match &node.content {
        Content::Mapping(entries) => {
            let value = |entry: &Entry| (entry.key.value.clone(), manifest(&entry.value, findings));
            Value::Object(entries.iter().map(value).collect())
        }
        Content::Sequence(items) => Value::Array(items.iter().map(|item| manifest(item, findings)).collect()),
        Content::Scalar { .. } => match node.plain().and_then(octal) {
            Some(number) => Value::Number(number.into()),
            None => value(node, findings),
        },
    }
}

/// `0644` and `0o644`.
fn octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").or(text.strip_prefix('0'))?;
    let is_octal = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if is_octal { u32::from_str_radix(digits, 8).ok() } else { None }
}

fn value(node: &Node, findings: &mut Vec<Finding>) -> Value {
    match &node.content {
        Content::Mapping(entries) => Value::Object(object(entries, findings)),
        Content::Sequence(items) => Value::Array(items.iter().map(|item| value(item, findings)).collect()),
        Content::Scalar { text, plain: false } => Value::String(text.clone()),
        Content::Scalar { .. } if node.is_null() => Value::Null,
        Content::Scalar { text, plain: true } => match node.flag() {
            Some(flag) => Value::Bool(flag),
            None => scalar(text, node, findings),
        },
    }
}

fn scalar(text: &str, node: &Node, findings: &mut Vec<Finding>) -> Value {
    if let Some(number) = node.integer() {
        return Value::Number(number.into());
    }
    if !looks_like_a_number(text) {
        return Value::String(text.to_owned());
    }
    let number = text.parse().ok().filter(|_| is_decimal(text)).and_then(Number::from_f64);
    number.map_or_else(
        || {
            findings.push(Finding {
                at: node.at,
                message: "this number can be read in more than one way".to_owned(),
                help: "write it in plain decimal digits, or in quotes if it is text".to_owned(),
            });
            Value::Null
        },
        Value::Number,
    )
}

/// What some YAML reader takes for a number: digits only with signs, dots, exponents, `_`, `0x`, `0o`, infinity.
fn looks_like_a_number(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['+', '-']);
    let radix = unsigned.strip_prefix("0x").or(unsigned.strip_prefix("0o")).or(unsigned.strip_prefix("0b"));
    if let Some(digits) = radix {
        return !digits.is_empty() && digits.chars().all(|character| character.is_ascii_hexdigit() || character == '_');
    }
    let special = [".inf", ".nan"].contains(&unsigned.to_lowercase().as_str());
    let digits = unsigned.replace(['_', '.'], "");
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((&digits, "0"));
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let dots = unsigned.matches('.').count() <= 1;
    special || (dots && numeric(mantissa) && numeric(exponent.trim_start_matches(['+', '-'])))
}

/// A decimal number that every reader takes for the same.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = unsigned.len() > 1 && unsigned.starts_with('0') && !unsigned.starts_with("0.");
    let begins = unsigned.starts_with(|character: char| character.is_ascii_digit());
    begins && !leading_zero && !unsigned.contains('_') && !unsigned.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    fn read(yaml: &str) -> (Value, usize) {
        let root = document::read(yaml.as_bytes()).root.unwrap();
        let mut findings = Vec::new();
        let value = value(&root, &mut findings);
        (value, findings.len())
    }

    #[test]
    fn scalars_are_what_kubernetes_reads() {
        let yaml =
            "{a: 1, b: \"1\", c: yes, d: 1.5, e: 100Mi, f: ~, g: [1, x], h: 5%, i: 1.2.3, j: -1, k: 10s, l: 1e3}";
        let expected = serde_json::json!({
            "a": 1, "b": "1", "c": true, "d": 1.5, "e": "100Mi", "f": null, "g": [1, "x"], "h": "5%", "i": "1.2.3", "j": -1,
            "k": "10s", "l": 1000.0
        });
        assert_eq!(read(yaml), (expected, 0));
    }

    #[test]
    fn manifests_have_octal_numbers() {
        let root = document::read(b"{a: 0644, b: 0o17, c: 0, d: \"0644\", e: 089, f: [0755]}").root.unwrap();
        let mut findings = Vec::new();
        let read = manifest(&root, &mut findings);
        assert_eq!((&read["a"], &read["b"], &read["c"]), (&420.into(), &15.into(), &0.into()));
        assert_eq!((&read["d"], &read["f"][0]), (&"0644".into(), &493.into()));
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn numbers_that_readers_disagree_on_are_findings() {
        for text in ["0644", "0x1f", "1_000", ".inf", "-.nan", "00.5", "99999999999999999999999999e999"] {
            assert_eq!(read(&format!("[{text}]")).1, 1, "{text}");
        }
    }
}

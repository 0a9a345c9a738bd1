//! Keys of ours in files that are not ours alone.

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::host::{MergeFormat, MergedFile};
use super::overlay::overlay;

/// Why a file cannot be merged. Nothing is ever guessed about a file that others wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The file does not parse.
    #[error("{path}:{line}:{column}: {reason}; repair the file on the host")]
    Syntax {
        /// The file.
        path: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// A key holds a value where a map must be.
    #[error("{path}: `{key}` is no map; take it out on the host")]
    Shape {
        /// The file.
        path: String,
        /// The key, with dots between its parts; empty for the whole file.
        key: String,
    },
    /// The file is written in another layout of containerd, whose keys mean nothing in ours.
    #[error(
        "{path} is written in layout {found}, and the installed containerd wants {wanted}; convert it with `containerd config migrate`"
    )]
    Layout {
        /// The file.
        path: String,
        /// Its `version`.
        found: i64,
        /// The version that our keys are in.
        wanted: i64,
    },
}

/// The file with our keys in it, or `None` where it has them already. Foreign keys stay, in TOML comments and layout too.
///
/// # Errors
///
/// A file that does not parse, or whose keys stand in the way of ours.
pub fn merge(existing: Option<&str>, file: &MergedFile) -> Result<Option<String>, MergeError> {
    match file.format {
        MergeFormat::Json => json(existing.unwrap_or_default(), file),
        MergeFormat::Toml => toml(existing.unwrap_or_default(), file),
        MergeFormat::Whole => Ok(whole(existing, file)),
    }
}

/// A file of which every byte is ours.
fn whole(existing: Option<&str>, file: &MergedFile) -> Option<String> {
    let wanted = file.wanted.as_str().unwrap_or_default();
    (existing != Some(wanted)).then(|| wanted.to_owned())
}

fn json(existing: &str, file: &MergedFile) -> Result<Option<String>, MergeError> {
    let was = if existing.trim().is_empty() { Value::Object(Map::new()) } else { parse_json(existing, file)? };
    let Value::Object(mut map) = was.clone() else { return Err(shape(file, "")) };
    let Value::Object(wanted) = &file.wanted else { return Err(shape(file, "")) };
    require_maps(&map, wanted, file, "")?;
    overlay(&mut map, wanted);
    let is = Value::Object(map);
    Ok((is != was).then(|| format!("{is:#}\n")))
}

fn parse_json(text: &str, file: &MergedFile) -> Result<Value, MergeError> {
    serde_json::from_str(text).map_err(|error| MergeError::Syntax {
        path: file.path.clone(),
        line: error.line(),
        column: error.column(),
        reason: error.to_string(),
    })
}

fn require_maps(
    map: &Map<String, Value>,
    wanted: &Map<String, Value>,
    file: &MergedFile,
    path: &str,
) -> Result<(), MergeError> {
    for (key, wanted) in wanted {
        let path = join(path, key);
        match (map.get(key), wanted) {
            (Some(Value::Object(map)), Value::Object(wanted)) => require_maps(map, wanted, file, &path)?,
            (Some(_), Value::Object(_)) => return Err(shape(file, &path)),
            _ => {}
        }
    }
    Ok(())
}

fn shape(file: &MergedFile, key: &str) -> MergeError {
    MergeError::Shape { path: file.path.clone(), key: key.to_owned() }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn toml(existing: &str, file: &MergedFile) -> Result<Option<String>, MergeError> {
    let mut document: DocumentMut = existing.parse().map_err(|error| toml_syntax(existing, &error, file))?;
    let Value::Object(wanted) = &file.wanted else { return Err(shape(file, "")) };
    require_layout(&document, wanted, file)?;
    let changed = write(document.as_table_mut(), wanted, file, "")?;
    Ok(changed.then(|| document.to_string()))
}

fn toml_syntax(text: &str, error: &toml_edit::TomlError, file: &MergedFile) -> MergeError {
    let offset = error.span().map_or(0, |span| span.start);
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |position| position + 1);
    MergeError::Syntax {
        path: file.path.clone(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        reason: error.message().to_owned(),
    }
}

/// A file without plugins has nothing that a change of layout could take the meaning from.
fn require_layout(document: &DocumentMut, wanted: &Map<String, Value>, file: &MergedFile) -> Result<(), MergeError> {
    let found = document.get("version").and_then(Item::as_integer);
    let wanted = wanted.get("version").and_then(Value::as_i64);
    let (Some(found), Some(wanted)) = (found, wanted) else { return Ok(()) };
    if found == wanted || document.get("plugins").is_none() {
        return Ok(());
    }
    Err(MergeError::Layout { path: file.path.clone(), found, wanted })
}

/// Returns whether anything was changed.
fn write(
    table: &mut dyn TableLike,
    wanted: &Map<String, Value>,
    file: &MergedFile,
    path: &str,
) -> Result<bool, MergeError> {
    let mut changed = false;
    for (key, value) in wanted {
        let path = join(path, key);
        if let Value::Object(inner) = value {
            let item = table.entry(key).or_insert_with(|| implicit_table(inner));
            let inner_table = item.as_table_like_mut().ok_or_else(|| shape(file, &path))?;
            changed |= write(inner_table, inner, file, &path)?;
        } else {
            changed |= write_value(table, key, value);
        }
    }
    Ok(changed)
}

/// A table with nothing but tables in it needs no line of its own.
fn implicit_table(inner: &Map<String, Value>) -> Item {
    let mut table = Table::new();
    table.set_implicit(inner.values().all(Value::is_object));
    Item::Table(table)
}

fn write_value(table: &mut dyn TableLike, key: &str, wanted: &Value) -> bool {
    let mut value = toml_value(wanted);
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(seen) if is(seen, wanted) => false,
        Some(seen) => {
            *value.decor_mut() = seen.decor().clone();
            *seen = value;
            true
        }
        None => {
            table.insert(key, Item::Value(value));
            true
        }
    }
}

fn toml_value(value: &Value) -> toml_edit::Value {
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => number.as_i64().unwrap_or_default().into(),
        Value::Array(list) => list.iter().map(toml_value).collect::<toml_edit::Array>().into(),
        Value::String(text) => text.as_str().into(),
        Value::Null | Value::Object(_) => toml_edit::InlineTable::new().into(),
    }
}

fn is(seen: &toml_edit::Value, wanted: &Value) -> bool {
    match wanted {
        Value::Bool(flag) => seen.as_bool() == Some(*flag),
        Value::Number(number) => seen.as_integer() == number.as_i64(),
        Value::String(text) => seen.as_str() == Some(text),
        Value::Array(list) => seen.as_array().is_some_and(|seen| {
            seen.len() == list.len() && seen.iter().zip(list).all(|(seen, wanted)| is(seen, wanted))
        }),
        Value::Null | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(format: MergeFormat, wanted: Value) -> MergedFile {
        MergedFile { path: "/etc/x".into(), format, mode: 0o644, wanted, unit: "x.service".into() }
    }

    fn daemon() -> MergedFile {
        let wanted = json!({ "live-restore": true, "log-opts": { "max-size": "50m" } });
        file(MergeFormat::Json, wanted)
    }

    fn containerd() -> MergedFile {
        let runc = json!({ "runtime_type": "io.containerd.runc.v2", "options": { "SystemdCgroup": true } });
        let cri = json!({ "sandbox_image": "pause:1", "containerd": { "runtimes": { "runc": runc } } });
        let wanted = json!({ "version": 2, "disabled_plugins": [], "plugins": { "io.containerd.grpc.v1.cri": cri } });
        file(MergeFormat::Toml, wanted)
    }

    /// What was merged once needs no second merge.
    fn settled(existing: Option<&str>, file: &MergedFile) -> String {
        let text = merge(existing, file).unwrap().expect("something differs");
        assert_eq!(merge(Some(&text), file), Ok(None), "{text}");
        text
    }

    #[test]
    fn a_missing_or_empty_file_gets_our_keys() {
        for existing in [None, Some(""), Some(" \n")] {
            let value: Value = serde_json::from_str(&settled(existing, &daemon())).unwrap();
            assert_eq!(value, daemon().wanted);
        }
        let text = settled(None, &containerd());
        let document: DocumentMut = text.parse().unwrap();
        let sandbox = &document["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"];
        assert_eq!(sandbox.as_str(), Some("pause:1"), "{text}");
        assert!(!text.contains("[plugins]\n"), "{text}");
    }

    #[test]
    fn foreign_keys_of_json_stay() {
        let text = settled(Some(r#"{"data-root": "/data", "log-opts": {"tag": "x", "max-size": "1m"}}"#), &daemon());
        let value: Value = serde_json::from_str(&text).unwrap();
        let log = json!({ "tag": "x", "max-size": "50m" });
        assert_eq!(value, json!({ "data-root": "/data", "log-opts": log, "live-restore": true }));
    }

    #[test]
    fn comments_and_foreign_keys_of_toml_stay() {
        let existing = "# by hand\nversion = 2\ndisabled_plugins = [\"cri\"] # why\n\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"old\" # keep\n  max_concurrent_downloads = 5\n[metrics]\naddress = \"\"\n";
        let text = settled(Some(existing), &containerd());
        for kept in ["# by hand", "# why", "# keep", "max_concurrent_downloads = 5", "[metrics]\naddress = \"\""] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        assert!(text.contains("disabled_plugins = [] # why"), "{text}");
        assert!(text.contains("sandbox_image = \"pause:1\" # keep"), "{text}");
    }

    #[test]
    fn inline_tables_are_tables_too() {
        let wanted = json!({ "a": { "b": { "c": 1 } } });
        let file = file(MergeFormat::Toml, wanted);
        let text = settled(Some("a = { b = { d = 2 } }\n"), &file);
        assert!(text.contains("d = 2") && text.contains("c = 1"), "{text}");
        assert_eq!(merge(Some("a.b.c = 1\n"), &file), Ok(None));
    }

    #[test]
    fn a_file_that_does_not_parse_is_named_with_the_place() {
        let error = merge(Some("{\n  \"a\": ,\n}"), &daemon()).unwrap_err();
        assert!(error.to_string().starts_with("/etc/x:2:8: "), "{error}");
        let error = merge(Some("version = 2\nroot = \n"), &containerd()).unwrap_err();
        assert!(error.to_string().starts_with("/etc/x:2:8: "), "{error}");
    }

    #[test]
    fn a_value_in_the_place_of_a_map_is_named() {
        let key = |existing: &str, file: &MergedFile| match merge(Some(existing), file) {
            Err(MergeError::Shape { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(key("[]", &daemon()), "");
        assert_eq!(key(r#"{"log-opts": "x"}"#, &daemon()), "log-opts");
        assert_eq!(key("plugins = 1\n", &containerd()), "plugins");
    }

    #[test]
    fn a_file_in_another_layout_is_not_mixed_with_ours() {
        let old = "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nsnapshotter = \"overlayfs\"\n";
        let error = merge(Some(old), &containerd()).unwrap_err();
        assert_eq!(error, MergeError::Layout { path: "/etc/x".into(), found: 3, wanted: 2 });
        assert!(merge(Some("version = 1\n"), &containerd()).unwrap().unwrap().contains("version = 2"));
    }
}

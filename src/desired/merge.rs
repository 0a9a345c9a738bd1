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
    }
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

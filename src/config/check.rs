//! Every key of the file against the table.

use super::document::quoted;
use super::findings::Finding;
use super::keys::ROOT;
use super::schema::{Key, Shape, Standing};
use super::suggest;
use super::tree::{Content, Entry, Node};
use super::{At, Position};

/// Everything that the table does not allow.
pub(super) fn check(root: &Node) -> Vec<Finding> {
    let mut check = Check::default();
    match root.mapping() {
        Some(entries) => check.section(entries, ROOT, ""),
        None => check.wrong_type(root.at, "the file", "a map of keys", root),
    }
    check.findings
}

#[derive(Default)]
struct Check {
    findings: Vec<Finding>,
}

impl Check {
    fn push(&mut self, at: Position, message: String, help: impl Into<String>) {
        self.findings.push(Finding { at, message, help: help.into() });
    }

    fn wrong_type(&mut self, at: Position, what: &str, wanted: &str, node: &Node) {
        let quotes = matches!(node.content, Content::Scalar { plain: false, .. });
        let help = match wanted {
            "a list of texts" => "write a list, such as `[one, another]`".to_owned(),
            "text" => "write one text, no list and no map".to_owned(),
            _ if wanted.starts_with("a map") => {
                "write keys with values, as `key: value` in lines of their own".to_owned()
            }
            _ if wanted.starts_with("a list") => "begin each entry with `- `, in a line of its own".to_owned(),
            _ if quotes => format!("write {wanted}, without quotes"),
            _ => format!("write {wanted}"),
        };
        self.push(at, format!("{what} must be {wanted}, not {}", node.kind()), help);
    }

    fn section(&mut self, entries: &[Entry], keys: &'static [Key], path: &str) {
        for entry in entries {
            match keys.iter().find(|key| key.name == entry.key.value) {
                Some(key) => self.key(key, entry, &join(path, key.name)),
                None => self.unknown(&entry.key, &names(keys), path),
            }
        }
    }

    fn unknown(&mut self, key: &At<String>, names: &[&'static str], path: &str) {
        let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
        let help = suggest::key(&key.value, names);
        self.push(key.at, format!("unknown key {}{place}", quoted(&key.value)), help);
    }

    fn key(&mut self, key: &'static Key, entry: &Entry, path: &str) {
        let refusal = match &key.standing {
            Standing::Honoured { .. } | Standing::AsAbove => None,
            Standing::Later { instead } => Some((format!("`{path}` is not supported yet"), (*instead).to_owned())),
            Standing::LeftOut { reason } => {
                Some((format!("`{path}` is left out on purpose: {reason}"), "take the key out".to_owned()))
            }
        };
        if let Some((message, help)) = refusal.filter(|_| !asks_for_nothing(&entry.value, key)) {
            self.push(entry.key.at, message, help);
        }
        self.value(&key.shape, &entry.value, entry.key.at, path);
    }

    /// A finding about a list or map points at its key, one about a scalar at the scalar.
    fn value(&mut self, shape: &'static Shape, node: &Node, key: Position, path: &str) {
        if node.is_null() {
            return;
        }
        let fits = match shape {
            Shape::Text => node.text().is_some(),
            Shape::Flag => node.flag().is_some(),
            Shape::Integer => node.integer().is_some(),
            Shape::Texts | Shape::Sections(_) => node.sequence().is_some(),
            Shape::TextMap
            | Shape::TextsMap
            | Shape::Section(_)
            | Shape::Named(_)
            | Shape::Names(_)
            | Shape::FreeMap => node.mapping().is_some(),
            Shape::Any => true,
        };
        if fits {
            self.below(shape, node, path);
        } else if node.text() != Some("") {
            let at = if node.text().is_some() { node.at } else { key };
            self.wrong_type(at, &format!("`{path}`"), shape.word(), node);
        }
    }

    fn below(&mut self, shape: &'static Shape, node: &Node, path: &str) {
        let items = node.sequence().unwrap_or_default();
        let entries = node.mapping().unwrap_or_default();
        match shape {
            Shape::Section(keys) => self.section(entries, keys, path),
            Shape::Texts => {
                items.iter().enumerate().for_each(|(index, item)| self.text(item, item.at, &format!("{path}[{index}]")))
            }
            Shape::TextMap => self.values(&Shape::Text, entries, path),
            Shape::TextsMap => self.values(&Shape::Texts, entries, path),
            Shape::Sections(keys) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(item, keys, &format!("{path}[{index}]"));
                }
            }
            Shape::Named(keys) => {
                entries.iter().for_each(|entry| self.item(&entry.value, keys, &join(path, &entry.key.value)))
            }
            Shape::Names(known) => {
                let known: Vec<&str> = known.split_whitespace().collect();
                for entry in entries.iter().filter(|entry| !known.contains(&entry.key.value.as_str())) {
                    self.unknown(&entry.key, &known, path);
                }
            }
            Shape::Text | Shape::Flag | Shape::Integer | Shape::FreeMap | Shape::Any => {}
        }
    }

    fn values(&mut self, shape: &'static Shape, entries: &[Entry], path: &str) {
        for entry in entries {
            self.value(shape, &entry.value, entry.key.at, &join(path, &entry.key.value));
        }
    }

    fn text(&mut self, node: &Node, at: Position, path: &str) {
        if node.text().is_none() {
            self.wrong_type(at, &format!("`{path}`"), "text", node);
        }
    }

    fn item(&mut self, node: &Node, keys: &'static [Key], path: &str) {
        match node.mapping() {
            Some(entries) => self.section(entries, keys, path),
            None => self.wrong_type(node.at, &format!("`{path}`"), "a map", node),
        }
    }
}

fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether a value leaves everything as it is without the key. The files that `rke config` writes are full of these.
fn asks_for_nothing(node: &Node, key: &Key) -> bool {
    if node.is_null() || node.text() == Some("") || node.flag() == Some(false) || node.integer() == Some(0) {
        return true;
    }
    if node.sequence().is_some_and(<[_]>::is_empty) {
        return true;
    }
    if let Some(entries) = node.mapping() {
        let keys = if matches!(key.shape, Shape::Section(_)) { key.shape.keys() } else { &[] };
        return entries.iter().all(|entry| {
            let below = keys.iter().find(|below| below.name == entry.key.value);
            below.is_some_and(|below| asks_for_nothing(&entry.value, below))
        });
    }
    node.text().is_some_and(|text| key.harmless.contains(&text))
}

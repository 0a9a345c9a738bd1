//! The table of keys as Markdown, for docs/configuration.md.

use std::fmt::Write;

use super::keys::ROOT;
use super::schema::{Key, Shape, Standing};

/// Markdown of all keys: honoured, known but not supported yet, left out on purpose.
pub fn reference() -> String {
    let mut rows = Rows::default();
    rows.section(ROOT, "");
    let mut text = String::from("## Honoured\n\n**+** marks what RKE does not have.\n\n");
    text.push_str("| key | holds | default | meaning |\n| --- | --- | --- | --- |\n");
    text.push_str(&rows.honoured);
    text.push_str("\n## Known, not supported yet\n\n| key | until then |\n| --- | --- |\n");
    text.push_str(&rows.later);
    text.push_str("\n## Left out on purpose\n\n| key | reason |\n| --- | --- |\n");
    text.push_str(&rows.left_out);
    text
}

#[derive(Default)]
struct Rows {
    honoured: String,
    later: String,
    left_out: String,
}

impl Rows {
    fn section(&mut self, keys: &[Key], path: &str) {
        for key in keys {
            let list = if matches!(key.shape, Shape::Sections(_)) { "[]" } else { "" };
            let path =
                if path.is_empty() { format!("{}{list}", key.name) } else { format!("{path}.{}{list}", key.name) };
            self.key(key, &path);
            if matches!(key.standing, Standing::Honoured { .. }) {
                self.section(key.shape.keys(), &path);
            }
        }
    }

    fn key(&mut self, key: &Key, path: &str) {
        // Writing to a string does not fail.
        let _ = match key.standing {
            // A map with nothing to say but its keys, which follow.
            Standing::Honoured { meaning: "", .. } | Standing::AsAbove => Ok(()),
            Standing::Honoured { default, meaning, ours } => {
                let mark = if ours { " **+**" } else { "" };
                writeln!(self.honoured, "| `{path}`{mark} | {} | {default} | {meaning} |", key.shape.word())
            }
            Standing::Later { instead } => {
                writeln!(self.later, "| `{path}`{} | {instead}{} |", below(key), accepted(key))
            }
            Standing::LeftOut { reason } => {
                writeln!(self.left_out, "| `{path}`{} | {reason}{} |", below(key), accepted(key))
            }
        };
    }
}

/// The keys below one that is not honoured, by name.
fn below(key: &Key) -> String {
    let names: Vec<&str> = match &key.shape {
        Shape::Names(names) => names.split_whitespace().collect(),
        shape => shape.keys().iter().map(|key| key.name).collect(),
    };
    match names.len() {
        0 => String::new(),
        count @ 25.. => format!(" with {count} keys"),
        _ => format!(" with {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

fn accepted(key: &Key) -> String {
    let values: Vec<String> = key.harmless.iter().map(|value| format!("`{value}`")).collect();
    if values.is_empty() { String::new() } else { format!(" ({} is accepted)", values.join(" or ")) }
}

//! Texts with objects of the Kubernetes API: add-ons, inside the file and beside it.

use std::sync::Arc;

use serde_json::Value;

use super::findings::Finding;
use super::source::names_a_secret;
use super::tree::Node;
use super::{At, Config, Findings, Position, Source, document, json};

/// An object with the places of its parts.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The whole of it.
    pub body: Value,
    node: Arc<Node>,
    way: Way,
}

/// All objects of a text, and what is wrong with it as far as YAML goes.
#[derive(Debug)]
pub struct Manifests {
    /// The objects that could be read, in the order of the text. Empty documents are left out, lists of objects are not
    /// taken apart yet.
    pub list: Vec<Manifest>,
    /// What findings of later checks are about: the file, or `cluster.yml`.
    pub source: Source,
    /// What is wrong.
    pub findings: Findings,
}

/// From a place in a text to the place that the operator sees.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// So many lines down and columns to the right: none for a file, those of the block for a text in `cluster.yml`.
    Moved { lines: usize, columns: usize, shown: bool },
    /// It is written in `cluster.yml` in a way whose lines are not those of the text.
    Value(Position),
}

impl Way {
    const FILE: Self = Self::Moved { lines: 0, columns: 0, shown: true };

    /// The place of a part of the text, whose lines are counted as the operator counts them already.
    fn to(self, at: Position) -> Position {
        match self {
            Self::Moved { columns, shown, .. } => {
                Position { line: at.line, column: at.column + columns, width: if shown { at.width } else { 0 } }
            }
            Self::Value(place) => place,
        }
    }

    /// The text with as many lines before it as stand before it in the file, so that its lines are numbered like the file's.
    fn numbered(self, bytes: &[u8]) -> Vec<u8> {
        let Self::Moved { lines, .. } = self else { return bytes.to_vec() };
        [vec![b'\n'; lines], bytes.to_vec()].concat()
    }

    /// Lines of a text with a Secret are not shown: values of its own making stand in them.
    fn without_secrets(self, text: &str) -> Self {
        let secret = names_a_secret(text);
        match self {
            Self::Moved { lines, columns, shown } => Self::Moved { lines, columns, shown: shown && !secret },
            Self::Value(at) if secret => Self::Value(Position { width: 0, ..at }),
            Self::Value(at) => Self::Value(at),
        }
    }
}

impl Manifest {
    /// Where the part at a path of keys stands, or what holds it where it is missing.
    pub fn place(&self, path: &[&str]) -> Position {
        let (mut at, mut node) = (self.node.at, &self.node);
        for name in path {
            let entries = node.mapping().unwrap_or_default();
            let Some(entry) = entries.iter().find(|entry| entry.key.value == *name) else { break };
            // A list or map begins in another line than its key.
            at = if entry.value.text().is_some() { entry.value.at } else { entry.key.at };
            node = &entry.value;
        }
        self.way.to(at)
    }

    /// The objects of a list (`kind: List`), the object itself if it is none.
    pub fn unrolled(self) -> Vec<Self> {
        let is_list = self.body["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        let entries = self.node.mapping().unwrap_or_default();
        let items = entries.iter().find(|entry| entry.key.value == "items").and_then(|entry| entry.value.sequence());
        let (Some(items), Some(bodies)) = (items.filter(|_| is_list), self.body["items"].as_array()) else {
            return vec![self];
        };
        let item = |(node, body): (&Arc<Node>, &Value)| Self { body: body.clone(), node: node.clone(), way: self.way };
        items.iter().zip(bodies).map(item).flat_map(Self::unrolled).collect()
    }
}

/// Reads a file. `origin` is the name that findings show.
pub fn manifests(bytes: &[u8], origin: &str) -> Manifests {
    let text = document::shown_text(bytes);
    read(bytes, Source::new(origin, &text), Way::FILE.without_secrets(&text))
}

impl Config {
    /// Reads what `addons` holds; findings point into `cluster.yml`.
    pub fn inline_manifests(&self) -> Option<Manifests> {
        let written = self.addons.written()?;
        let way = self.source.way_to(written).without_secrets(&written.value);
        Some(read(written.value.as_bytes(), self.source.clone(), way))
    }
}

fn read(bytes: &[u8], source: Source, way: Way) -> Manifests {
    let (roots, mut findings) = document::read_all(&way.numbered(bytes));
    let manifest = |node: Arc<Node>| Manifest { body: json::manifest(&node, &mut findings), node, way };
    let list = roots.into_iter().map(manifest).collect();
    let findings = findings.into_iter().map(|finding| Finding { at: way.to(finding.at), ..finding }).collect();
    Manifests { list, source: source.clone(), findings: Findings::new(source, findings) }
}

impl Source {
    /// How the lines of a text in this file are found. A block's lines are the file's, moved; whether it is one is seen by
    /// comparing them, whatever the way in which YAML was told so.
    fn way_to(&self, written: &At<String>) -> Way {
        // The reader tells of the first line that is not blank, or of the one before.
        let blank = written.value.lines().take_while(|line| line.trim().is_empty()).count();
        let first = written.at.line.saturating_sub(blank);
        let found = [first, first + 1].into_iter().find_map(|line| self.block_at(line, &written.value));
        found.unwrap_or(Way::Value(written.at))
    }

    fn block_at(&self, first: usize, text: &str) -> Option<Way> {
        let lines: Vec<&str> = self.lines().skip(first.checked_sub(1)?).collect();
        let mut columns = None;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let before = lines.get(index)?.strip_suffix(line)?;
            let blank = before.chars().all(|character| character == ' ');
            if !blank || columns.is_some_and(|columns| columns != before.len()) {
                return None;
            }
            columns = Some(before.len());
        }
        Some(Way::Moved { lines: first - 1, columns: columns?, shown: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn inline(yaml: &str) -> Manifests {
        let (config, findings) = config::read(yaml.as_bytes(), "cluster.yml");
        assert!(findings.is_empty(), "{findings}");
        config.unwrap().inline_manifests().unwrap()
    }

    #[test]
    fn places_in_a_block_are_those_of_the_file() {
        let manifests =
            inline("cluster_name: a\naddons: |-\n\n  ---\n  kind: A\n  metadata:\n    name: b\nnodes: []\n");
        let place = manifests.list[0].place(&["metadata", "name"]);
        assert_eq!((place.line, place.column, place.width), (7, 11, 1));
        assert_eq!(manifests.list[0].place(&["spec", "name"]).line, 5);
        let broken = inline("addons: |\n    kind: [\n    b: }\n");
        let at = broken.findings.iter().next().unwrap().at;
        assert_eq!((at.line, at.column), (2, 11), "{}", broken.findings);
    }

    #[test]
    fn what_is_no_block_is_found_at_its_beginning() {
        for (yaml, place) in [("addons: \"kind: A\\nb: [\"\n", (1, 9)), ("addons: >\n  kind: A\n\n  b: [\n", (2, 3))] {
            let at = inline(yaml).findings.iter().next().unwrap().at;
            assert_eq!((at.line, at.column), place, "{yaml}");
        }
    }

    #[test]
    fn lists_are_taken_apart_and_empty_documents_left_out() {
        let yaml = "---\n---\n# nothing\n---\nkind: List\nitems:\n- kind: A\n- kind: BList\n  items: [{kind: B}]\n---\nkind: C\n";
        let manifests = manifests(yaml.as_bytes(), "f");
        let kinds = manifests.list.into_iter().flat_map(Manifest::unrolled);
        let kinds: Vec<(String, usize)> =
            kinds.map(|item| (item.body["kind"].as_str().unwrap().to_owned(), item.place(&["kind"]).line)).collect();
        assert_eq!(kinds, [("A".into(), 7), ("B".into(), 9), ("C".into(), 11)]);
    }

    #[test]
    fn no_line_of_a_secret_is_shown() {
        for yaml in [
            "kind: Secret\nstringData:\n  a: hunter2\n  a: hunter2\n",
            "{\"kind\": \"Secret\", \"stringData\": {\"a\": \"hunter2\", \"a\": \"hunter2\"}}",
        ] {
            let shown = manifests(yaml.as_bytes(), "f").findings.to_string();
            assert!(shown.contains("second time") && !shown.contains("hunter2"), "{shown}");
            let block: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
            let shown = inline(&format!("addons: |\n{block}")).findings.to_string();
            assert!(shown.contains("second time") && !shown.contains("hunter2"), "{shown}");
        }
    }
}

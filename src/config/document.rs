//! From bytes to a tree, within bounds.

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag, options};

use super::findings::Finding;
use super::tree::{Content, Entry, Node};
use super::{At, Position};

/// Bytes that a file may have; add-ons may be written into it, so this is ample.
const MOST_BYTES: usize = 4 << 20;
/// Values that a file may have, every alias counted as often as it is used.
const MOST_NODES: usize = 100_000;
/// How deep lists and maps may lie in one another.
const MOST_DEPTH: usize = 64;

/// A tree, as far as one could be read, and what was wrong with the YAML.
pub(super) struct Document {
    /// None if the text is no single YAML document with something in it.
    pub root: Option<Arc<Node>>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Reads the one document of a file.
pub(super) fn read(bytes: &[u8]) -> Document {
    let mut builder = Builder { single: true, ..Builder::default() };
    let root = text(bytes).and_then(|text| builder.document(text));
    match root {
        Ok(root) => Document { root: Some(root), findings: builder.findings },
        Err(finding) => {
            builder.findings.push(finding);
            Document { root: None, findings: builder.findings }
        }
    }
}

/// Reads all documents of a text but empty ones, up to the first place that is no YAML, and what is wrong.
pub(super) fn read_all(bytes: &[u8]) -> (Vec<Arc<Node>>, Vec<Finding>) {
    let mut builder = Builder::default();
    if let Err(finding) = text(bytes).and_then(|text| builder.events(text)) {
        builder.findings.push(finding);
    }
    builder.roots.retain(|root| !root.is_null());
    (builder.roots, builder.findings)
}

/// The text to show in excerpts, whatever the bytes are.
pub(super) fn shown_text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_BYTES)])
}

fn finding(at: Position, message: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding { at, message: message.into(), help: help.into() }
}

fn text(bytes: &[u8]) -> Result<&str, Finding> {
    if bytes.len() > MOST_BYTES {
        let message = format!("the file has {} bytes; more than {MOST_BYTES} are not read", bytes.len());
        return Err(finding(Position::START, message, "a configuration is much smaller: is this the right file?"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let byte = bytes[error.valid_up_to()];
        let message = format!("the file is not UTF-8: byte 0x{byte:02x} cannot stand here");
        finding(Position { line, column, width: 1 }, message, "save the file as UTF-8")
    })
}

/// A list or map that is not closed yet.
struct Frame {
    at: Position,
    anchor: usize,
    content: Open,
}

enum Open {
    Sequence(Vec<Arc<Node>>),
    Mapping(OpenMapping),
}

#[derive(Default)]
struct OpenMapping {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
    merged: Vec<Arc<Node>>,
    key: Option<Key>,
}

/// A key whose value comes next.
enum Key {
    Text(At<String>),
    Merge,
    /// Already among the findings.
    Wrong,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Arc<Node>>,
    findings: Vec<Finding>,
    roots: Vec<Arc<Node>>,
    /// Whether a second document is refused.
    single: bool,
    documents: usize,
    nodes: usize,
}

impl Builder {
    fn document(&mut self, text: &str) -> Result<Arc<Node>, Finding> {
        self.events(text)?;
        let empty = || finding(Position::START, "the file is empty", "begin with examples/single.yml");
        self.roots.pop().filter(|root| !root.is_null()).ok_or_else(empty)
    }

    fn events(&mut self, text: &str) -> Result<(), Finding> {
        let options = options! {
            emit_comments: false,
            flow_nesting_limit: MOST_DEPTH,
            block_nesting_limit: MOST_DEPTH,
        };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| syntax(text, &error))?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let at = position(span);
        match event {
            Event::DocumentStart(..) => self.document_start(at),
            Event::Alias(anchor) => {
                let itself = || finding(at, "an alias stands inside the value that it repeats", "write the value out");
                let node = self.anchors.get(&anchor).cloned().ok_or_else(itself)?;
                self.place(node, at)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_deref(), span, at);
                let content = Content::Scalar { text: text.into_owned(), plain };
                self.complete(Node { content, at, size: 1, height: 0 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), span, at);
                self.open(at, anchor, Open::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.is_text(tag.as_deref(), span, at);
                self.open(at, anchor, Open::Mapping(OpenMapping::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn document_start(&mut self, at: Position) -> Result<(), Finding> {
        self.documents += 1;
        if self.single && self.documents > 1 {
            let help = "one file describes one cluster: keep one document and take `---` out";
            return Err(finding(at, "a second YAML document begins here", help));
        }
        Ok(())
    }

    /// Whether a tag says that a scalar is text; a tag that is not YAML's own is a finding.
    fn is_text(&mut self, tag: Option<&Tag>, span: Span, at: Position) -> bool {
        let Some(tag) = tag else { return false };
        let Some(suffix) = tag.core_suffix() else {
            let at = span.tag_span().map_or(at, position);
            self.findings.push(finding(at, "a tag has no meaning here", "take the word that begins with `!` out"));
            return false;
        };
        suffix == "str"
    }

    fn open(&mut self, at: Position, anchor: usize, content: Open) -> Result<(), Finding> {
        if self.stack.len() >= MOST_DEPTH {
            return Err(too_deep(at));
        }
        self.stack.push(Frame { at, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Finding> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let content = match frame.content {
            Open::Sequence(items) => Content::Sequence(items),
            Open::Mapping(mapping) => Content::Mapping(self.merge(mapping)),
        };
        let (size, height) = match &content {
            Content::Sequence(items) => extent(items.iter()),
            Content::Mapping(entries) => extent(entries.iter().map(|entry| &entry.value)),
            Content::Scalar { .. } => (1, 0),
        };
        if height > MOST_DEPTH {
            return Err(too_deep(frame.at));
        }
        self.complete(Node { content, at: frame.at, size, height }, frame.anchor)
    }

    /// Adds what merge keys (`<<`) bring and the map does not say itself.
    fn merge(&mut self, mapping: OpenMapping) -> Vec<Entry> {
        let OpenMapping { mut entries, mut places, merged, .. } = mapping;
        let sources = merged.iter().flat_map(|node| match &node.content {
            Content::Sequence(items) => items.clone(),
            _ => vec![node.clone()],
        });
        for source in sources {
            let Some(more) = source.mapping() else {
                let help = "give it an alias of a map, such as `<<: *defaults`";
                self.findings.push(finding(source.at, "only a map can be merged with `<<`", help));
                continue;
            };
            for entry in more {
                if !places.contains_key(&entry.key.value) {
                    places.insert(entry.key.value.clone(), entry.key.at.line);
                    entries.push(entry.clone());
                }
            }
        }
        entries
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Finding> {
        let at = node.at;
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(too_many(at));
        }
        self.place(node, at)
    }

    /// Puts a node where it belongs: a key, a value, an item, or the root.
    fn place(&mut self, node: Arc<Node>, at: Position) -> Result<(), Finding> {
        if node.size > MOST_NODES {
            return Err(too_many(at));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        match &mut frame.content {
            Open::Sequence(items) => items.push(node),
            Open::Mapping(mapping) => match mapping.key.take() {
                None => mapping.key = Some(mapping.key_of(&node, at, &mut self.findings)),
                Some(Key::Text(key)) => mapping.entries.push(Entry { key, value: node }),
                Some(Key::Merge) => mapping.merged.push(node),
                Some(Key::Wrong) => {}
            },
        }
        Ok(())
    }
}

/// Size and height of what holds these values. Aliases can make both grow faster than the file.
fn extent<'a>(values: impl Iterator<Item = &'a Arc<Node>>) -> (usize, usize) {
    values.fold((1, 1), |(size, height), value| (size.saturating_add(value.size), height.max(value.height + 1)))
}

impl OpenMapping {
    fn key_of(&mut self, node: &Node, at: Position, findings: &mut Vec<Finding>) -> Key {
        if node.plain() == Some("<<") {
            return Key::Merge;
        }
        let Some(text) = node.text() else {
            let message = format!("a key must be text, not {}", node.kind());
            findings.push(finding(at, message, "write it as `key: value`"));
            return Key::Wrong;
        };
        if let Some(line) = self.places.get(text) {
            let message = format!("the key {} stands here a second time", quoted(text));
            findings.push(finding(at, message, format!("it is in line {line} already: keep one of them")));
            return Key::Wrong;
        }
        self.places.insert(text.to_owned(), at.line);
        Key::Text(At { value: text.to_owned(), at })
    }
}

/// A word of the file for a message, cut short.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() { format!("`{shown}...`") } else { format!("`{shown}`") }
}

fn too_deep(at: Position) -> Finding {
    let message = format!("lists and maps lie more than {MOST_DEPTH} deep in one another");
    finding(at, message, "no key of this file needs that: is a bracket or brace not closed?")
}

fn too_many(at: Position) -> Finding {
    let message =
        format!("the file has more than {MOST_NODES} values, with every alias counted as often as it is used");
    finding(at, message, "write the values out, or use fewer aliases")
}

fn position(span: Span) -> Position {
    let (start, end) = (span.start, span.end);
    let width = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Position { line: start.line().max(1), column: start.col() + 1, width: width.max(1) }
}

/// An error of the YAML reader in words that say what to do.
fn syntax(text: &str, error: &ScanError) -> Finding {
    let marker = error.marker();
    let at = Position { line: marker.line().max(1), column: marker.col() + 1, width: 1 };
    if let Some(tab) = tab_in_indentation(text, at.line) {
        return finding(
            tab,
            "a tab stands in the indentation",
            "YAML knows only spaces there: replace the tab by spaces",
        );
    }
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(at),
        ErrorKind::UnknownAnchor => finding(
            at,
            "no anchor has this alias' name",
            "define it above with `&name`, or quote the text if it is none",
        ),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => {
            finding(at, "a tab cannot stand here", "YAML knows only spaces there: replace the tab by spaces")
        }
        _ => {
            let help = "check indentation, colons, quotes and brackets here and in the line before";
            finding(at, format!("this is not YAML: {}", error.info()), help)
        }
    }
}

/// The reader stops at or just after a tab; it may say so in other words.
fn tab_in_indentation(text: &str, line: usize) -> Option<Position> {
    let lines = text.lines().enumerate().skip(line.saturating_sub(2)).take(3);
    for (index, content) in lines {
        let indentation = content.len() - content.trim_start_matches([' ', '\t', '-']).len();
        if let Some(column) = content[..indentation].find('\t') {
            return Some(Position { line: index + 1, column: column + 1, width: 1 });
        }
    }
    None
}

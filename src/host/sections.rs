//! The form of the look's answer: sections in a fixed order, each with an end that nothing inside it can forge.

use std::collections::BTreeMap;

use super::snapshot::Problem;
use crate::base::Digest;

/// Sections of lines before the files' texts, in the order of the script.
const LINES: [&str; 22] = [
    "clock",
    "uname",
    "os",
    "memory",
    "cores",
    "swap",
    "cgroup",
    "disks",
    "resolvers",
    "upstream",
    "programs",
    "docker-socket",
    "accounts",
    "packages",
    "modules",
    "sysctls",
    "units",
    "default-route",
    "addresses",
    "links",
    "routes",
    "listeners",
];
/// Begins a heading. The lines above cannot have it at their beginning.
const MARK: u8 = 0o36;

/// The answer, taken apart.
#[derive(Debug, Default)]
pub(super) struct Sections {
    lines: BTreeMap<&'static str, Vec<String>>,
    texts: BTreeMap<String, String>,
    entries: Vec<Entry>,
    digests: BTreeMap<String, Digest>,
}

/// A thing at a path, as `find` tells it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Kind, mode, uid and gid, one space between them.
    pub facts: String,
    pub path: String,
    /// Where a link points to.
    pub target: String,
}

impl Sections {
    /// Takes an answer apart. An answer that was cut is refused: what is missing in it would seem to be missing on the host.
    pub fn read(output: &[u8]) -> Result<Self, Problem> {
        let mut cursor = Cursor { rest: output };
        let mut sections = Self::default();
        for name in LINES {
            cursor.heading(name)?;
            sections.lines.insert(name, cursor.lines());
        }
        cursor.heading("texts")?;
        while !cursor.is_at_heading() {
            let (path, text) = cursor.text()?;
            sections.texts.insert(path, text);
        }
        cursor.heading("swaps")?;
        sections.lines.insert("swaps", cursor.lines());
        cursor.heading("images")?;
        sections.lines.insert("images", cursor.lines());
        cursor.heading("entries")?;
        while !cursor.ends_list()? {
            let (facts, path, target) = (cursor.field()?, cursor.field()?, cursor.field()?);
            sections.entries.push(Entry { facts, path, target });
        }
        cursor.heading("digests")?;
        while !cursor.ends_list()? {
            let record = cursor.field()?;
            let (digest, path) = record.split_at_checked(64).ok_or("a digest is cut")?;
            let digest = Digest::parse(digest).ok_or_else(|| format!("`{digest}` is no digest"))?;
            sections.digests.insert(path.get(2..).unwrap_or_default().to_owned(), digest);
        }
        cursor.heading("end")?;
        Ok(sections)
    }

    /// The lines of a section.
    pub fn lines(&self, name: &str) -> &[String] {
        self.lines.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The first line of a section, or an empty text.
    pub fn first(&self, name: &str) -> &str {
        self.lines(name).first().map(String::as_str).unwrap_or_default()
    }

    /// Contents of the files whose text was asked for.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// Everything in the folders and at the paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// SHA-256 of the file at a path.
    pub fn digest(&self, path: &str) -> Option<&Digest> {
        self.digests.get(path)
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Everything up to a byte, which is passed over.
    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|byte| *byte == end)?;
        let (found, rest) = self.rest.split_at(length);
        self.rest = &rest[1..];
        Some(found)
    }

    fn is_at_heading(&self) -> bool {
        self.rest.first().is_none_or(|byte| *byte == MARK)
    }

    fn heading(&mut self, name: &str) -> Result<(), Problem> {
        let missing = || format!("section `{name}` is missing");
        let line = self.until(b'\n').ok_or_else(missing)?;
        if line.strip_prefix(&[MARK]) == Some(name.as_bytes()) { Ok(()) } else { Err(missing()) }
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while !self.is_at_heading()
            && let Some(line) = self.until(b'\n')
        {
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
        lines
    }

    /// `<size> <path>`, a line break, as many bytes, a line break.
    fn text(&mut self) -> Result<(String, String), Problem> {
        let line = self.until(b'\n').ok_or("a file's text has no head")?;
        let head = String::from_utf8_lossy(line);
        let (size, path) = head.trim_start().split_once(' ').ok_or_else(|| format!("`{head}` is no head of a text"))?;
        let size: usize = size.parse().map_err(|_| format!("`{head}` does not tell a size"))?;
        let changed = || format!("{path} was changed while it was read");
        let (text, rest) = self.rest.split_at_checked(size).ok_or_else(changed)?;
        self.rest = rest.strip_prefix(b"\n").ok_or_else(changed)?;
        let text = str::from_utf8(text).map_err(|_| format!("{path} is not UTF-8"))?;
        Ok((path.to_owned(), text.to_owned()))
    }

    /// Whether a list of zero-terminated fields ends here: with an empty line, which no record can begin with.
    fn ends_list(&mut self) -> Result<bool, Problem> {
        match self.rest.split_first() {
            None => Err("a list of files is cut".into()),
            Some((b'\n', rest)) => {
                self.rest = rest;
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    fn field(&mut self) -> Result<String, Problem> {
        let field = self.until(0).ok_or("a list of files is cut")?;
        Ok(String::from_utf8_lossy(field).into_owned())
    }
}

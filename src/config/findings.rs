//! What is wrong with the file, shown with position, excerpt and suggestion.

use std::fmt;

use super::source::printable;
use super::{Position, Source};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it stands.
    pub at: Position,
    /// What is wrong; one sentence without a full stop.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Everything that is wrong, in the order of the file.
#[derive(Debug, Clone)]
pub struct Findings {
    source: Source,
    list: Vec<Finding>,
}

impl Findings {
    /// No findings yet about a file.
    pub fn none(source: Source) -> Self {
        Self { source, list: Vec::new() }
    }

    /// Sorts findings by position; one that is met twice (through an alias) is kept once.
    pub(crate) fn new(source: Source, mut list: Vec<Finding>) -> Self {
        list.sort();
        list.dedup();
        Self { source, list }
    }

    /// Adds what another check of the same file found.
    pub fn and(self, other: Self) -> Self {
        let mut list = self.list;
        list.extend(other.list);
        Self::new(self.source, list)
    }

    /// Adds one finding.
    pub fn push(&mut self, at: Position, message: impl Into<String>, help: impl Into<String>) {
        let finding = Finding { at, message: message.into(), help: help.into() };
        if let Err(place) = self.list.binary_search(&finding) {
            self.list.insert(place, finding);
        }
    }

    /// The findings, sorted by position.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.list.iter()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Nothing found: the value. Else the findings.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

/// Findings that are shown; nobody reads more.
const SHOWN: usize = 100;

impl fmt::Display for Findings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.list.iter().take(SHOWN).enumerate() {
            if index > 0 {
                write!(formatter, "\n\n")?;
            }
            let Position { line, column, .. } = finding.at;
            // Messages name keys and values of the file.
            let plain = |text: &str| text.chars().map(printable).collect::<String>();
            writeln!(formatter, "{}:{line}:{column}: {}", plain(self.source.origin()), plain(&finding.message))?;
            let margin = " ".repeat(line.to_string().len());
            if let Some(excerpt) = self.source.excerpt(finding.at) {
                writeln!(formatter, " {margin} |")?;
                writeln!(formatter, " {line} | {}", excerpt.text)?;
                let (before, below) = (" ".repeat(excerpt.before), "^".repeat(excerpt.width));
                writeln!(formatter, " {margin} | {before}{below}")?;
            }
            write!(formatter, " {margin} = help: {}", plain(&finding.help))?;
        }
        match self.list.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(formatter, "\n\nand {more} more findings"),
        }
    }
}

impl std::error::Error for Findings {}

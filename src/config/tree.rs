//! YAML as a tree in which every key and value knows its place.

use std::sync::Arc;

use super::{At, Position};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// What is written.
    pub content: Content,
    /// Where it begins.
    pub at: Position,
    /// How many nodes it is, every alias counted as often as it is used.
    pub size: usize,
    /// How deep lists and maps lie in it, those behind aliases too.
    pub height: usize,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A text; `plain` if it is written without quotes, so that it may mean a number, a truth value or nothing.
    Scalar {
        /// The text after YAML's escapes.
        text: String,
        /// Whether it has no quotes.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Arc<Node>>),
    /// Keys with values; no key twice.
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key.
    pub key: At<String>,
    /// The value.
    pub value: Arc<Node>,
}

impl Node {
    /// Whether nothing is written, in one of YAML's spellings.
    pub fn is_null(&self) -> bool {
        self.plain().is_some_and(|text| matches!(text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar that is not null. Numbers and truth values give their spelling, as in RKE.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar without quotes.
    pub fn plain(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    /// A truth value in one of the spellings of YAML 1.1, which Kubernetes and RKE read.
    pub fn flag(&self) -> Option<bool> {
        match self.plain()? {
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => None,
        }
    }

    /// A whole number in decimal digits.
    pub fn integer(&self) -> Option<i64> {
        let text = self.plain()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        let decimal = !digits.is_empty() && !leading_zero && digits.bytes().all(|byte| byte.is_ascii_digit());
        if decimal { text.parse().ok() } else { None }
    }

    /// The entries of a mapping.
    pub fn mapping(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn sequence(&self) -> Option<&[Arc<Node>]> {
        match &self.content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// What it is, for a message about a wrong type.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a map",
            Content::Scalar { .. } if self.is_null() => "nothing",
            Content::Scalar { .. } if self.flag().is_some() => "a truth value",
            Content::Scalar { .. } if self.integer().is_some() => "a number",
            Content::Scalar { .. } => "text",
        }
    }
}

//! `diff`: what two generations have not in common.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use crate::config::shown_lines;
use crate::journal::{Generation, GenerationNumber, PinnedImage, Pins};
use crate::state::ImageStore;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// The difference between two generations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The one.
    pub from: GenerationNumber,
    /// The other.
    pub to: GenerationNumber,
    /// `cluster.yml` as a unified diff, the values of secrets hidden; empty where the texts are equal.
    pub config: String,
    /// Images, files and add-ons that are pinned otherwise, by name.
    pub pins: Vec<PinChange>,
}

/// A pin that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinChange {
    /// `docker image`, `containerd image`, `file` or `add-on`.
    pub kind: &'static str,
    /// Name, of an image without what changed.
    pub name: String,
    /// Version and digest before; none where it is new.
    pub from: Option<String>,
    /// Version and digest after; none where it is gone.
    pub to: Option<String>,
}

/// Compares two generations.
pub fn difference(from: &Generation, to: &Generation) -> Difference {
    let (old, new) = (pins(&from.lock.pins), pins(&to.lock.pins));
    let mut names: Vec<&(&'static str, String)> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let changed = names.into_iter().filter(|name| old.get(name) != new.get(name));
    let change = |name: &(&'static str, String)| PinChange {
        kind: name.0,
        name: name.1.clone(),
        from: old.get(name).cloned(),
        to: new.get(name).cloned(),
    };
    let config = config(from, to);
    Difference { from: from.number, to: to.number, config, pins: changed.map(change).collect() }
}

/// Who gave a pin is not compared: the same bytes are the same.
fn pins(pins: &Pins) -> BTreeMap<(&'static str, String), String> {
    let images = pins.images.iter().map(|image| {
        let kind = match image.store {
            ImageStore::Docker => "docker image",
            ImageStore::Containerd => "containerd image",
        };
        // Two tags of one repository are two images.
        let repository = image.reference.repository();
        let is_sibling =
            |other: &&PinnedImage| other.store == image.store && other.reference.repository() == repository;
        let (name, tag) = match pins.images.iter().filter(is_sibling).count() {
            1 => (repository, image.reference.tag()),
            _ => (image.reference.0.as_str(), ""),
        };
        ((kind, name.to_owned()), format!("{tag} {}", image.id).trim_start().to_owned())
    });
    let files =
        pins.files.iter().map(|file| (("file", file.name.clone()), format!("{} {}", file.version, file.digest)));
    let addons = pins.addons.iter().map(|addon| (("add-on", addon.name.clone()), addon.digest.to_string()));
    images.chain(files).chain(addons).collect()
}

/// Compared as written, so that a changed password shows as a change, and shown with its value hidden.
fn config(from: &Generation, to: &Generation) -> String {
    let diff = TextDiff::from_lines(&from.config, &to.config);
    let shown = |text: &str| shown_lines(text).map(|line| safe(&line)).collect::<Vec<_>>();
    let (old, new) = (shown(&from.config), shown(&to.config));
    let groups = diff.grouped_ops(CONTEXT);
    if groups.is_empty() {
        return String::new();
    }
    let mut text = format!("--- generation {}/cluster.yml\n+++ generation {}/cluster.yml\n", from.number, to.number);
    for group in &groups {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let lines = |from: std::ops::Range<usize>, to: std::ops::Range<usize>| span(from.start, to.end);
        let (minus, plus) = (lines(first.old_range(), last.old_range()), lines(first.new_range(), last.new_range()));
        text.push_str(&format!("@@ -{minus} +{plus} @@\n"));
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let (sign, lines, index) = match change.tag() {
                ChangeTag::Equal => (' ', &new, change.new_index()),
                ChangeTag::Delete => ('-', &old, change.old_index()),
                ChangeTag::Insert => ('+', &new, change.new_index()),
            };
            let line = index.and_then(|index| lines.get(index)).map(String::as_str).unwrap_or_default();
            text.push_str(&format!("{sign}{line}\n"));
        }
    }
    text
}

/// `first,count` as `diff -u` counts: from 1, and the line before where there is none.
fn span(start: usize, end: usize) -> String {
    let count = end - start;
    format!("{},{count}", if count == 0 { start } else { start + 1 })
}

fn safe(line: &str) -> String {
    line.chars().map(|sign| if sign.is_control() && sign != '\t' { '\u{fffd}' } else { sign }).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, config, pins } = self;
        if config.is_empty() && pins.is_empty() {
            return writeln!(formatter, "Generations {from} and {to} are equal.");
        }
        if config.is_empty() {
            writeln!(formatter, "cluster.yml is the same in generations {from} and {to}.")?;
        }
        formatter.write_str(config)?;
        if pins.is_empty() {
            return Ok(());
        }
        writeln!(formatter, "\npinned otherwise:")?;
        for change in pins {
            writeln!(formatter, "  {} {}", change.kind, change.name)?;
            for (sign, pin) in [('-', &change.from), ('+', &change.to)] {
                if let Some(pin) = pin {
                    writeln!(formatter, "    {sign} {pin}")?;
                }
            }
        }
        Ok(())
    }
}

//! The text of the file, kept for excerpts.

use std::sync::Arc;

use super::Position;

/// The text of a file and what the operator calls it.
#[derive(Debug, Clone)]
pub struct Source {
    origin: Arc<str>,
    text: Arc<str>,
}

/// A line, cut to what fits a terminal and freed of what a terminal would obey.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The characters that are shown.
    pub text: String,
    /// How many of them stand before what is meant.
    pub before: usize,
    /// How many of them are meant, at least 1.
    pub width: usize,
}

/// Characters of a line that are shown.
const SHOWN: usize = 120;
/// Keys whose values are never shown. `key` is not among them: taints have one, and PEM is known by its first line.
const SECRET: &[&str] = &[
    "ssh_key",
    "ssh_cert",
    "password",
    "secret_key",
    "access_key",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "token",
    "apic_user_key",
    "kafka_client_key",
    "weave_password",
    "aadClientSecret",
    "aadClientCertPassword",
    "cloud_config",
    "customCloudProvider",
    "secret",
];
const HIDDEN: &str = "[hidden]";

impl Source {
    /// Keeps a text; `origin` is the name that findings show, usually the path.
    pub fn new(origin: &str, text: &str) -> Self {
        Self { origin: origin.into(), text: text.into() }
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn lines(&self) -> std::str::Lines<'_> {
        self.text.lines()
    }

    /// The line of a position; none if nothing is meant, or the file has no such line, or it is empty.
    pub(super) fn excerpt(&self, at: Position) -> Option<Excerpt> {
        if at.width == 0 {
            return None;
        }
        let line = shown_lines(&self.text).nth(at.line.checked_sub(1)?)?;
        let characters: Vec<char> = line.chars().map(printable).collect();
        if characters.is_empty() {
            return None;
        }
        let column = (at.column - 1).min(characters.len());
        let from = column.saturating_sub(SHOWN / 2).min(characters.len().saturating_sub(SHOWN));
        let shown = &characters[from..characters.len().min(from + SHOWN)];
        let width = at.width.min(shown.len().saturating_sub(column - from)).max(1);
        Some(Excerpt { text: shown.iter().collect(), before: column - from, width })
    }
}

/// The lines of a `cluster.yml` with the values of secrets hidden. What a terminal would obey is still in them.
pub(crate) fn shown_lines(text: &str) -> impl Iterator<Item = String> {
    let mut hiding = Hiding { manifests: names_a_secret(text), ..Hiding::default() };
    text.lines().map(move |line| hiding.line(line))
}

/// What the lines before say about the next one.
#[derive(Default)]
struct Hiding {
    /// Whether the key before has a secret value, or a PEM block began after it.
    goes_on: bool,
    /// Whether there are Secrets among the add-ons that stand in the file.
    manifests: bool,
    /// Blanks before a manifest's `data`, while its lines go on.
    data: Option<usize>,
}

impl Hiding {
    /// Cuts a line before the value of a key that holds a secret; hides it whole if it goes on with such a value.
    fn line(&mut self, line: &str) -> String {
        let blanks = line.len() - line.trim_start().len();
        let blank = line.trim().is_empty();
        if self.data.is_some_and(|data| blanks <= data) && !blank {
            self.data = None;
        }
        if self.data.is_some() && !blank {
            return format!("{}{HIDDEN}", &line[..blanks]);
        }
        if self.manifests
            && let Some(cut) = data_value(line)
        {
            self.data = Some(blanks);
            let rest = if line[cut..].trim().is_empty() { String::new() } else { format!(" {HIDDEN}") };
            return format!("{}{rest}", &line[..cut]);
        }
        let named = names_a_key(line);
        if let Some(cut) = secret_value(line) {
            self.goes_on = true;
            return format!("{} {HIDDEN}", &line[..cut]);
        }
        if let Some(cut) = line.find("-----BEGIN") {
            self.goes_on = true;
            return format!("{}{HIDDEN}", &line[..cut]);
        }
        self.goes_on &= !named;
        if self.goes_on { HIDDEN.to_owned() } else { line.to_owned() }
    }
}

/// Whether a text has a manifest of kind Secret, in YAML or JSON.
pub(super) fn names_a_secret(text: &str) -> bool {
    text.lines().any(|line| {
        let words: Vec<&str> =
            line.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        words.windows(2).any(|pair| pair == ["kind", "Secret"])
    })
}

/// Where the value of a manifest's `data` or `stringData` begins.
fn data_value(line: &str) -> Option<usize> {
    value_of("data", line).or_else(|| value_of("stringData", line))
}

/// Whether a line begins with `key:`.
fn names_a_key(line: &str) -> bool {
    let line = line.trim_start_matches([' ', '-', '{', '?']);
    let word = |character: char| character.is_alphanumeric() || "_-.\"'/".contains(character);
    let rest = line.trim_start_matches(word);
    rest.len() < line.len() && rest.trim_start().starts_with(':')
}

/// Where the value of the first secret key in a line begins.
fn secret_value(line: &str) -> Option<usize> {
    SECRET.iter().filter_map(|name| value_of(name, line)).min()
}

/// Where the value of a key begins that stands anywhere in a line.
fn value_of(name: &str, line: &str) -> Option<usize> {
    line.match_indices(name).find_map(|(start, _)| {
        let before = line[..start].chars().next_back();
        let inside = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
        let rest = line[start + name.len()..].trim_start_matches(['"', '\'']).trim_start();
        (!inside && rest.starts_with(':')).then(|| line.len() - rest.len() + 1)
    })
}

/// A terminal must not obey what stands in a file.
pub(super) fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        _ if character.is_control() => '\u{fffd}',
        // Marks that reorder or hide text.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> String {
        let excerpt = Source::new("f", text).excerpt(Position { line, column, width: 1 });
        excerpt.map(|excerpt| excerpt.text).unwrap_or_default()
    }

    #[test]
    fn secrets_are_hidden() {
        assert_eq!(shown("  password: hunter2", 1, 3), "  password: [hidden]");
        assert_eq!(shown("- {user: a, \"password\" : hunter2, x: 1}", 1, 3), "- {user: a, \"password\" : [hidden]");
        assert_eq!(shown("ssh_key: |\nabcdef", 2, 1), "[hidden]");
        assert_eq!(shown("key: |\n  -----BEGIN X\n  abc", 3, 1), "[hidden]");
        assert_eq!(shown("ssh_key_path: ~/.ssh/id_rsa", 1, 1), "ssh_key_path: ~/.ssh/id_rsa");
        assert_eq!(shown("- {key: a, value: b}", 1, 1), "- {key: a, value: b}");
    }

    #[test]
    fn data_of_secrets_among_the_addons_is_hidden() {
        let text =
            "addons: |\n  kind: Secret\n  stringData:\n    a: hunter2\n\n    b: |\n      x\n  type: Opaque\nnodes: []";
        let lines: Vec<String> = shown_lines(text).collect();
        let hidden = "    [hidden]";
        let (end, block) = ("      [hidden]", "  stringData:");
        assert_eq!(lines[1..], ["  kind: Secret", block, hidden, "", hidden, end, "  type: Opaque", "nodes: []"]);
        assert_eq!(shown("{kind: Secret, data: {a: aHVudGVyMg==}}", 1, 1), "{kind: Secret, data: [hidden]");
        assert_eq!(shown("kind: ConfigMap\ndata:\n  a: b", 3, 1), "  a: b");
    }

    #[test]
    fn a_terminal_obeys_nothing() {
        assert_eq!(shown("a: \u{1b}[2Jb", 1, 1), "a: \u{fffd}[2Jb");
    }

    #[test]
    fn a_long_line_is_cut_around_what_is_meant() {
        let text = format!("{}x{}", "a".repeat(1000), "b".repeat(1000));
        let excerpt = Source::new("f", &text).excerpt(Position { line: 1, column: 1001, width: 5000 }).unwrap();
        assert_eq!(excerpt.text.chars().nth(excerpt.before), Some('x'));
        assert!(excerpt.before + excerpt.width <= SHOWN);
    }
}

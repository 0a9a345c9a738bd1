//! Foreign text for messages.

const LONGEST: usize = 80;

/// The first eighty characters of bytes that somebody sent, on one line and without anything that a terminal would obey.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    line.chars().take(LONGEST).map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// Whether bytes are the beginning of a page for people.
pub(super) fn looks_like_html(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let start: String = text.trim_start_matches('\u{feff}').trim_start().chars().take(14).collect();
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

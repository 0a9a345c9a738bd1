//! Words and numbers as people read them.

use std::time::Duration;

/// Makes text from a host safe for a terminal: its control characters, which could move the cursor or forge lines, are
/// shown as their escapes.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => safe.push(' '),
            '\n' => safe.push('\n'),
            control if control.is_control() => safe.extend(control.escape_default()),
            other => safe.push(other),
        }
    }
    safe
}

/// [`printable`] text on one line.
pub(super) fn one_line(text: &str) -> String {
    printable(text.trim()).split('\n').map(str::trim).collect::<Vec<_>>().join("; ")
}

/// `4.2 s` below a minute, `2 min 05 s` above.
pub(super) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 60 {
        return format!("{whole}.{} s", duration.subsec_millis() / 100);
    }
    format!("{} min {:02} s", whole / 60, whole % 60)
}

/// `34.1 of 58.0 MB`, in millions of bytes.
#[expect(clippy::cast_precision_loss, reason = "one decimal of a megabyte is shown")]
pub(super) fn megabytes(sent: u64, total: u64) -> String {
    format!("{:.1} of {:.1} MB", sent as f64 / 1e6, total as f64 / 1e6)
}

/// A failed step: what, why, and the host's own last lines.
pub(super) fn failure_lines(place: &str, title: &str, error: &str, log: &[String]) -> Vec<String> {
    let mut lines = vec![format!("{place}: failed: {}", one_line(title))];
    lines.extend(printable(error.trim_end()).lines().map(|line| format!("  {line}")));
    if !log.is_empty() {
        lines.push(format!("  last lines of its log on {place}:"));
        lines.extend(log.iter().map(|line| format!("  | {}", one_line(line))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\rc"), "a\\u{1b}[2Jb\\rc");
        assert_eq!(one_line(" first\n  second\n"), "first; second");
    }

    #[test]
    fn durations_and_sizes_are_short() {
        assert_eq!(seconds(Duration::from_millis(4_250)), "4.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(megabytes(34_100_000, 58_000_000), "34.1 of 58.0 MB");
    }
}

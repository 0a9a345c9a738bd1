//! What an unknown word was probably meant to be.

use super::keys::ROOT;
use super::schema::{Key, Standing};

/// Help for an unknown key: the nearest name that is known here, else where such a key belongs.
pub(super) fn key(word: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(word, known) {
        return format!("did you mean `{near}`?");
    }
    match home(word, ROOT, "") {
        Some(path) => format!("such a key belongs to {path}"),
        None => format!("known here: {}", list(known)),
    }
}

/// The nearest of some words, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    // Comparing takes room for the product of both lengths.
    if word.len() > 200 {
        return None;
    }
    let word = plain(word);
    let rate = |candidate: &str| {
        let candidate = plain(candidate);
        let edits = strsim::damerau_levenshtein(&word, &candidate);
        let alike = strsim::jaro_winkler(&word, &candidate);
        let near = edits <= 1.max(candidate.chars().count() / 4) || alike > 0.92;
        near.then_some((edits, alike))
    };
    let rated = known.iter().filter_map(|candidate| rate(candidate).map(|(edits, alike)| (edits, -alike, *candidate)));
    rated.min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)).map(|(_, _, candidate)| candidate)
}

/// Words for a sentence; of a long list only the first.
fn list(words: &[&str]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<String> = words.iter().take(SHOWN).map(|word| format!("`{word}`")).collect();
    let more = if words.len() > SHOWN { ", ... (see docs/configuration.md)" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Where else in the table an honoured key has this name.
fn home(word: &str, keys: &'static [Key], path: &str) -> Option<String> {
    keys.iter().find_map(|key| {
        let honoured = matches!(key.standing, Standing::Honoured { .. });
        if honoured && key.name == word {
            return Some(if path.is_empty() { "the top of the file".to_owned() } else { format!("`{path}`") });
        }
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        home(word, key.shape.keys(), &path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_recognised() {
        let known = ["role", "address", "internal_address", "hostname_override", "user"];
        assert_eq!(nearest("roles", &known), Some("role"));
        assert_eq!(nearest("internal-address", &known), Some("internal_address"));
        assert_eq!(nearest("adress", &known), Some("address"));
        assert_eq!(nearest("quota", &known), None);
    }

    #[test]
    fn a_key_at_the_wrong_place_is_sent_home() {
        assert_eq!(key("cluster_cidr", &["nodes", "services"]), "such a key belongs to `services.kube-controller`");
    }
}

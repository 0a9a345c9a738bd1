//! No file, whatever it holds, makes the reader panic or say nothing.

use std::fs;

use proptest::prelude::*;
use provision::config::{Position, parse};

use crate::config_cases::{cases, load_bytes};

/// Reads bytes; what is refused is shown, and each finding has a place.
fn read(bytes: &[u8]) {
    if let Err(findings) = load_bytes(bytes) {
        assert!(!findings.is_empty());
        assert!(!findings.to_string().is_empty());
        for finding in findings.iter() {
            let Position { line, column, .. } = finding.at;
            assert!(line >= 1 && column >= 1, "{finding:?}");
        }
    }
}

fn valid_files() -> Vec<Vec<u8>> {
    cases("valid").iter().map(|case| fs::read(case).unwrap()).collect()
}

/// Pieces that are at home in YAML and in this file.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "nodes",
        "network",
        "plugin",
        "services",
        "kubelet",
        "config",
        "role",
        "taints",
        "labels",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "<<",
        "? ",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "!",
        "!!str ",
        "%",
        "---\n",
        "...\n",
        "\t",
        "\r\n",
        "null",
        "~",
        "true",
        "0x1",
        "1e999",
        "-",
        "10.0.0.0/8",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "é",
        "\u{1f600}",
        "\\x",
        "\0",
        "\u{1b}",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
    }

    #[test]
    fn arbitrary_yaml(text in pieces()) {
        read(text.as_bytes());
    }

    #[test]
    fn mutated_files(file in 0..64usize, edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, pieces()), 1..6)) {
        let files = valid_files();
        let mut bytes = files[file % files.len()].clone();
        for (place, kind, piece) in edits {
            let place = place.index(bytes.len() + 1);
            let end = bytes.len().min(place + piece.len().max(1));
            match kind {
                0 => { bytes.splice(place..place, piece.into_bytes()); }
                1 => { bytes.drain(place..end); }
                2 => { bytes.splice(place..end, piece.into_bytes()); }
                _ => {
                    let copy = bytes[place..end].to_vec();
                    bytes.extend(copy);
                }
            }
        }
        read(&bytes);
    }
}

#[test]
fn a_file_cut_off_anywhere() {
    for file in valid_files() {
        // Every place in a small file, every seventh in a large one: reading takes time in the square of the size.
        let step = if file.len() < 1000 { 1 } else { 7 };
        for end in (0..file.len()).step_by(step) {
            read(&file[..end]);
        }
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let bytes = vec![b'#'; 5 << 20];
    let Err(findings) = parse(&bytes, "cluster.yml") else { panic!("accepted") };
    assert!(findings.to_string().contains("bytes"));
}

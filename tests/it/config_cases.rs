//! Files of tests/cases/config: what is read from good ones, what is said about bad ones.
//!
//! With `UPDATE_EXPECTED=1` the expected texts are written anew; look at the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use provision::cluster::{Context, Loaded, load};
use provision::config::Findings;
use provision::release::Catalog;

/// The configurations of a folder below tests/cases/config, sorted.
pub fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/config").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "yml")).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// Loads bytes as the file `cluster.yml` of a fixed folder.
pub fn load_bytes(bytes: &[u8]) -> Result<Loaded, Findings> {
    let context = Context { home: "/home/operator".into(), base: "/site".into() };
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    load(bytes, "cluster.yml", CATALOG.get_or_init(|| Catalog::shipped().unwrap()), &context)
}

/// Compares with the text beside a case, or writes it.
fn compare(case: &Path, actual: &str) -> Option<String> {
    let beside = case.with_extension("txt");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&beside, actual).unwrap();
        return None;
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    let name = case.file_stem().unwrap().to_string_lossy();
    (expected != actual).then(|| format!("{name}: expected\n{expected}\nbut got\n{actual}"))
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} cases differ; UPDATE_EXPECTED=1 writes them anew\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_bad_file_is_refused_with_everything_that_is_wrong_with_it() {
    let mut wrong = Vec::new();
    for case in cases("invalid") {
        match load_bytes(&fs::read(&case).unwrap()) {
            Ok(_) => wrong.push(format!("{} was accepted", case.display())),
            Err(findings) => wrong.extend(compare(&case, &format!("{findings}\n"))),
        }
    }
    report(&wrong);
}

#[test]
fn a_good_file_means_this_cluster() {
    let mut wrong = Vec::new();
    for case in cases("valid") {
        match load_bytes(&fs::read(&case).unwrap()) {
            Ok(loaded) => {
                let advice: String = loaded.advice.iter().map(|line| format!("{line}\n")).collect();
                wrong.extend(compare(&case, &format!("{advice}{:#?}\n", loaded.cluster)));
            }
            Err(findings) => wrong.push(format!("{} was refused:\n{findings}", case.display())),
        }
    }
    report(&wrong);
}

#[test]
fn every_finding_points_into_the_file_and_says_what_to_do() {
    for case in cases("invalid") {
        let bytes = fs::read(&case).unwrap();
        let lines = String::from_utf8_lossy(&bytes).lines().count().max(1);
        let Err(findings) = load_bytes(&bytes) else { panic!("{} was accepted", case.display()) };
        for finding in findings.iter() {
            // An error at the end of the text may stand in the line after the last.
            assert!((1..=lines + 1).contains(&finding.at.line), "{}: {finding:?}", case.display());
            assert!(!finding.message.is_empty() && !finding.help.is_empty(), "{}: {finding:?}", case.display());
        }
    }
}

#[test]
fn no_secret_and_no_control_character_is_shown() {
    for case in cases("invalid") {
        let Err(findings) = load_bytes(&fs::read(&case).unwrap()) else { panic!("{} was accepted", case.display()) };
        let shown = findings.to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("c2VjcmV0"), "{}", case.display());
        let control = |character: char| character.is_control() && character != '\n';
        assert!(!shown.contains(control) && !shown.contains('\u{200b}'), "{}", case.display());
    }
}

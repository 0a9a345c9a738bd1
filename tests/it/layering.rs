//! The import order of `src/lib.rs`, and that pure modules stay pure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules whose results may depend on nothing but their arguments.
const PURE: [&str; 12] = [
    "base",
    "cluster",
    "config",
    "crossing",
    "desired",
    "event",
    "netcheck",
    "pki",
    "plan",
    "podsecurity",
    "release",
    "state",
];

/// Ways to reach the disk, the network, the clock, the environment, other processes or randomness.
const IMPURE: [&str; 14] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "now_utc",
    "tokio::",
    "rand::",
    "OsRng",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Reads `| rank | modules | what |` rows from the documentation of `src/lib.rs`.
fn ranks() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let mut ranks = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split(" | ");
        let Some(Ok(rank)) = cells.next().map(str::parse::<u32>) else { continue };
        let modules = cells.next().unwrap();
        for module in modules.split(',').map(|module| module.trim().trim_matches('`').to_owned()) {
            assert!(ranks.insert(module.clone(), rank).is_none(), "{module} stands twice in the table");
        }
    }
    ranks
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with the module that it belongs to, comments taken out.
fn modules() -> Vec<(String, PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let module = |path: &Path| {
        let first = path.strip_prefix(source()).unwrap().components().next().unwrap().as_os_str();
        first.to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    files.into_iter().map(|path| (module(&path), path.clone(), code(&path))).collect()
}

/// Names of modules that stand behind `crate::` in code, in single paths and in the first level of braces.
fn imports(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => names.push(name(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (position, character) in list.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            names.push(name(&list[position..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

#[test]
fn the_table_names_every_module_and_no_other() {
    let mut named: Vec<String> = ranks().into_keys().collect();
    let mut present: Vec<String> = modules()
        .into_iter()
        .map(|(module, _, _)| module)
        .filter(|module| module != "lib" && module != "main")
        .collect();
    present.sort();
    present.dedup();
    named.sort();
    assert_eq!(named, present);
}

#[test]
fn a_module_uses_only_modules_of_a_lower_rank() {
    let ranks = ranks();
    let mut wrong = Vec::new();
    for (module, path, code) in modules() {
        let Some(rank) = ranks.get(&module) else { continue };
        for used in imports(&code).into_iter().filter(|used| *used != module) {
            if ranks.get(&used).is_some_and(|used| used >= rank) {
                wrong.push(format!("{}: {module} (rank {rank}) uses {used} (rank {})", path.display(), ranks[&used]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let mut wrong = Vec::new();
    for (module, path, code) in modules() {
        let is_test = path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        if is_test || !PURE.contains(&module.as_str()) {
            continue;
        }
        let shipped = code.split("#[cfg(test)]").next().unwrap();
        for word in IMPURE.iter().filter(|word| shipped.contains(**word)) {
            wrong.push(format!("{}: {module} is pure and uses {word}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_itself_sees_every_form_of_import() {
    let code = "use crate::base::Digest; use crate::{plan::{Plan, Step}, ops, cli::run}; crate::engine::run();";
    assert_eq!(imports(code), ["base", "plan", "ops", "cli", "engine"]);
}

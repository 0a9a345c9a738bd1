//! A host is changed through one door only: `WriteHost::change`, which takes the run's epoch.

use std::fs;
use std::path::{Path, PathBuf};

/// A text of the sources, the only files that may have it, and why.
struct Rule {
    text: &'static str,
    files: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 12] = [
    Rule {
        text: "russh::",
        files: &["host/connection.rs", "host/known_hosts.rs", "host/login.rs"],
        why: "one module speaks SSH",
    },
    Rule { text: ".exec(", files: &["host/connection.rs"], why: "commands are started in one place" },
    Rule { text: "connection.run(", files: &["host/script.rs"], why: "only our two scripts run on hosts" },
    Rule {
        text: ".open_command(",
        files: &["host/docker.rs", "host/pull.rs"],
        why: "a stream to a command is the API of Docker or containerd",
    },
    Rule { text: "docker.follow(", files: &["host/pull.rs"], why: "only the door lets Docker pull" },
    Rule { text: " cri::", files: &["host/pull.rs"], why: "only the door talks to containerd" },
    Rule { text: "pull::pull(", files: &["host/door.rs"], why: "pulling is a change" },
    Rule { text: "include_str!(\"door.sh\")", files: &["host/script.rs"], why: "the script that writes has one owner" },
    Rule { text: "script::door(", files: &["host/door.rs"], why: "only the door runs the script that writes" },
    Rule { text: ".upload(", files: &["host/door.rs"], why: "only the door gives Docker images" },
    Rule { text: "docker.request(", files: &["host/door.rs"], why: "looks use `get`" },
    Rule { text: "process::Command", files: &[], why: "the tool starts no programs, so no ssh, scp or docker either" },
];

/// Functions that take a change, besides the one method and what it calls.
const TAKE_A_CHANGE: [&str; 7] = [
    "host/mod.rs",
    "host/ssh.rs",
    "host/door.rs",
    "host/request.rs",
    "host/fake/mod.rs",
    "host/fake/changes.rs",
    // It calls the method, with the epoch of its run.
    "engine/actions.rs",
];

/// Programs that write; the script that looks must not name them.
const WRITERS: [&str; 24] = [
    "rm",
    "mv",
    "cp",
    "ln",
    "dd",
    "tee",
    "touch",
    "mkdir",
    "rmdir",
    "chmod",
    "chown",
    "install",
    "truncate",
    "mktemp",
    "sed -i",
    "apt-get",
    "dpkg ",
    "useradd",
    "modprobe",
    "systemctl start",
    "systemctl enable",
    "systemctl restart",
    "sysctl -w",
    "import",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file by its path below `src`, unit tests and comments taken out.
fn files() -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![source()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(source()).unwrap().display().to_string();
            if name.ends_with(".rs") && !name.ends_with("_tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                found.push((name, code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    found
}

/// What a file does against the rules.
fn offences(name: &str, code: &str) -> Vec<String> {
    let broken = RULES.iter().filter(|rule| code.contains(rule.text) && !rule.files.contains(&name));
    let mut found: Vec<String> = broken.map(|rule| format!("{name} has `{}`: {}", rule.text, rule.why)).collect();
    let takes_a_change = code.contains(": &Change") || code.contains(": &'a Change");
    if takes_a_change && !TAKE_A_CHANGE.contains(&name) {
        found.push(format!("{name} takes a change: only `WriteHost::change` does"));
    }
    found
}

/// What the script that looks does against its promise.
fn script_offences(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    for line in code {
        let words: Vec<&str> = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').collect();
        let named =
            |writer: &&&str| if writer.contains(' ') { line.contains(**writer) } else { words.contains(*writer) };
        found.extend(WRITERS.iter().filter(named).map(|writer| format!("{writer}: {line}")));
        let redirected = line.replace("2>/dev/null", "").replace(">/dev/null", "").replace(">&2", "");
        // Inside quotes it compares or formats.
        let redirected = redirected.split('\'').step_by(2).collect::<String>();
        if redirected.contains('>') {
            found.push(format!("output into a file: {line}"));
        }
    }
    found
}

#[test]
fn nothing_but_the_door_changes_a_host() {
    let files = files();
    assert!(files.len() > 20, "the sources were not found");
    let found: Vec<String> = files.iter().flat_map(|(name, code)| offences(name, code)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for rule in &RULES {
        for name in rule.files {
            let file = files.iter().find(|(file, _)| file == name);
            assert!(
                file.is_some_and(|(_, code)| code.contains(rule.text)),
                "{name} lost `{}`: adapt the rule",
                rule.text
            );
        }
    }
}

#[test]
fn the_script_that_looks_writes_nothing() {
    let script = fs::read_to_string(source().join("host/gather.sh")).unwrap();
    let found = script_offences(&script);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_scripts_take_no_values_from_the_sources() {
    for (name, code) in files() {
        if name == "host/script.rs" {
            // The command holds the length of the script and nothing else.
            assert_eq!(code.matches("head -c {}").count(), 1);
            assert!(code.contains(", text.len())"), "the command takes something else");
        } else {
            assert!(!code.contains("sh -c"), "{name} builds a command");
        }
    }
}

#[test]
fn each_rule_notices_what_it_forbids() {
    for rule in &RULES {
        assert_eq!(offences("ops/other.rs", &format!("    let x = {}y);", rule.text)).len(), 1, "{}", rule.text);
    }
    assert_eq!(offences("ops/other.rs", "fn sneak(host: &Ssh, change: &Change) {}").len(), 1);
    for line in ["rm -f \"$x\"", "echo 1 >\"$file\"", "  cat a >> b", "sysctl -w a=b", "x | tee file"] {
        assert_eq!(script_offences(line).len(), 1, "{line}");
    }
}

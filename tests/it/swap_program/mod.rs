//! The program that replaces a component on a host, cut before every one of its commands.
//!
//! It runs in a mount namespace of its own, with a Docker and a systemd that are files; the lab shows it with real ones.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const COMMANDS: [&str; 13] =
    ["docker", "socat", "ss", "ctr", "systemctl", "journalctl", "sleep", "mv", "cp", "rm", "sync", "cat", "grep"];
/// A process has a number, and a container's is found in its cgroup: here both are one.
const OLD: &str = "1001";
const NEW: &str = "1002";

/// How the new one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    Good,
    NeverHealthy,
    Crashes,
    CannotStart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    Beside,
    Unit,
}

struct Machine {
    folder: TempDir,
    kind: Kind,
}

impl Machine {
    /// A host whose old component runs, with an intent to replace it.
    fn new(kind: Kind, new: New) -> Self {
        let machine = Self { folder: TempDir::new().unwrap(), kind };
        for folder in ["state/containers", "provision/swap/x/files", "late", "units", "certificates"] {
            fs::create_dir_all(machine.lib(folder)).unwrap();
        }
        fs::create_dir(machine.folder.path().join("run")).unwrap();
        let hook = machine.folder.path().join("sbin/host.sh");
        fs::create_dir(hook.parent().unwrap()).unwrap();
        fs::write(&hook, include_str!("host.sh")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        for command in COMMANDS {
            symlink("host.sh", hook.with_file_name(command)).unwrap();
        }
        machine.write("provision/swap/program", include_str!("../../../src/host/swap.sh"));
        machine.write("late/manifest", "old");
        machine.write("provision/swap/x/files/9", "new");
        let mut intent =
            "name x\npatience 0\nstays 0\nprobe http 80 /healthz\nlate 9 /var/lib/late/manifest\n".to_owned();
        if kind == Kind::Unit {
            machine.unit(new);
            intent += "kind unit\nunit x.service\nearly 0 /var/lib/units/x.service\nearly 1 /var/lib/units/link\n";
        } else {
            machine.containers(new);
            intent += &format!("kind {}\nport 80\nold {OLD}\nnew {NEW}\n", format!("{kind:?}").to_lowercase());
            intent += "early 0 /var/lib/certificates/x\n";
        }
        machine.write("provision/swap/x/intent", &intent);
        machine
    }

    fn containers(&self, new: New) {
        for (id, name) in [(OLD, "x"), (NEW, "x.next")] {
            fs::create_dir(self.lib(&format!("state/containers/{id}"))).unwrap();
            self.write(&format!("state/containers/{id}/name"), name);
            self.write(&format!("state/containers/{id}/policy"), "always\n");
        }
        for mark in ["running", "started", "healthy"] {
            self.write(&format!("state/containers/{OLD}/{mark}"), "");
        }
        self.write(&format!("state/containers/{OLD}/read"), "old");
        self.write("certificates/x", "old");
        self.write("provision/swap/x/files/0", "new");
        self.write("provision/swap/x/files/0.old", "old");
        let mark = match new {
            New::Good => "healthy",
            New::NeverHealthy => "ill",
            New::Crashes => "crashes",
            New::CannotStart => "cannot-start",
        };
        self.write(&format!("state/containers/{NEW}/{mark}"), "");
        if self.kind == Kind::Beside {
            self.write("state/beside", "");
        }
    }

    fn unit(&self, new: New) {
        self.write("state/unit", "");
        self.write("units/x.service", "good old\n");
        self.write("units/link-old", "old\n");
        self.write("units/link-new", "new\n");
        symlink("link-old", self.lib("units/link")).unwrap();
        self.write("state/loaded", "good old\nold\n");
        self.write("provision/swap/x/files/0", if new == New::Good { "good new\n" } else { "bad new\n" });
        self.write("provision/swap/x/files/0.old", "good old\n");
        symlink("link-new", self.lib("provision/swap/x/files/1")).unwrap();
        symlink("link-old", self.lib("provision/swap/x/files/1.old")).unwrap();
    }

    fn lib(&self, path: &str) -> PathBuf {
        self.folder.path().join("lib").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.lib(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.lib(path)).unwrap_or_default()
    }

    /// Runs the program, and cuts it before a command; the number of commands that it has got to.
    fn run(&self, arguments: &str, cut: usize) -> usize {
        self.write("state/count", "");
        self.write("state/cut", &format!("{cut}\n"));
        let folder = self.folder.path().display();
        let script = format!(
            "mount --bind {folder}/lib /var/lib && mount --bind {folder}/run /run &&
             mount --bind {folder}/sbin /usr/local/sbin && exec sh /var/lib/provision/swap/program {arguments}"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).process_group(0).stdin(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        assert_eq!(output.status.success(), output.status.code().is_some(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{self}");
        self.commands()
    }

    /// How many commands the program has got to.
    fn commands(&self) -> usize {
        self.read("state/count").lines().count()
    }

    /// What the engine does at a start: those that were started once and may start, start.
    fn reboot(&self) {
        for container in fs::read_dir(self.lib("state/containers")).unwrap().map(|entry| entry.unwrap().path()) {
            let always = fs::read_to_string(container.join("policy")).unwrap() == "always\n";
            let running = container.join("running");
            if always && container.join("started").exists() {
                fs::write(running, "").unwrap();
                fs::copy(self.lib("certificates/x"), container.join("read")).unwrap();
            } else if running.exists() {
                fs::remove_file(running).unwrap();
            }
        }
        if self.kind == Kind::Unit {
            self.write("state/loaded", &(self.read("units/x.service") + &self.read("units/link")));
        }
    }

    /// Whether the new one is there: and if so, alone, with its files and its name; if not, the old one in the same way.
    #[track_caller]
    fn is_replaced(&self) -> bool {
        assert_eq!(self.read("state/unknown"), "", "a command that this host does not know");
        assert!(!self.lib("state/both").exists(), "both ran at once: {self}");
        assert!(!self.lib("provision/swap/x/intent").exists(), "nothing is left to do: {self}");
        assert!(!self.lib("provision/swap/x/files").exists(), "files may hold secrets: {self}");
        let replaced = self.read("late/manifest") == "new";
        if self.kind == Kind::Unit {
            let wanted = if replaced { "good new\nnew\n" } else { "good old\nold\n" };
            assert_eq!(self.read("units/x.service") + &self.read("units/link"), wanted);
            assert_eq!(self.read("state/loaded"), wanted);
            assert_eq!(fs::read_dir(self.lib("units")).unwrap().count(), 4, "{self}");
            return replaced;
        }
        let id = if replaced { NEW } else { OLD };
        let containers = fs::read_dir(self.lib("state/containers")).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(containers.collect::<Vec<_>>(), [id], "{self}");
        let container = |file: &str| self.read(&format!("state/containers/{id}/{file}"));
        assert_eq!((container("name").trim(), container("policy").trim()), ("x", "always"), "{self}");
        assert!(self.lib(&format!("state/containers/{id}/running")).exists(), "{self}");
        let wanted = if replaced { "new" } else { "old" };
        let files = (self.read("certificates/x"), container("read"));
        assert_eq!(files, (wanted.into(), wanted.into()), "{self}");
        replaced
    }
}

/// All its files, for a test that fails.
impl std::fmt::Display for Machine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn list(folder: &Path, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    list(&path, formatter)?;
                } else if path.file_name().is_some_and(|name| name != "program") {
                    writeln!(formatter, "{}: {:?}", path.display(), fs::read_to_string(&path).unwrap_or_default())?;
                }
            }
            Ok(())
        }
        list(&self.lib(""), formatter)
    }
}

const KINDS: [Kind; 3] = [Kind::Container, Kind::Beside, Kind::Unit];

#[test]
fn a_good_one_takes_the_place_and_a_bad_one_does_not() {
    for kind in KINDS {
        for new in [New::Good, New::NeverHealthy, New::Crashes, New::CannotStart] {
            let machine = Machine::new(kind, new);
            machine.run("replace x", 0);
            assert_eq!(machine.is_replaced(), new == New::Good, "{kind:?} {new:?}");
            let result = machine.read("provision/swap/x/result");
            let word = if new == New::Good { "done\n" } else { "reverted\n" };
            assert!(result.starts_with(word), "{kind:?} {new:?}: {result}");
            let ended = new == New::Crashes && kind != Kind::Unit;
            assert_eq!(result.contains("the last time with exit code 7"), ended, "{kind:?}: {result}");
            if new != New::Good {
                assert_eq!(machine.read("provision/swap/x/log"), "a last line\n", "{kind:?} {new:?}: {machine}");
                let answer = fs::read_to_string(machine.folder.path().join("run/provision-swap-x.result")).unwrap();
                assert_eq!(answer, format!("{result}a last line\n"));
            }
        }
    }
}

#[test]
fn one_that_listens_beside_stays_where_the_old_one_does_not_come_back() {
    let machine = Machine::new(Kind::Beside, New::NeverHealthy);
    machine.write(&format!("state/containers/{OLD}/cannot-start"), "");
    machine.run("replace x", 0);
    assert!(machine.read("provision/swap/x/result").starts_with("neither\n"), "{machine}");
    assert!(machine.lib(&format!("state/containers/{NEW}/running")).exists(), "nobody listens: {machine}");
    assert_eq!(machine.read(&format!("state/containers/{NEW}/policy")), "always\n", "nor after a reboot: {machine}");
    // What kept the old one is mended.
    fs::remove_file(machine.lib(&format!("state/containers/{OLD}/cannot-start"))).unwrap();
    machine.run("settle", 0);
    assert!(!machine.is_replaced());
}

#[test]
fn containerd_is_believed_where_its_plugin_that_serves_kubelet_works() {
    for new in [New::Good, New::NeverHealthy] {
        let machine = Machine::new(Kind::Unit, new);
        let intent = machine.read("provision/swap/x/intent").replace("probe http 80 /healthz", "probe runtime");
        machine.write("provision/swap/x/intent", &intent);
        machine.run("replace x", 0);
        assert_eq!(machine.is_replaced(), new == New::Good, "{machine}");
        let result = machine.read("provision/swap/x/result");
        let reason = "containerd serves no pods: its plugin cri is error: no such key, after 0 s";
        assert_eq!(result.contains(reason), new != New::Good, "{result}");
    }
}

#[test]
fn whatever_command_it_is_cut_before_one_component_is_left() {
    for kind in KINDS {
        for new in [New::Good, New::NeverHealthy] {
            for reboot in [false, true] {
                let undisturbed = Machine::new(kind, new).run("replace x", 0);
                let mut replaced = 0;
                for cut in 1..=undisturbed {
                    let machine = Machine::new(kind, new);
                    machine.run("replace x", cut);
                    if reboot {
                        machine.reboot();
                    }
                    machine.run("settle", 0);
                    replaced += usize::from(machine.is_replaced());
                }
                println!("{kind:?}, {new:?}, reboot {reboot}: cut at {undisturbed} commands, {replaced} went on");
                assert!(replaced < undisturbed && (replaced > 0) == (new == New::Good));
            }
        }
    }
}

#[test]
fn the_way_back_may_be_cut_as_well() {
    for kind in KINDS {
        let began = |cut| {
            let machine = Machine::new(kind, New::NeverHealthy);
            machine.run("replace x", cut);
            machine
        };
        let before = began(0).commands() / 2;
        let machine = began(before);
        let settled = machine.run("settle", 0);
        for cut in 1..=settled {
            let machine = began(before);
            machine.run("settle", cut);
            machine.reboot();
            machine.run("settle", 0);
            assert!(!machine.is_replaced());
        }
    }
}

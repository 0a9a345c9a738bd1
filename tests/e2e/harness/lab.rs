//! Hosts of the lab, made for one scenario and taken away with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::tool::Tool;
use super::{Ran, Registry, SECOND, prepared, run, run_with_input, until};

/// Where the lab keeps what it has built.
pub fn cache() -> PathBuf {
    std::env::var_os("PROVISION_LAB_CACHE")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/provision-lab"), PathBuf::from)
}

/// A lab of its own beside the one that people use. Only one exists at a time, on the whole machine.
pub struct Lab {
    name: String,
    subnet: String,
    version: String,
    /// Locked as long as the lab is in use; the system unlocks it however the process ends.
    _turn: File,
}

impl Lab {
    /// Hosts as a distribution's image makes them. `hosts` is `1`, `3`, `3+1`.
    pub fn empty(hosts: &str, version: &str) -> Self {
        let lab = Self::none(version);
        lab.command(&["hosts", hosts, "--fresh"]).succeeded();
        lab
    }

    /// Hosts with the runtime installed and the images of this version present, and nothing else.
    pub fn prepared(hosts: &str, version: &str) -> Self {
        let lab = Self::none(version);
        lab.again(hosts);
        lab
    }

    /// Prepared hosts in the place of those that are there, without the state of their cluster.
    pub fn again(&self, hosts: &str) {
        let tag = prepared::snapshot(self);
        self.command(&["hosts", hosts, "--fresh", "--from", &tag]).succeeded();
    }

    /// Adds hosts to those that are there, prepared as they were; `cluster.yml` names all of them then.
    pub fn grow(&self, hosts: &str) {
        let tag = prepared::snapshot(self);
        self.command(&["hosts", hosts, "--from", &tag]).succeeded();
    }

    /// No hosts yet. Waits until no other scenario uses the lab.
    pub fn none(version: &str) -> Self {
        let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let name = setting("E2E_LAB_NAME", "e2e");
        let turn = std::env::temp_dir().join(format!("provision-{name}.lock"));
        let turn = File::create(&turn).unwrap_or_else(|error| panic!("{}: {error}", turn.display()));
        turn.lock().expect("the lab's turn");
        Self { name, subnet: setting("E2E_LAB_SUBNET", "31"), version: version.into(), _turn: turn }
    }

    /// The lab's registry and file server with everything of the hosts' version, started if need be.
    pub fn registry(&self) -> Registry<'_> {
        Registry::start_with(self, &[&self.version])
    }

    /// Opens or closes a host's way out of the lab, for its reboots to come as well: `open`, `none` is no default
    /// route, `dead` one that leads nowhere. Hosts reach each other and the registry in any case.
    pub fn route(&self, host: &str, route: &str) {
        self.command(&["route", host, route]).succeeded();
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `tests/lab/lab` for this lab.
    pub fn command(&self, arguments: &[&str]) -> Ran {
        run(&mut self.program(arguments))
    }

    /// The same with more environment.
    pub fn command_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        run(self.program(arguments).envs(environment.iter().copied()))
    }

    /// Starts a lab call and kills it with all that it started once a condition holds.
    pub fn kill_when(&self, arguments: &[&str], what: &str, mut holds: impl FnMut() -> bool) {
        let mut command = self.program(arguments);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the lab starts");
        until(what, 60 * SECOND, || if holds() { Ok(()) } else { Err("not yet".into()) });
        run(Command::new("kill").args(["-9", "--", &format!("-{}", child.id())])).succeeded();
        let status = child.wait().expect("the lab ends");
        assert!(status.code().is_none(), "{arguments:?} ended with {status} before it was killed");
    }

    /// Whether the engine has a container for this host.
    pub fn has_host(&self, host: &str) -> bool {
        let run_folder = std::env::var("PROVISION_LAB_RUN").unwrap_or_else(|_| "/run/provision-lab".into());
        let socket = format!("unix://{run_folder}/docker.sock");
        let name = format!("{}-{host}", self.name);
        run(Command::new("docker").args(["-H", &socket, "container", "inspect", "-f", "{{.Name}}", &name])).code
            == Some(0)
    }

    /// A call of the lab, not started.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(checkout().join("tests/lab/lab"));
        command.args(arguments).env("LAB_NAME", &self.name).env("LAB_SUBNET", &self.subnet);
        command.env("KUBERNETES", &self.version);
        // Scenarios say themselves which network they want.
        command.env("LAB_NETWORK", "flannel");
        command
    }

    /// The Kubernetes version of the hosts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder with `cluster.yml` and everything else of this lab.
    pub fn folder(&self) -> PathBuf {
        checkout().join("target").join(&self.name)
    }

    /// The cluster's file.
    pub fn config(&self) -> PathBuf {
        self.folder().join("cluster.yml")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder().join("cluster.state")
    }

    /// Replaces a text in `cluster.yml`, which must be there.
    #[track_caller]
    pub fn edit_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).expect("cluster.yml");
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        fs::write(self.config(), text.replace(from, to)).expect("cluster.yml");
    }

    /// A host's address, or the registry's.
    pub fn address(&self, host: &str) -> String {
        if host == "registry" {
            return format!("172.30.{}.5", self.subnet);
        }
        let number: u8 = host.trim_start_matches('h').parse().expect("a host is named h1, h2, ...");
        format!("172.30.{}.{}", self.subnet, 10 + number)
    }

    /// Runs a shell script on a host as root, not over SSH; it must succeed. Its output is returned.
    #[track_caller]
    pub fn script(&self, host: &str, script: &str) -> String {
        self.try_script(host, script).succeeded().stdout
    }

    /// The same, for scripts that may fail.
    pub fn try_script(&self, host: &str, script: &str) -> Ran {
        run_with_input(&mut self.program(&["exec", host, "bash", "-eu", "-s"]), script.as_bytes())
    }

    /// Asks a host's etcd as the member itself.
    pub fn etcdctl(&self, host: &str, command: &str) -> Ran {
        let script = format!(
            r#"
            argument() {{ docker inspect -f '{{{{range .Args}}}}{{{{println .}}}}{{{{end}}}}' etcd | sed -n "s/^--$1=//p"; }}
            docker exec etcd /usr/local/bin/etcdctl --endpoints=https://127.0.0.1:2379 --cacert "$(argument trusted-ca-file)" \
                --cert "$(argument cert-file)" --key "$(argument key-file)" {command}
            "#
        );
        self.try_script(host, &script)
    }

    /// Puts a file of this machine on a host, executable.
    pub fn send(&self, host: &str, from: &Path, to: &str) {
        self.feed(host, from, &["install", "-m", "755", "/dev/stdin", to]);
    }

    /// Gives a file of this machine to a program on a host.
    pub fn feed(&self, host: &str, from: &Path, program: &[&str]) {
        let bytes = fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        run_with_input(&mut self.program(&[&["exec", host], program].concat()), &bytes).succeeded();
    }

    /// The folder of a bundle, built first if need be: a Kubernetes version or `workload`.
    pub fn bundle(&self, name: &str) -> PathBuf {
        static FOLDERS: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
        let built = || PathBuf::from(self.command(&["bundle", name]).succeeded().text());
        let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        folders.entry(name.to_owned()).or_insert_with(built).clone()
    }

    /// Bundles made of the folders that `LAB_BUNDLES` names.
    pub fn more_bundles(&self) -> Vec<PathBuf> {
        let folders = std::env::var("LAB_BUNDLES").unwrap_or_default();
        let folders = folders.split(':').filter(|folder| !folder.is_empty());
        folders.map(|folder| PathBuf::from(self.command(&["archives", folder]).succeeded().text())).collect()
    }

    /// The tool, aimed at this lab.
    pub fn tool(&self) -> Tool {
        Tool::new(&self.config(), &self.bundle(&self.version))
    }

    /// Puts the image for trying workloads on all hosts.
    pub fn load_workload_image(&self) {
        self.command(&["workload-image"]).succeeded();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ran = self.command(&["down"]);
        if !std::thread::panicking() {
            ran.succeeded();
        }
    }
}

/// The root of the sources.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

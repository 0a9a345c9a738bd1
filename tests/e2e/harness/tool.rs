//! The program under test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::lab::checkout;
use super::{Ran, SECOND, run, until};

/// `provision`, aimed at one cluster.
#[derive(Debug, Clone)]
pub struct Tool {
    config: PathBuf,
    bundles: Vec<PathBuf>,
    catalog: PathBuf,
    variables: Vec<(String, String)>,
}

impl Tool {
    /// With the lab's catalog and one bundle.
    pub fn new(config: &Path, bundle: &Path) -> Self {
        Self { config: config.into(), bundles: vec![bundle.into()], catalog: Self::catalog(), variables: Vec::new() }
    }

    /// Without any bundle: everything comes from registries and sites.
    pub fn without_bundle(mut self) -> Self {
        self.bundles.clear();
        self
    }

    /// With a variable in its environment.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// With another catalog laid over the shipped one.
    pub fn with_catalog(mut self, catalog: &Path) -> Self {
        self.catalog = catalog.into();
        self
    }

    /// One more bundle.
    pub fn with_bundle(mut self, bundle: &Path) -> Self {
        self.bundles.push(bundle.into());
        self
    }

    /// The program's own file.
    pub fn program() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_provision"))
    }

    /// The catalog that is laid over the shipped one.
    pub fn catalog() -> PathBuf {
        checkout().join("tests/lab/catalog.yml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Self::program());
        command.args(arguments).arg("--config").arg(&self.config);
        let of_state = matches!(arguments.first(), Some(&("history" | "log" | "diff")));
        if !of_state {
            command.arg("--catalog").arg(&self.catalog);
        }
        if !of_state && !matches!(arguments.first(), Some(&("validate" | "images" | "bundle"))) {
            for bundle in &self.bundles {
                command.arg("--bundle").arg(bundle);
            }
        }
        // Keys come from cluster.yml alone.
        command.env_remove("SSH_AUTH_SOCK");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let ran = run(&mut self.command(arguments));
        println!("{ran}");
        ran
    }

    /// `up --yes`, to its end.
    pub fn up(&self) -> Ran {
        self.run(&["up", "--yes"])
    }

    /// `plan`, to its end.
    pub fn plan(&self) -> Ran {
        self.run(&["plan"])
    }

    /// `up --yes`, which must find nothing to do. A run that has only waited for what was not ready for a moment is repeated:
    /// pods and the API of metrics may be so at any time. One that changes something, or has only its own records to
    /// complete, fails at once.
    #[track_caller]
    pub fn finds_nothing_to_do(&self) -> Ran {
        // A plan is printed where something is to be changed.
        let has_only_waited =
            |ran: &Ran| ran.code == Some(0) && ran.text().starts_with("Cluster ") && !ran.text().contains("(0 step");
        let ran = until("nothing to do", 120 * SECOND, || {
            let ran = self.up();
            if has_only_waited(&ran) { Err(ran.to_string()) } else { Ok(ran) }
        });
        assert_eq!(ran.text(), "Nothing to do.", "{ran}");
        ran.succeeded()
    }

    /// Whether nothing is to be changed and nothing to be waited for.
    pub fn plans_nothing(&self) -> Result<(), String> {
        let plan = self.plan().result()?;
        if plan.text() == "Nothing to do." { Ok(()) } else { Err(plan.to_string()) }
    }

    /// Starts `up --yes` and returns while it works; its events can be read one by one.
    pub fn start_up(&self) -> Running {
        self.start(&["up", "--yes"])
    }

    /// Starts a command and returns while it works; its events can be read one by one.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(&[arguments, &["--progress", "json"]].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the tool starts");
        let events = BufReader::new(child.stderr.take().expect("standard error is a pipe"));
        Running { child, events, seen: Vec::new(), started: Instant::now() }
    }
}

/// A command that is at work.
pub struct Running {
    child: Child,
    events: BufReader<std::process::ChildStderr>,
    seen: Vec<String>,
    started: Instant,
}

impl Running {
    /// The next event, as one line of JSON; none when the program closed its output.
    pub fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        self.events.read_line(&mut line).expect("events are text");
        if line.is_empty() {
            return None;
        }
        self.seen.push(line.clone());
        Some(line)
    }

    /// Reads events until one contains all of these texts.
    #[track_caller]
    pub fn read_until(&mut self, texts: &[&str]) {
        while let Some(line) = self.next() {
            if texts.iter().all(|text| line.contains(text)) {
                return;
            }
        }
        panic!("it ended before an event with {texts:?}; its events:\n{}", self.seen.concat());
    }

    /// Everything that was read so far.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("the tool can be killed");
        self.child.wait().expect("the tool ends");
        println!("{:7.1} s  it was killed after {} events", self.started.elapsed().as_secs_f64(), self.seen.len());
        self.seen
    }

    /// Asks it to stop, as Ctrl-C does, and waits for its end. Gives its exit code, and all that it has said.
    pub fn interrupt(mut self) -> (Option<i32>, String) {
        run(Command::new("kill").args(["-INT", &self.child.id().to_string()])).succeeded();
        while self.next().is_some() {}
        let code = self.child.wait().expect("the tool ends").code();
        let took = self.started.elapsed().as_secs_f64();
        let seen = self.seen.concat();
        println!("{took:7.1} s  it was interrupted and ended with {code:?}; its events:\n{seen}");
        (code, seen)
    }

    /// Its number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Time since it was started.
    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for its end, which must be a good one, after all events were read.
    #[track_caller]
    pub fn wait_well(&mut self) -> Duration {
        let status = self.child.wait().expect("the tool ends");
        assert!(status.success(), "it ended with {status}; its events:\n{}", self.seen.concat());
        self.since_start()
    }

    /// Reads to the end; it must have gone well.
    #[track_caller]
    pub fn finish(mut self) -> Vec<String> {
        while self.next().is_some() {}
        self.wait_well();
        self.seen
    }
}

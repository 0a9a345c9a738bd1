//! Each command: from arguments to a use case, from its result to text and exit code.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::base::{KubernetesVersion, RunId};
use crate::bundle::Bundles;
use crate::cluster::OnFailure;
use crate::engine::Cancellation;
use crate::entropy;
use crate::event::{Event, EventSink};
use crate::journal::{Holder, RealDisk, State, StateFolder};
use crate::ops::{
    self, ConnectOptions, Consent, Extras, Loaded, NetworkCheckInput, NetworkCheckOptions, NetworkSuppliers,
    OperationError, Setup, SshReach, SupplyEnvironment, SurveyInput, UpInput, UpOutcome,
};
use crate::pki::PkiError;
use crate::plan::Plan;
use crate::report::Console;
use crate::state::ImageReference;

use super::arguments::{
    Arguments, BundleCommand, CheckCommand, Command, Common, Connect, EtcdCommand, Lenience, NetworkCheck,
    OnFailureChoice, Progress,
};
use super::snapshots::{self, Typed};
use super::{exit, past};

/// Runs a command to its exit code.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::Validate(common) => validate(&common),
        Command::Plan { connect, lenience } => block_on(plan(&connect, lenience)),
        Command::Up { connect, lenience, step_timeout, on_failure, yes } => {
            let manner = Manner { patience: Duration::from_secs(step_timeout), yes };
            block_on(up(&connect, lenience, on_failure, manner))
        }
        Command::Rollback { connect, to, restore_snapshot, accept_loss_since, step_timeout, yes } => {
            let manner = Manner { patience: Duration::from_secs(step_timeout), yes };
            let restore = restore_snapshot.then_some(accept_loss_since.as_deref());
            block_on(rollback(&connect, to, restore, manner))
        }
        Command::Images { common, kubernetes_version, targets, network_check } => {
            let extras = Extras { network_check, ..Extras::default() };
            images(&common, kubernetes_version.as_deref(), targets, extras)
        }
        Command::Bundle(BundleCommand::Create { common, output, kubectl, network_check, progress }) => {
            block_on(create_bundle(&common, &output, Extras { kubectl, network_check }, progress))
        }
        Command::Check(CheckCommand::Network { connect, network }) => block_on(check_network(&connect, &network)),
        Command::Etcd(EtcdCommand::Snapshot(command)) => block_on(snapshots::run(&command)),
        Command::Status(connect) => block_on(status(&connect)),
        Command::History { state, json } => past::history(&state, json),
        Command::Log { state, run, json } => past::log(&state, &run, json),
        Command::Diff { state, from, to, json } => past::diff(&state, from, to, json),
        Command::Kubeconfig { connect, output } => block_on(kubeconfig(&connect, output)),
    };
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            say_error(&error);
            exit::code(&error).into()
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, OperationError>;

fn block_on(command: impl Future<Output = Result<u8>>) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|source| OperationError::LocalFile {
        operation: "starting threads for",
        path: PathBuf::from("provision"),
        source,
    })?;
    runtime.block_on(command)
}

/// What is written after an error: the error with its causes, and the next step.
fn say_error(error: &OperationError) {
    say_failure(error, error.hint());
}

fn say_failure(error: &OperationError, hint: Option<&str>) {
    let mut text = format!("error: {error}\n");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!("  because: {cause}\n"));
        source = cause.source();
    }
    if let Some(hint) = hint {
        text.push_str(&format!("help: {hint}\n"));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writing to a closed pipe is no error of ours.
pub(super) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn setup(common: &Common) -> Setup {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    Setup { config: common.config.clone(), catalog: common.catalog.clone(), home }
}

fn load(common: &Common) -> Result<(Setup, Loaded)> {
    let setup = setup(common);
    let loaded = ops::load(&setup)?;
    for advice in &loaded.advice {
        let _ = writeln!(std::io::stderr(), "{advice}");
    }
    Ok((setup, loaded))
}

fn validate(common: &Common) -> Result<u8> {
    let (setup, loaded) = load(common)?;
    let nodes = loaded.cluster.nodes.len();
    say(&format!(
        "{} is valid: cluster {}, Kubernetes {}, {nodes} nodes\n",
        setup.config.display(),
        loaded.cluster.name,
        loaded.cluster.version
    ));
    Ok(exit::SUCCESS)
}

fn images(common: &Common, version: Option<&str>, targets: bool, extras: Extras) -> Result<u8> {
    let (_, loaded) = load(common)?;
    let wrong = |error: crate::base::InvalidVersion| OperationError::Input(error.to_string());
    let version = version.map(KubernetesVersion::parse).transpose().map_err(wrong)?;
    for image in ops::images(&loaded, version.as_ref(), extras)? {
        let target = if targets { format!(" {}", image.pulled) } else { String::new() };
        say(&format!("{}{target}\n", image.original));
    }
    Ok(exit::SUCCESS)
}

async fn create_bundle(common: &Common, output: &Path, extras: Extras, progress: Progress) -> Result<u8> {
    let (_, loaded) = load(common)?;
    let (suppliers, console) = (suppliers(&loaded)?, console(progress));
    let created = ops::create_bundle(&loaded, &suppliers, &console, output, extras).await;
    console.finish();
    let ops::CreatedBundle { images, files } = created?;
    say(&format!(
        "{} holds {images} images and {files} files for Kubernetes {}.\n  provision up --config {} --bundle {}\n",
        output.display(),
        loaded.release.version,
        common.config.display(),
        output.display(),
    ));
    Ok(exit::SUCCESS)
}

/// Everything that a command with hosts begins with.
pub(super) struct Invocation {
    pub setup: Setup,
    pub loaded: Loaded,
    pub bundles: Bundles,
    pub suppliers: NetworkSuppliers,
    pub reach: SshReach,
    pub console: Console,
    pub now: i64,
}

impl Invocation {
    pub fn open(connect: &Connect) -> Result<Self> {
        let (setup, loaded) = load(&connect.common)?;
        Self::of(connect, setup, loaded)
    }

    fn of(connect: &Connect, setup: Setup, loaded: Loaded) -> Result<Self> {
        let bundles = Bundles::open(&connect.bundle)?;
        let options = ConnectOptions {
            known_hosts: setup.known_hosts(),
            strict: connect.strict_host_keys,
            timeout: Duration::from_secs(connect.connect_timeout),
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
        };
        let now = jiff::Timestamp::now().as_second();
        let (reach, console) = (SshReach(options), console(connect.progress));
        let suppliers = suppliers(&loaded)?;
        Ok(Self { setup, loaded, bundles, suppliers, reach, console, now })
    }

    /// The same with the add-ons that lie at sites: for everything that compares the cluster with its file.
    async fn open_whole(connect: &Connect) -> Result<Self> {
        Self::open(connect)?.whole().await
    }

    async fn whole(mut self) -> Result<Self> {
        ops::fetch_addons(&mut self.loaded, &self.suppliers, &self.console).await?;
        Ok(self)
    }

    fn survey_input<'a>(&'a self, state: &'a State) -> SurveyInput<'a> {
        SurveyInput {
            loaded: &self.loaded,
            state,
            bundles: &self.bundles,
            suppliers: Some(&self.suppliers),
            reach: &self.reach,
            now: self.now,
            events: &self.console,
            allow_missing_images: false,
            back_to: None,
            restoration: None,
        }
    }

    pub fn peek(&self) -> Result<State> {
        Ok(State::peek(&RealDisk, &self.setup.state_folder())?)
    }
}

/// Variables that are no text are none of those that matter.
fn suppliers(loaded: &Loaded) -> Result<NetworkSuppliers> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let environment = SupplyEnvironment::of(std::env::vars_os().filter_map(text))?;
    Ok(NetworkSuppliers::new(&loaded.cluster.supply, &loaded.authorities, environment))
}

fn console(progress: Progress) -> Console {
    let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::stderr().is_terminal();
    match progress {
        Progress::Json => Console::json(),
        Progress::Plain => Console::plain(),
        Progress::Auto if plain => Console::plain(),
        Progress::Auto => Console::display(),
    }
}

async fn plan(connect: &Connect, lenience: Lenience) -> Result<u8> {
    let invocation = Invocation::open_whole(connect).await?;
    let state = invocation.peek()?;
    let input = lenient(invocation.survey_input(&state), lenience);
    let survey = ops::survey(&input).await?;
    for text in survey.notices() {
        invocation.console.emit(Event::Notice { text });
    }
    invocation.console.finish();
    if let Some(crossing) = &survey.crossing {
        say(&format!("{crossing}\n"));
    }
    say(&format!("{}\n", survey.plan));
    let changes = survey.plan.changes() > 0 || !survey.plan.refusals.is_empty();
    Ok(if changes { exit::CHANGES } else { exit::SUCCESS })
}

pub(super) fn new_run() -> Result<RunId> {
    let no_name = |source| PkiError::NoKey { name: "this run".into(), source };
    Ok(entropy::run_id(jiff::Timestamp::now()).map_err(no_name)?)
}

fn lenient<'a>(input: SurveyInput<'a>, lenience: Lenience) -> SurveyInput<'a> {
    SurveyInput { allow_missing_images: lenience.allow_missing_images, ..input }
}

/// How a run goes about its work.
#[derive(Clone, Copy)]
struct Manner {
    patience: Duration,
    yes: bool,
}

async fn up(connect: &Connect, lenience: Lenience, on_failure: Option<OnFailureChoice>, manner: Manner) -> Result<u8> {
    let invocation = Invocation::open_whole(connect).await?;
    let run = new_run()?;
    let holder = Holder::this_process(run.clone());
    let mut folder = StateFolder::open(Arc::new(RealDisk), &invocation.setup.state_folder(), holder)?;
    let state = folder.state().clone();
    let cancellation = Cancellation::default();
    let interrupts = tokio::spawn(listen(cancellation.clone()));
    let consent = Terminal { console: &invocation.console, yes: manner.yes };
    let input = UpInput {
        survey: lenient(invocation.survey_input(&state), lenience),
        run,
        consent: &consent,
        cancellation: &cancellation,
        patience: manner.patience,
    };
    let result = ops::up(&mut folder, &input).await;
    interrupts.abort();
    invocation.console.finish();
    if let Err(error @ OperationError::Incomplete { .. }) = &result
        && goes_back(on_failure, &invocation.loaded)
    {
        say_error(error);
        let reason = ops::reason_to_stay(folder.state(), &invocation.loaded.catalog, cancellation.stops());
        return take_back(connect, &mut folder, reason, manner).await;
    }
    match result? {
        UpOutcome::NothingToDo => say("Nothing to do.\n"),
        UpOutcome::Applied { steps } => say(&applied(&invocation, steps)),
    }
    Ok(exit::SUCCESS)
}

/// After an upgrade that failed, unless there is a reason not to. Gives the exit code: it has failed all the same.
async fn take_back(connect: &Connect, folder: &mut StateFolder, reason: Option<&str>, manner: Manner) -> Result<u8> {
    if let Some(reason) = reason {
        say(&format!("Nothing is taken back: {reason}.\n"));
        return Ok(exit::FAILED);
    }
    say("Taking back what was upgraded.\n");
    folder.next_run(Holder::this_process(new_run()?))?;
    let Err(error) = go_back(connect, folder, None, None, Manner { yes: true, ..manner }).await else {
        return Ok(exit::FAILED);
    };
    // The upgrade has changed hosts, whatever the way back was kept from.
    say_failure(&error, Some("the upgrade was not taken back; run `provision rollback` once that is mended"));
    Ok(if matches!(error, OperationError::Cancelled) { exit::CANCELLED } else { exit::FAILED })
}

/// The command line counts before the file.
fn goes_back(on_failure: Option<OnFailureChoice>, loaded: &Loaded) -> bool {
    match on_failure {
        Some(choice) => choice == OnFailureChoice::Rollback,
        None => loaded.cluster.upgrade.on_failure == OnFailure::RollBack,
    }
}

/// Whether etcd's data goes back too; with the name of the snapshot after which everything may be lost, where nobody shall be
/// asked.
type Restore<'a> = Option<Option<&'a str>>;

async fn rollback(connect: &Connect, to: Option<u32>, restore: Restore<'_>, manner: Manner) -> Result<u8> {
    let setup = setup(&connect.common);
    let holder = Holder::this_process(new_run()?);
    let mut folder = StateFolder::open(Arc::new(RealDisk), &setup.state_folder(), holder)?;
    go_back(connect, &mut folder, to, restore, manner).await
}

/// What cluster.yml says now is of no interest: it may be what made the trouble.
async fn go_back(
    connect: &Connect,
    folder: &mut StateFolder,
    to: Option<u32>,
    restore: Restore<'_>,
    manner: Manner,
) -> Result<u8> {
    let setup = setup(&connect.common);
    let run = folder.run().clone();
    let state = folder.state().clone();
    let target = ops::rollback_target(&state, &ops::catalog(&setup)?, to)?;
    let loaded = ops::load_generation(&setup, target)?;
    let invocation = Invocation::of(connect, setup, loaded)?.whole().await?;
    let cancellation = Cancellation::default();
    let interrupts = tokio::spawn(listen(cancellation.clone()));
    let consent = Terminal { console: &invocation.console, yes: manner.yes };
    let survey = SurveyInput { back_to: Some(target), ..invocation.survey_input(&state) };
    let patience = manner.patience;
    let input = UpInput { survey, run, consent: &consent, cancellation: &cancellation, patience };
    let result = match restore {
        None => ops::rollback(folder, &input).await,
        Some(accepted) => {
            let cluster = &invocation.loaded.cluster.name;
            let typed = Typed { console: &invocation.console, cluster, accepted };
            ops::rollback_with_snapshot(folder, &input, &typed).await
        }
    };
    interrupts.abort();
    invocation.console.finish();
    let config = invocation.setup.config.display();
    match result? {
        UpOutcome::NothingToDo => say(&format!("The cluster is what generation {} was made from.\n", target.number)),
        UpOutcome::Applied { steps } => say(&format!(
            "The cluster is back at generation {}, Kubernetes {} ({steps} step{}). {config} was left alone: the next `provision up` \
             goes by it.\n",
            target.number,
            invocation.loaded.cluster.version,
            plural(steps),
        )),
    }
    Ok(exit::SUCCESS)
}

async fn check_network(connect: &Connect, wanted: &NetworkCheck) -> Result<u8> {
    let invocation = Invocation::open(connect)?;
    let state = invocation.peek()?;
    let run = new_run()?;
    let options = network_options(wanted)?;
    let cancellation = Cancellation::default();
    let interrupts = tokio::spawn(listen(cancellation.clone()));
    let input = NetworkCheckInput {
        loaded: &invocation.loaded,
        state: &state,
        bundles: &invocation.bundles,
        reach: &invocation.reach,
        now: invocation.now,
        mark: run.0.rsplit('-').next().unwrap_or_default(),
        events: &invocation.console,
        cancellation: &cancellation,
        options: &options,
    };
    let result = ops::check_network(&input).await;
    interrupts.abort();
    invocation.console.finish();
    let report = result?;
    if wanted.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| OperationError::Input(error.to_string()))?;
        say(&format!("{text}\n"));
    } else {
        say(&report.to_string());
    }
    Ok(if report.works { exit::SUCCESS } else { exit::CHANGES })
}

/// What stands in these options becomes part of requests: only what an image or a name may be.
fn network_options(wanted: &NetworkCheck) -> Result<NetworkCheckOptions> {
    let is_plain = |text: &str, signs: &str| {
        let plain = |sign: char| sign.is_ascii_alphanumeric() || signs.contains(sign);
        !text.is_empty() && text.len() <= 253 && text.chars().all(plain)
    };
    let refused = |option: &str, text: &str| OperationError::Input(format!("{option} {text:?}: not such a name"));
    if let Some(name) = wanted.outside.as_deref().filter(|name| !is_plain(name, ".-_")) {
        return Err(refused("--outside", name));
    }
    if let Some(name) = wanted.image.as_deref().filter(|name| !is_plain(name, ".-_:/@")) {
        return Err(refused("--image", name));
    }
    Ok(NetworkCheckOptions {
        timeout: Duration::from_secs(wanted.timeout),
        image: wanted.image.as_deref().map(ImageReference::full),
        outside: wanted.outside.clone(),
    })
}

/// Ctrl-C: the first lets running steps end, the second gives up on them.
pub(super) async fn listen(cancellation: Cancellation) {
    while tokio::signal::ctrl_c().await.is_ok() {
        cancellation.request();
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn applied(invocation: &Invocation, steps: usize) -> String {
    let cluster = &invocation.loaded.cluster;
    let config = invocation.setup.config.display();
    format!(
        "Cluster {} runs Kubernetes {} ({steps} step{}).\n{}  provision kubeconfig --config {config} --output kubeconfig\n  kubectl --kubeconfig kubeconfig get nodes\n",
        cluster.name,
        cluster.version,
        plural(steps),
        pod_security(cluster.pod_security),
    )
}

fn pod_security(level: crate::cluster::PodSecurity) -> &'static str {
    match level {
        crate::cluster::PodSecurity::Restricted => {
            "Pod security is `restricted`: a pod must run as a non-root user, drop all capabilities, allow no privilege\n\
             escalation and use the RuntimeDefault seccomp profile; others are refused. See README, \"What restricted means\".\n"
        }
        crate::cluster::PodSecurity::Baseline => "Pod security is `baseline`.\n",
        crate::cluster::PodSecurity::Privileged => {
            "Pod security is `privileged`: pods may do anything to their node.\n"
        }
    }
}

/// The operator at the terminal; without one, only `--yes` is consent.
struct Terminal<'a> {
    console: &'a Console,
    yes: bool,
}

impl Consent for Terminal<'_> {
    fn ask<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.console.suspend(|| say(&format!("{plan}\n")));
            if self.yes {
                return true;
            }
            if !std::io::stdin().is_terminal() {
                say("Standard input is no terminal: give --yes to carry this out.\n");
                return false;
            }
            self.console.suspend(|| {
                say("Carry this out? [y/N] ");
                let _ = std::io::stdout().flush();
                let mut answer = String::new();
                let read = std::io::stdin().read_line(&mut answer).is_ok();
                read && matches!(answer.trim(), "y" | "Y" | "yes")
            })
        })
    }
}

async fn status(connect: &Connect) -> Result<u8> {
    let invocation = Invocation::open_whole(connect).await?;
    let state = invocation.peek()?;
    let status = ops::status(&invocation.survey_input(&state)).await?;
    invocation.console.finish();
    say(&status.to_string());
    Ok(if status.is_healthy() { exit::SUCCESS } else { exit::CHANGES })
}

async fn kubeconfig(connect: &Connect, output: Option<PathBuf>) -> Result<u8> {
    let invocation = Invocation::open(connect)?;
    let state = invocation.peek()?;
    let text = ops::kubeconfig(&invocation.survey_input(&state)).await?;
    invocation.console.finish();
    match output {
        None => say(&String::from_utf8_lossy(text.expose())),
        Some(path) => ops::write_private(&path, &text)?,
    }
    Ok(exit::SUCCESS)
}

//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::ops::PATIENCE;

/// Kubernetes on your own machines, from one cluster.yml.
#[derive(Debug, Parser)]
#[command(name = "provision", version, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check cluster.yml without connecting anywhere.
    Validate(Common),
    /// Show what `up` would change on each host, and why. Exit code 2 when there are changes.
    Plan {
        #[command(flatten)]
        connect: Connect,
        #[command(flatten)]
        lenience: Lenience,
    },
    /// Bring the hosts to the state that cluster.yml describes.
    Up {
        #[command(flatten)]
        connect: Connect,
        #[command(flatten)]
        lenience: Lenience,
        /// Seconds that a step waits for what it has started, such as pods that pull large images.
        #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE.as_secs())]
        step_timeout: u64,
        /// What is done after a component that was replaced did not get healthy and the old one is back: end, or take back
        /// all that the run has upgraded. Without it what cluster.yml says (`upgrade_strategy.on_failure`), else end.
        #[arg(long, value_name = "WHAT")]
        on_failure: Option<OnFailureChoice>,
        /// Do not ask before changing something.
        #[arg(long, short)]
        yes: bool,
    },
    /// Take an upgrade back: bring the cluster to what an earlier generation was made from.
    Rollback {
        #[command(flatten)]
        connect: Connect,
        /// The generation to go back to; without it the one before the last upgrade.
        #[arg(long, value_name = "NUMBER")]
        to: Option<u32>,
        /// Replace etcd's data with the snapshot that was taken before the upgrade. What was written after it is lost.
        #[arg(long)]
        restore_snapshot: bool,
        /// Do not ask: everything after this snapshot may be lost. NAME must be the name of the snapshot that is restored.
        #[arg(long, value_name = "NAME", requires = "restore_snapshot")]
        accept_loss_since: Option<String>,
        /// Seconds that a step waits for what it has started.
        #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE.as_secs())]
        step_timeout: u64,
        /// Do not ask before changing something.
        #[arg(long, short, conflicts_with = "restore_snapshot")]
        yes: bool,
    },
    /// List the images that this cluster needs, one a line.
    Images {
        #[command(flatten)]
        common: Common,
        /// The images of another version than that of cluster.yml.
        #[arg(long, value_name = "VERSION")]
        kubernetes_version: Option<String>,
        /// Write the name under which hosts pull it behind each name.
        #[arg(long)]
        targets: bool,
        /// The image of `check network` as well.
        #[arg(long)]
        network_check: bool,
    },
    /// Work with bundles for sites without internet.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Try out what a cluster shall do.
    #[command(subcommand)]
    Check(CheckCommand),
    /// Work with etcd, where the cluster's state lies.
    #[command(subcommand)]
    Etcd(EtcdCommand),
    /// Show nodes, components and certificates.
    Status(Connect),
    /// List the generations and runs of the state folder.
    History {
        #[command(flatten)]
        state: StateOf,
        /// Write them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replay what a run did, as plain lines.
    Log {
        #[command(flatten)]
        state: StateOf,
        /// The run, or the beginning of its name; `provision history` lists them.
        run: String,
        /// Write the records of its journal, one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Compare two generations: cluster.yml, and the images and files that are pinned.
    Diff {
        #[command(flatten)]
        state: StateOf,
        /// Number of the one.
        from: u32,
        /// Number of the other.
        to: u32,
        /// Write the difference as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a kubeconfig: one context for each control plane, a healthy one current.
    Kubeconfig {
        #[command(flatten)]
        connect: Connect,
        /// Write to this file (mode 0600) instead of standard output.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// What can be tried out.
#[derive(Debug, Subcommand)]
pub enum CheckCommand {
    /// Connections between all nodes and pods, Services, names, NetworkPolicy. Exit code 2 when something does not work.
    Network {
        #[command(flatten)]
        connect: Connect,
        #[command(flatten)]
        network: NetworkCheck,
    },
}

/// What can be done with etcd.
#[derive(Debug, Subcommand)]
pub enum EtcdCommand {
    /// Take, list, verify and restore snapshots; they are kept on the etcd hosts.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

/// What can be done with snapshots.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Take a snapshot, keep it on every etcd host and verify it there.
    Save {
        #[command(flatten)]
        connect: Connect,
        /// Its name; the time and a few random digits where none is given.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// List the snapshots on all etcd hosts. Exit code 2 when one is damaged or missing somewhere.
    List {
        #[command(flatten)]
        connect: Connect,
        /// Write the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read every byte and restore it into a scratch etcd on each etcd host. Exit code 2 when something is wrong.
    Verify {
        #[command(flatten)]
        connect: Connect,
        /// The snapshot; all of them where none is named.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Take the whole cluster back to a snapshot. What was written after it is lost.
    Restore {
        #[command(flatten)]
        connect: Connect,
        /// The snapshot.
        #[arg(value_name = "NAME", required_unless_present = "abort")]
        name: Option<String>,
        /// Do not ask: everything after this snapshot may be lost. NAME must be the snapshot's own name once more.
        #[arg(long, value_name = "NAME")]
        accept_loss_since: Option<String>,
        /// Give up the restore that was begun, be it one of `rollback`: etcd goes on with the data that it had. Refused once a
        /// member's data was moved.
        #[arg(long, conflicts_with_all = ["name", "accept_loss_since"])]
        abort: bool,
        /// Seconds that a step waits for what it has started.
        #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE.as_secs())]
        step_timeout: u64,
    },
}

/// Options of `check network`.
#[derive(Debug, Clone, Args)]
pub struct NetworkCheck {
    /// Write the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Seconds after which the check is given up; its pods are removed in any case.
    #[arg(long, value_name = "SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// The image of the test pods (agnhost), in the place of the catalog's.
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// A name outside of the cluster that pods shall resolve; a datagram is sent there.
    #[arg(long, value_name = "NAME")]
    pub outside: Option<String>,
}

/// What can be done with bundles.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Make a bundle of everything that this cluster needs, from registries and download sites.
    Create {
        #[command(flatten)]
        common: Common,
        /// The folder that becomes the bundle; one that an earlier try left is gone on with.
        #[arg(long, short, value_name = "FOLDER")]
        output: PathBuf,
        /// Put kubectl into it as well.
        #[arg(long)]
        kubectl: bool,
        /// Put the image of `check network` into it as well.
        #[arg(long)]
        network_check: bool,
        /// How to show progress.
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Progress::Auto)]
        progress: Progress,
    },
}

/// Options of commands that only read the state folder.
#[derive(Debug, Clone, Args)]
pub struct StateOf {
    /// The cluster's description; it is not read, the state is kept beside it.
    #[arg(long, short, value_name = "FILE", default_value = "cluster.yml")]
    pub config: PathBuf,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The cluster's description; state is kept beside it.
    #[arg(long, short, value_name = "FILE", default_value = "cluster.yml")]
    pub config: PathBuf,
    /// A release catalog laid over the built-in one.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
}

/// Options of commands that talk to hosts.
#[derive(Debug, Clone, Args)]
pub struct Connect {
    #[command(flatten)]
    pub common: Common,
    /// A folder with images and files for hosts that lack them; may be given several times.
    #[arg(long, value_name = "FOLDER")]
    pub bundle: Vec<PathBuf>,
    /// Refuse hosts whose SSH key is not known yet, instead of recording it.
    #[arg(long)]
    pub strict_host_keys: bool,
    /// Seconds until a connection attempt is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub connect_timeout: u64,
    /// How to show progress.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
}

/// What a plan goes on without.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Lenience {
    /// Go on where nobody has an image that is run in pods: they wait for it, and `up` ends with exit code 6.
    #[arg(long)]
    pub allow_missing_images: bool,
}

/// What is done after a failure that was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OnFailureChoice {
    /// The run ends; what was upgraded stays so.
    Stop,
    /// All that was upgraded goes back too.
    Rollback,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Progress {
    /// A display on a terminal, lines elsewhere.
    Auto,
    /// One line per event.
    Plain,
    /// One JSON object per event.
    Json,
}

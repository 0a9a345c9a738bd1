//! The figures of `make bench`: what takes how long on the lab, beside `kubeadm init` on the same host. Prints a
//! table; no time is asserted, since that depends on the machine and on what else it does.
//!
//! Words after `--` choose among them: `cargo test --release --test bench -- three-nodes`.

#[expect(dead_code, unused_imports, reason = "the end-to-end scenarios use the rest of it")]
#[path = "../e2e/harness/mod.rs"]
mod harness;

mod kubeadm;
mod measured;
mod sending;
mod upgrades;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use harness::probes::Target;
use harness::tool::Tool;
use harness::{Lab, V1_34};
use measured::{Measured, measure};
use upgrades::{Asked, Upgraded};

/// How often the short commands are measured; the middle value counts.
const REPEATS: usize = 5;

/// What adds its rows to the table.
type Figures = fn(&mut Table);

/// What can be measured, by name.
const FIGURES: [(&str, Figures); 8] = [
    ("help", help),
    ("one-node", one_node),
    ("three-nodes", three_nodes),
    ("sending", sending),
    ("upgrade", upgrade),
    ("upgrade-drained", upgrade_drained),
    ("upgrade-one", upgrade_one),
    ("bad-image", bad_image),
];

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("bench: built without optimisation, the figures mean nothing; use `make bench`");
        return ExitCode::FAILURE;
    }
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut table = Table::default();
    for (name, figures) in FIGURES {
        if chosen.is_empty() || chosen.iter().any(|word| word == name) {
            figures(&mut table);
        }
    }
    println!("\n{}", table.text());
    ExitCode::SUCCESS
}

fn help(table: &mut Table) {
    let times = (0..4 * REPEATS).map(|_| {
        let started = Instant::now();
        let output = Command::new(Tool::program()).arg("--help").output().expect("the tool starts");
        assert!(output.status.success(), "{output:?}");
        started.elapsed()
    });
    table.row("provision --help", &milliseconds(median(times.collect())), "<= 10 ms");
}

/// Both start from the same copy of a prepared host: runtime installed, images and programs present.
fn one_node(table: &mut Table) {
    let kubeadm = {
        let lab = Lab::prepared("1", V1_34);
        kubeadm::init(&lab)
    };
    let lab = Lab::prepared("1", V1_34);
    let up = measure(&mut lab.tool().start_up());
    let registered = up.step("h1/registered").max(up.step("h1/api"));
    let ratio = registered.as_secs_f64() / kubeadm.as_secs_f64();
    table.row("kubeadm init, 1 node", &seconds(kubeadm), "");
    table.row("up, 1 node: API healthy", &seconds(up.step("h1/api")), "");
    table.row("up, 1 node: that and the node registered", &seconds(registered), "");
    table.row("  its ratio to kubeadm init", &format!("{ratio:.2}"), "<= 0.60");
    table.row("up, 1 node: Ready, network and DNS up", &seconds(up.took), "");
    table.row("  peak memory", &mebibytes(up.peak_kibibytes), "<= 50 MiB");
}

fn three_nodes(table: &mut Table) {
    let lab = Lab::prepared("3", V1_34);
    let up = measure(&mut lab.tool().start_up());
    let steps = ["h1/api", "h1/registered", "h2/registered", "h3/registered"];
    let registered = steps.map(|step| up.step(step)).into_iter().max();
    table.row("up, 3 nodes: API healthy, all registered", &seconds(registered.expect("three times")), "<= 15 s");
    table.row("up, 3 nodes: Ready, network and DNS up", &seconds(up.took), "<= 25 s");
    table.row("  peak memory", &mebibytes(up.peak_kibibytes), "<= 50 MiB");
    let mut nothing: Vec<Measured> = (0..REPEATS).map(|_| measure(&mut lab.tool().start_up())).collect();
    nothing.sort_by_key(|run| run.took);
    let middle = &nothing[REPEATS / 2];
    table.row("up, 3 nodes, nothing to do", &seconds(middle.took), "<= 1.0 s");
    table.row("  round trips after the handshake: longest chain", &middle.round_trips("longest_chain"), "<= 3");
    table.row("  round trips of all hosts", &middle.round_trips("total"), "");
    table.row("  peak memory", &mebibytes(middle.peak_kibibytes), "<= 50 MiB");
}

/// At least 0.8 of what `ssh` and the engine's own program reach.
fn sending(table: &mut Table) {
    let lab = Lab::prepared("3", V1_34);
    let mut theirs = 0.0;
    for rate in sending::rates(&lab) {
        let own = rate.what.starts_with("ssh");
        theirs = if own { rate.bytes_per_second } else { theirs };
        let compared = if own { String::new() } else { format!(" ({:.2})", rate.bytes_per_second / theirs) };
        let target = if rate.what.contains("same") { ">= 0.80" } else { "" };
        table.row(&rate.what, &format!("{:.0} MB/s{compared}", rate.bytes_per_second / 1e6), target);
    }
}

const HOSTS: [&str; 4] = ["h1", "h2", "h3", "h4"];
const TARGETS: [Target; 3] = [Target::Proxy, Target::Account, Target::Workload];

fn upgrade(table: &mut Table) {
    let upgraded = upgrades::upgrade("3+1", &HOSTS, &TARGETS, false);
    let target = Duration::from_secs(60) + 3 * upgrades::SHUTDOWN_DELAY;
    table.row("upgrade, 3+1 nodes, without drain", &seconds(upgraded.run.took), "");
    replacing(table, &upgraded, &format!("<= {} s", target.as_secs()));
    if let Some(Asked { failed, total, .. }) = upgraded.asked_broken {
        table.row("apiservers that end at once: requests that failed", &format!("{failed} of {total}"), "> 0");
    }
}

fn upgrade_drained(table: &mut Table) {
    let upgraded = upgrades::upgrade("3+1", &HOSTS, &TARGETS, true);
    table.row("upgrade, 3+1 nodes, each emptied first", &seconds(upgraded.run.took), "");
    table.row("  all drains together", &seconds(upgraded.drains), "");
    replacing(table, &upgraded, "");
}

/// Images are brought before it begins to replace; no target counts them.
fn replacing(table: &mut Table, upgraded: &Upgraded, target: &str) {
    let ratio = upgraded.replacing.as_secs_f64() / upgraded.unavoidable.as_secs_f64();
    table.row("  from the first replacement on", &seconds(upgraded.replacing), target);
    table.row("  what it cannot do without", &seconds(upgraded.unavoidable), "");
    table.row("  the ratio of both", &format!("{ratio:.2}"), "<= 1.30");
    table.row("  peak memory", &mebibytes(upgraded.run.peak_kibibytes), "<= 50 MiB");
    asked(table, &upgraded.asked);
    table.row("rollback of it", &seconds(upgraded.back), "");
    asked(table, &upgraded.asked_back);
}

fn asked(table: &mut Table, asked: &Asked) {
    table.row("  requests, API and workload, that failed", &format!("{} of {}", asked.failed, asked.total), "0");
    table.row("  longest time without an answer", &milliseconds(asked.gap), "<= 1000 ms");
    table.row("  on kept connections", &format!("{} of {}", asked.kept.1, asked.kept.0), "");
}

fn upgrade_one(table: &mut Table) {
    let upgraded = upgrades::upgrade("1", &["h1"], &[Target::Proxy], false);
    let ratio = upgraded.asked.gap.as_secs_f64() / upgraded.apiserver_start.as_secs_f64();
    table.row("upgrade, 1 node, without drain", &seconds(upgraded.run.took), "");
    table.row("  from the first replacement on", &seconds(upgraded.replacing), "<= 20 s");
    table.row("  the API is away", &seconds(upgraded.asked.gap), "");
    table.row("  start of its apiserver by hand", &seconds(upgraded.apiserver_start), "");
    table.row("  the ratio of both", &format!("{ratio:.2}"), "<= 1.20");
    table.row("rollback of it", &seconds(upgraded.back), "");
}

fn bad_image(table: &mut Table) {
    table.row("bad apiserver image, 3 nodes: old one back", &seconds(upgrades::bad_image()), "<= 30 s");
}

/// Rows of three columns.
#[derive(Default)]
struct Table(Vec<[String; 3]>);

impl Table {
    fn row(&mut self, what: &str, measured: &str, target: &str) {
        println!("{what}: {measured}");
        self.0.push([what.to_owned(), measured.to_owned(), target.to_owned()]);
    }

    fn text(&self) -> String {
        let row = |row: &[String; 3]| format!("| {:<50} | {:>16} | {:>10} |\n", row[0], row[1], row[2]);
        let head = ["what", "measured", "target"].map(str::to_owned);
        let line = format!("|{}|{}|{}|\n", "-".repeat(52), "-".repeat(18), "-".repeat(12));
        row(&head) + &line + &self.0.iter().map(row).collect::<String>()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{} MiB", kibibytes.div_ceil(1024))
}

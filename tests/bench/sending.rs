//! Images out of a bundle to hosts, beside what `ssh` and the engines' own programs reach.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use provision::base::{Epoch, NodeName};
use provision::bundle::{Bundles, Item, ItemKind};
use provision::host::{Change, Payload, Ssh, SshOptions, Transfer, WriteHost as _};
use provision::state::{ImageReference, ImageStore};

use crate::harness::Lab;
use crate::measured::timed;

/// Which store, and how its own program loads an archive.
const STORES: [(ImageStore, &str, &str); 2] = [
    (ImageStore::Docker, "ssh host docker load", "docker load -q"),
    (ImageStore::Containerd, "ssh host ctr images import", "ctr -n k8s.io images import -"),
];
/// How often each way is measured, by turns; the middle value counts.
const REPEATS: usize = 3;

/// One line of the table: what, and how many bytes a second.
pub struct Rate {
    pub what: String,
    pub bytes_per_second: f64,
}

/// The largest archives of the bundle, to one host by either way, then to three hosts at once.
pub fn rates(lab: &Lab) -> Vec<Rate> {
    let items = largest(lab, 3);
    let bytes: u64 = items.iter().map(|item| item.size).sum();
    let mut rates = Vec::new();
    for (store, theirs, program) in STORES {
        let (mut by_ssh, mut by_us) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            empty(lab, "h1", &items);
            by_ssh.push(timed(|| items.iter().for_each(|item| pipe(lab, "h1", &item.path, program))));
            empty(lab, "h1", &items);
            by_us.push(send(lab, &["h1"], store, &items));
        }
        rates.push(rate(theirs.to_owned(), bytes, by_ssh));
        rates.push(rate(format!("  the same by provision, into {store}"), bytes, by_us));
        let hosts = ["h1", "h2", "h3"];
        hosts.iter().for_each(|host| empty(lab, host, &items));
        let all = vec![send(lab, &hosts, store, &items)];
        rates.push(rate("  three hosts at once, each".to_owned(), bytes, all));
    }
    rates
}

fn rate(what: String, bytes: u64, mut times: Vec<Duration>) -> Rate {
    times.sort();
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let bytes_per_second = bytes as f64 / times[times.len() / 2].as_secs_f64();
    Rate { what, bytes_per_second }
}

fn largest(lab: &Lab, count: usize) -> Vec<Item> {
    let bundles = Bundles::open(&[lab.bundle(lab.version())]).expect("the lab's bundle");
    let mut items: Vec<Item> = bundles.items().filter(|item| item.kind == ItemKind::Image).cloned().collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.size));
    items.truncate(count);
    items
}

fn empty(lab: &Lab, host: &str, items: &[Item]) {
    for item in items {
        let name = &item.name;
        lab.script(
            host,
            &format!(
                "docker image rm -f {name} >/dev/null 2>&1; ctr -n k8s.io images rm --sync {name} >/dev/null 2>&1; true"
            ),
        );
    }
}

fn options(lab: &Lab, host: &str) -> SshOptions {
    SshOptions {
        node: NodeName::new(host).expect("a name"),
        address: lab.address(host),
        port: 22,
        user: "root".into(),
        key_path: Some(lab.folder().join("id_ed25519")),
        agent: None,
        known_hosts: lab.folder().join("cluster.known_hosts"),
        strict: true,
        connect_timeout: Duration::from_secs(10),
        keepalive: Duration::from_secs(15),
    }
}

fn pipe(lab: &Lab, host: &str, archive: &Path, program: &str) {
    let options = options(lab, host);
    let key: PathBuf = options.key_path.expect("a key");
    let known = format!("UserKnownHostsFile={}", options.known_hosts.display());
    let file = File::open(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    let mut ssh = Command::new("ssh");
    ssh.args(["-q", "-o", "BatchMode=yes", "-o", &known, "-i"]).arg(key).arg(format!("root@{}", options.address));
    let status = ssh.arg(program).stdin(file).stdout(Stdio::null()).status().expect("ssh starts");
    assert!(status.success(), "{program} on {host}: {status}");
}

/// Sends all to all hosts, one archive after the other on each, as fast as one connection takes them; connecting counts, as it
/// does for `ssh`.
fn send(lab: &Lab, hosts: &[&str], store: ImageStore, items: &[Item]) -> Duration {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    timed(|| {
        runtime.block_on(async {
            let all = hosts.iter().map(|host| send_to(options(lab, host), store, items));
            futures::future::join_all(all).await;
        });
    })
}

async fn send_to(options: SshOptions, store: ImageStore, items: &[Item]) {
    let (host, _) = Ssh::connect(options).await.expect("a connection");
    for item in items {
        let source = Payload::File(item.path.clone());
        let change = Change::LoadImage {
            store,
            reference: ImageReference(item.name.clone()),
            id: item.image_id.clone().filter(|_| store == ImageStore::Docker),
            payload: Transfer { source, size: item.size, digest: item.digest.clone() },
        };
        host.change(Epoch::FIRST, &change, &|_| {}).await.expect("an image that is loaded");
    }
}

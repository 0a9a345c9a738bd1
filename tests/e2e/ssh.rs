//! The real host: it keeps the same contract as the fake, as root and through sudo; its key is checked, and what is
//! cut leaves nothing behind.

#[path = "../support/host_contract.rs"]
mod host_contract;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_contract::{Hands, Subject, contract_cases, make, transfer};
use provision::base::{Digest, Epoch, NodeName};
use provision::host::{
    Change, HostError, LookRequest, Payload, ReadHost as _, Ssh, SshOptions, Transfer, WriteHost as _,
};
use provision::state::{ImageIdentity, ImageReference, ObservedEntry, Owner};
use tokio::runtime::Runtime;

use crate::harness::{Lab, V1_34};

struct LabHands(Arc<Lab>);

impl Hands for LabHands {
    fn put(&self, path: &str, bytes: &[u8]) {
        use std::fmt::Write as _;
        // In octal, so that any byte can stand in a script.
        let text = bytes.iter().take(64).fold(String::new(), |mut text, byte| {
            let _never_fails = write!(text, "\\{byte:03o}");
            text
        });
        let changed = bytes.iter().position(|byte| *byte != bytes[0]).unwrap_or(0);
        if bytes.len() <= 64 {
            self.0.script("h1", &format!("printf '{text}' >'{path}'"));
        } else {
            let byte = bytes[changed];
            self.0.script(
                "h1",
                &format!("printf '\\{byte:03o}' | dd of='{path}' bs=1 seek={changed} conv=notrunc status=none"),
            );
        }
    }

    fn stop_container(&self, name: &str) {
        self.0.script("h1", &format!("docker stop -t 1 '{name}'"));
    }
}

fn options(lab: &Lab, user: &str) -> SshOptions {
    SshOptions {
        node: NodeName::new("h1").unwrap(),
        address: lab.address("h1"),
        port: 22,
        user: user.to_owned(),
        key_path: Some(lab.folder().join("id_ed25519")),
        agent: None,
        known_hosts: lab.folder().join("cluster.known_hosts"),
        strict: true,
        connect_timeout: Duration::from_secs(20),
        keepalive: Duration::from_secs(15),
    }
}

/// The pause image of the lab's bundle: its program waits until it is stopped.
fn pause() -> (ImageIdentity, Transfer, Vec<String>) {
    let cache = std::env::var_os("PROVISION_LAB_CACHE")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/provision-lab"), PathBuf::from);
    let pattern = fs::read_dir(cache.join("parts/image-pause-3.10.1")).unwrap().next().unwrap().unwrap().path();
    let read = |name: &str| fs::read_to_string(pattern.join(name)).unwrap().trim().to_owned();
    let archive = pattern.join("image.tar");
    let image = ImageIdentity {
        reference: ImageReference("registry.k8s.io/pause:3.10.1".into()),
        id: Digest::parse(&read("id")).unwrap(),
    };
    let transfer = Transfer {
        size: fs::metadata(&archive).unwrap().len(),
        digest: Digest::parse(&read("sha256")).unwrap(),
        source: Payload::File(archive),
    };
    (image, transfer, vec!["/pause".into()])
}

async fn subject(lab: &Arc<Lab>, user: &str) -> Subject {
    let (host, connected) = Ssh::connect(options(lab, user)).await.unwrap();
    assert_eq!(connected.new_key_fingerprint, None);
    let (image, archive, entrypoint) = pause();
    Subject { host: Arc::new(host), hands: Box::new(LabHands(Arc::clone(lab))), image, archive, entrypoint }
}

#[test]
fn a_real_host_keeps_the_contract_as_root_and_through_sudo() {
    let lab = Arc::new(Lab::empty("1", V1_34));
    Runtime::new().unwrap().block_on(async {
        let (bare, _) = Ssh::connect(options(&lab, "ops")).await.unwrap();
        let seen = bare.look(&LookRequest::default()).await.unwrap();
        let started = Instant::now();
        let packages = Change::InstallPackages(vec!["docker.io".into()]);
        if seen.facts.docker.is_none() {
            bare.change(Epoch::FIRST, &packages, &|_| {}).await.unwrap();
        }
        eprintln!("installed in {:?}", started.elapsed());
        macro_rules! run_all {
            ($($case:ident),*) => {
                for user in ["root", "ops"] {
                    $(
                        let started = Instant::now();
                        host_contract::$case(subject(&lab, user).await).await;
                        eprintln!("{user}: {} in {:?}", stringify!($case), started.elapsed());
                    )*
                }
            };
        }
        contract_cases!(run_all);
    });
}

#[test]
fn a_look_waits_for_at_most_three_answers_in_a_row() {
    let lab = Arc::new(Lab::empty("1", V1_34));
    Runtime::new().unwrap().block_on(async {
        let (host, _) = Ssh::connect(options(&lab, "root")).await.unwrap();
        let request = LookRequest {
            folders: vec!["/etc/kubernetes".into(), "/usr/bin".into()],
            containers: ["etcd", "kube-apiserver", "kube-proxy"].map(str::to_owned).into(),
            ..LookRequest::default()
        };
        host.look(&request).await.unwrap();
        let count = host.round_trips();
        assert!(count.longest_chain <= 3, "{count:?}");
        for _ in 0..5 {
            let started = Instant::now();
            host.look(&request).await.unwrap();
            eprintln!("look in {:?}, {:?}", started.elapsed(), host.round_trips());
        }
    });
}

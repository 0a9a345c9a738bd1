//! The fake host keeps the contract, and dies where it is told to.

#[path = "../support/host_contract.rs"]
mod contract;

use std::sync::Arc;

use contract::{Hands, Subject, contract_cases, transfer};
use provision::base::{Digest, Epoch, NodeName};
use provision::host::{Change, FakeHost, FakeProcess, HostError, LookRequest, Moment, ReadHost as _, WriteHost as _};
use provision::state::{Component, Content, FileSpec, ImageIdentity, ImageReference, Owner};

struct FakeHands(FakeHost);

impl Hands for FakeHands {
    fn put(&self, path: &str, bytes: &[u8]) {
        self.0.put(path, bytes);
    }
}

fn node() -> NodeName {
    NodeName::new("h1").unwrap()
}

async fn fake() -> Subject {
    let host = FakeHost::new(node(), &FakeProcess::new());
    let packages = Change::InstallPackages(vec!["docker.io".into()]);
    host.change(Epoch::FIRST, &packages, &|_| {}).await.unwrap();
    Subject {
        hands: Box::new(FakeHands(host.clone())),
        host: Arc::new(host),
        image: ImageIdentity { reference: ImageReference("example.org/pause:1".into()), id: Digest::of("config") },
        archive: transfer(b"an archive".to_vec()),
        entrypoint: vec!["/pause".into()],
    }
}

macro_rules! tests_of {
    ($($case:ident),*) => {
        $(#[tokio::test]
        async fn $case() {
            contract::$case(fake().await).await;
        })*
    };
}
contract_cases!(tests_of);

fn files(count: usize) -> Change {
    let file = |number: usize| FileSpec {
        path: format!("/opt/{number}"),
        component: Component::Base,
        owner: Owner::ROOT,
        mode: 0o600,
        content: Content::Text(number.to_string()),
    };
    Change::Write { directories: Vec::new(), files: (0..count).map(file).collect(), links: Vec::new() }
}

#[tokio::test]
async fn a_process_dies_before_within_or_after_a_change_and_the_host_lives_on() {
    for (moment, written) in [(Moment::Before, 0), (Moment::Within, 2), (Moment::After, 4)] {
        let process = FakeProcess::new();
        let host = FakeHost::new(node(), &process);
        process.dies_at(1, moment);
        let request = LookRequest::default();
        host.look(&request).await.unwrap();
        let died = host.change(Epoch::FIRST, &files(4), &|_| {}).await;
        assert!(matches!(died, Err(HostError::Disconnected { .. })), "{died:?}");
        assert!(host.look(&request).await.is_err());
        assert!(process.is_dead());
        let next = FakeProcess::new();
        let request = LookRequest { folders: vec!["/opt".into()], ..LookRequest::default() };
        let seen = host.seen_by(&next).look(&request).await.unwrap();
        assert_eq!(seen.entries.len(), 1 + written, "{moment:?}");
        assert_eq!((process.calls(), next.calls()), (2, 1));
    }
}

#[tokio::test]
async fn calls_on_all_hosts_of_a_process_count_together() {
    let process = FakeProcess::new();
    let hosts = ["h1", "h2"].map(|name| FakeHost::new(NodeName::new(name).unwrap(), &process));
    process.dies_at(1, Moment::Before);
    let request = LookRequest::default();
    hosts[0].look(&request).await.unwrap();
    assert!(hosts[1].look(&request).await.is_err());
    assert!(hosts[0].look(&request).await.is_err());
}

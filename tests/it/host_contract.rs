//! The fake host keeps the contract, and dies where it is told to.

#[path = "../support/host_contract.rs"]
mod contract;

use std::sync::Arc;

use contract::{Hands, Subject, contract_cases, transfer};
use provision::base::{Digest, Epoch, NodeName};
use provision::host::{Change, FakeHost, FakeProcess, HostError, LookRequest, Moment, ReadHost as _, WriteHost as _};
use provision::state::{
    Component, ContainerSpec, Content, FileSpec, ImageIdentity, ImageReference, ObservedSwap, Owner,
};

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

#[tokio::test]
async fn a_container_that_fails_is_taken_back_and_its_reason_stays_until_the_next_swap() {
    let subject = fake().await;
    let host = FakeHost::new(node(), &FakeProcess::new());
    let packages = Change::InstallPackages(vec!["docker.io".into()]);
    let subject = Subject { host: Arc::new(host.clone()), ..subject };
    contract::make(&subject, packages).await.unwrap();
    contract::make(&subject, contract::load_change(&subject)).await.unwrap();
    let old = contract::spec(&subject, "swapped");
    contract::make(&subject, Change::CreateContainer(Box::new(old.clone()))).await.unwrap();
    contract::make(&subject, Change::StartContainer("swapped".into())).await.unwrap();
    let reference = ImageReference("example.org/broken:1".into());
    let image = ImageIdentity { reference: reference.clone(), id: Digest::of("broken") };
    host.by_hand(|state| drop(state.docker_images.insert(reference, image.id.clone())));
    host.let_fail("example.org/broken:1");
    let new = ContainerSpec { image, ..old.clone() };
    let swap = contract::swap_change(&new, "/etc/record");
    let failed = contract::make(&subject, swap.clone()).await;
    assert!(matches!(failed, Err(HostError::Reverted { .. })), "{failed:?}");
    let state = host.state();
    assert!(state.containers["swapped"].running && state.containers["swapped"].spec == old);
    assert_eq!(state.containers.len(), 1);
    assert!(matches!(state.swaps["swapped"], ObservedSwap::Reverted(_)));
    assert!(!state.entries.contains_key("/etc/record"));
    host.let_work("example.org/broken:1");
    contract::make(&subject, swap).await.unwrap();
    assert_eq!(host.state().containers["swapped"].spec, new);
    assert!(host.state().swaps.is_empty());
}

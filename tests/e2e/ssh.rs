//! The real host: it keeps the same contract as the fake, as root and through sudo; its key is checked, and what is
//! cut leaves nothing behind.

#[path = "../support/host_contract.rs"]
mod host_contract;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use host_contract::{Hands, Subject, contract_cases, make, transfer};
use provision::base::{Digest, Epoch, NodeName};
use provision::host::{
    Change, HostError, LookRequest, Payload, ReadHost as _, Ssh, SshOptions, Transfer, WriteHost as _,
};
use provision::state::{ImageIdentity, ImageReference, ObservedEntry, Owner};
use tokio::runtime::Runtime;

use crate::harness::{Lab, SECOND, V1_34, cache, run, until};

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
}

/// How the lab's first host is reached.
pub fn options(lab: &Lab, user: &str) -> SshOptions {
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
    let pattern = fs::read_dir(cache().join("parts/image-pause-3.10.1")).unwrap().next().unwrap().unwrap().path();
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

#[test]
fn a_real_host_keeps_the_contract_of_the_fake() {
    let lab = Arc::new(Lab::empty("1", V1_34));
    // The pause image is one of its parts.
    lab.command(&["bundle", V1_34]).succeeded();
    a_real_host_keeps_the_contract_as_root_and_through_sudo(&lab);
    a_look_waits_for_at_most_three_answers_in_a_row(&lab);
    a_setting_of_sshd_that_forbids_forwarding_is_named(&lab);
}

#[test]
fn only_a_known_host_and_an_accepted_user_are_talked_to() {
    let lab = Arc::new(Lab::empty("1", V1_34));
    lab.command(&["bundle", V1_34]).succeeded();
    a_first_key_is_recorded_a_changed_one_refused(&lab);
    a_login_takes_a_key_file_or_an_agent_and_says_why_neither_worked(&lab);
    a_user_without_sudo_is_told_the_line_for_sudoers(&lab);
    what_is_cut_while_it_is_sent_leaves_nothing(&lab);
}

async fn subject(lab: &Arc<Lab>, user: &str) -> Subject {
    let (host, connected) = Ssh::connect(options(lab, user)).await.unwrap();
    assert_eq!(connected.new_key_fingerprint, None);
    let (image, archive, entrypoint) = pause();
    Subject { host: Arc::new(host), hands: Box::new(LabHands(Arc::clone(lab))), image, archive, entrypoint }
}

fn a_real_host_keeps_the_contract_as_root_and_through_sudo(lab: &Arc<Lab>) {
    Runtime::new().unwrap().block_on(async {
        let (bare, _) = Ssh::connect(options(lab, "ops")).await.unwrap();
        let seen = bare.look(&LookRequest::default()).await.unwrap();
        assert_eq!(seen.facts.docker, None);

        need_docker(&bare).await;
        macro_rules! run_all {
            ($($case:ident),*) => {
                for user in ["root", "ops"] {
                    $(
                        let started = Instant::now();
                        host_contract::$case(subject(lab, user).await).await;
                        eprintln!("{user}: {} in {:?}", stringify!($case), started.elapsed());
                    )*
                }
            };
        }
        contract_cases!(run_all);
    });
}

/// Docker is on the host already, or is installed now.
async fn need_docker(host: &Ssh) {
    if host.look(&LookRequest::default()).await.unwrap().facts.docker.is_none() {
        let packages = Change::InstallPackages(vec!["docker.io".into()]);
        host.change(Epoch::FIRST, &packages, &|_| {}).await.unwrap();
    }
}

fn a_look_waits_for_at_most_three_answers_in_a_row(lab: &Arc<Lab>) {
    Runtime::new().unwrap().block_on(async {
        let subject = subject(lab, "root").await;
        let (host, _) = Ssh::connect(options(lab, "root")).await.unwrap();
        need_docker(&host).await;
        let name = "contract-look".to_owned();
        make(&subject, host_contract::load_change(&subject)).await.unwrap();
        make(&subject, Change::CreateContainer(Box::new(host_contract::spec(&subject, &name)))).await.unwrap();
        let (host, _) = Ssh::connect(options(lab, "root")).await.unwrap();
        let request = LookRequest {
            folders: vec!["/etc/kubernetes".into(), "/opt".into()],
            containers: vec!["etcd".into(), "kube-apiserver".into(), name.clone()],
            ..LookRequest::default()
        };
        let started = Instant::now();
        assert!(host.look(&request).await.unwrap().containers.contains_key(&name));
        let count = host.round_trips().unwrap();
        eprintln!("one look: {} round trips in {:?}", count.total, started.elapsed());
        assert!((1..=3).contains(&count.longest_chain), "{count:?}");
        make(&subject, Change::RemoveContainer(name)).await.unwrap();
    });
}

fn a_first_key_is_recorded_a_changed_one_refused(lab: &Arc<Lab>) {
    let folder = tempfile::TempDir::new().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    let options = || SshOptions { known_hosts: known_hosts.clone(), strict: false, ..options(lab, "root") };
    let recorded = || fs::read_to_string(&known_hosts).unwrap_or_default();
    Runtime::new().unwrap().block_on(async {
        let strict = Ssh::connect(SshOptions { strict: true, ..options() }).await.err().unwrap();
        assert!(matches!(strict, HostError::HostKeyUnknown { .. }), "{strict}");
        assert_eq!(recorded(), "");

        // Several connections at once must not lose a line of the others.
        fs::write(&known_hosts, "# a comment without a line end").unwrap();
        let others = (0..8).map(|_| Ssh::connect(options()));
        let fingerprints: Vec<_> = futures::future::join_all(others)
            .await
            .into_iter()
            .filter_map(|result| result.unwrap().1.new_key_fingerprint)
            .collect();
        assert!(fingerprints[0].starts_with("SHA256:"), "{fingerprints:?}");
        assert!(recorded().starts_with("# a comment without a line end\n172."), "{}", recorded());
        let (_, connected) = Ssh::connect(SshOptions { strict: true, ..options() }).await.unwrap();
        assert_eq!(connected.new_key_fingerprint, None);

        // A host's other keys count as they do for OpenSSH: the recorded type is asked for.
        let ecdsa = lab.script("h1", "cut -d' ' -f1,2 /etc/ssh/ssh_host_ecdsa_key.pub");
        fs::write(&known_hosts, format!("{} {ecdsa}", lab.address("h1"))).unwrap();
        Ssh::connect(options()).await.unwrap();

        let stranger = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let changed = format!("other ssh-ed25519 {stranger}\n{} ssh-ed25519 {stranger}\n", lab.address("h1"));
        fs::write(&known_hosts, &changed).unwrap();
        let refused = Ssh::connect(options()).await.err().unwrap();
        assert!(matches!(refused, HostError::HostKeyChanged { line: 2, .. }), "{refused}");
        assert_eq!(recorded(), changed);

        // A file that cannot be understood must not make the host an unknown one.
        fs::write(&known_hosts, format!("{} ssh-ed25519 AAAAbroken\n", lab.address("h1"))).unwrap();
        let refused = Ssh::connect(options()).await.err().unwrap();
        assert!(matches!(refused, HostError::KnownHosts { .. }), "{refused}");
    });
}

struct Agent(std::process::Child, PathBuf);

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _gone_already = self.0.wait();
    }
}

/// An SSH agent of our own that holds one key.
fn agent(folder: &Path, key: &Path) -> Agent {
    let socket = folder.join("agent");
    let child = std::process::Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).spawn().unwrap();
    let agent = Agent(child, socket);
    until("the agent takes the key", 10 * SECOND, || {
        run(std::process::Command::new("ssh-add").arg(key).env("SSH_AUTH_SOCK", &agent.1)).result()
    });
    agent
}

fn a_login_takes_a_key_file_or_an_agent_and_says_why_neither_worked(lab: &Arc<Lab>) {
    let folder = tempfile::TempDir::new().unwrap();
    let (wrong, locked) = (folder.path().join("wrong"), folder.path().join("locked"));
    for (path, passphrase) in [(&wrong, ""), (&locked, "a passphrase")] {
        let mut make = std::process::Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(path);
        assert!(make.status().unwrap().success());
    }
    let right = lab.folder().join("id_ed25519");
    Runtime::new().unwrap().block_on(async {
        let with = |key: Option<&Path>, agent: Option<&Agent>, user: &str| {
            let (key_path, agent) = (key.map(Path::to_owned), agent.map(|agent| agent.1.clone()));
            Ssh::connect(SshOptions { key_path, agent, ..options(lab, user) })
        };
        let good = agent(&folder.path().join("."), &right);
        with(None, Some(&good), "root").await.unwrap();
        with(Some(&wrong), Some(&good), "ops").await.unwrap();
        with(Some(&right), None, "root").await.unwrap();
        for (key, user, part) in [
            (Some(&*wrong), "root", "wrong is not accepted"),
            (Some(&*locked), "root", "has a passphrase: load it into an SSH agent"),
            (Some(Path::new("/no/such/key")), "root", "/no/such/key"),
            (Some(&*right), "nobody-of-that-name", "is not accepted"),
            (None, "root", "there is no key to try"),
        ] {
            let error = with(key, None, user).await.err().unwrap();
            assert!(matches!(error, HostError::AuthenticationRefused { .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let silent = SshOptions {
            address: "172.30.255.254".into(),
            connect_timeout: Duration::from_secs(1),
            ..options(lab, "root")
        };
        let error = Ssh::connect(silent).await.err().unwrap();
        assert!(matches!(error, HostError::Unreachable { .. }), "{error}");
    });
}

fn a_user_without_sudo_is_told_the_line_for_sudoers(lab: &Arc<Lab>) {
    lab.script("h1", "mv /etc/sudoers.d/ops /root/ops.sudoers");
    Runtime::new().unwrap().block_on(async {
        let (host, _) = Ssh::connect(options(lab, "ops")).await.unwrap();
        let error = host.look(&LookRequest::default()).await.unwrap_err();
        assert!(matches!(error, HostError::NoRoot { .. }), "{error}");
        assert!(error.to_string().contains("ops ALL=(ALL) NOPASSWD: ALL"), "{error}");
    });
    lab.script("h1", "mv /root/ops.sudoers /etc/sudoers.d/ops");
}

fn what_is_cut_while_it_is_sent_leaves_nothing(lab: &Arc<Lab>) {
    Runtime::new().unwrap().block_on(async {
        let subject = subject(lab, "root").await;
        let bytes: Vec<u8> = (0..50_000_000_u32).map(|number| (number >> 8) as u8).collect();
        let path = "/opt/contract/large".to_owned();
        let send =
            Change::Send { path: path.clone(), owner: Owner::ROOT, mode: 0o755, payload: transfer(bytes.clone()) };
        let was_cut = AtomicBool::new(false);
        let cut = |sent: u64| {
            if sent > 10_000_000 && !was_cut.swap(true, Ordering::Relaxed) {
                lab.script("h1", "pkill -KILL -f '^sshd: root@notty'");
            }
        };
        let error = subject.host.change(Epoch::FIRST, &send, &cut).await.unwrap_err();
        assert!(matches!(error, HostError::Disconnected { .. }), "{error}");

        let again = host_contract::Subject { host: connected(lab).await, ..subject };
        let folder = || LookRequest { folders: vec!["/opt/contract".into()], ..LookRequest::default() };
        let started = Instant::now();
        // The host's shell notices on its own that nobody sends any more.
        let left = loop {
            let seen = host_contract::look(&again, folder()).await.entries;
            if seen.len() <= 1 || started.elapsed() > Duration::from_secs(20) {
                break seen;
            }
        };
        assert!(left.len() <= 1, "{left:?}");
        let started = Instant::now();
        make(&again, send).await.unwrap();
        eprintln!("50 MB sent in {:?}", started.elapsed());
        let seen = host_contract::look(&again, folder()).await.entries;
        let file = ObservedEntry::File { owner: Owner::ROOT, mode: 0o755, digest: Digest::of(&bytes) };
        assert_eq!(seen[&path], file);
        make(&again, Change::Remove(vec![path])).await.unwrap();
    });
}

async fn connected(lab: &Lab) -> provision::host::SharedHost {
    Arc::new(Ssh::connect(options(lab, "root")).await.unwrap().0)
}

fn a_setting_of_sshd_that_forbids_forwarding_is_named(lab: &Arc<Lab>) {
    Runtime::new().unwrap().block_on(async {
        let (host, _) = Ssh::connect(options(lab, "root")).await.unwrap();
        need_docker(&host).await;
        let stream = host.open_tcp("127.0.0.1", 22).await;
        assert!(stream.is_ok(), "{:?}", stream.err());
        for (setting, part) in [
            ("AllowTcpForwarding", "AllowTcpForwarding yes"),
            ("AllowStreamLocalForwarding", "AllowStreamLocalForwarding yes"),
        ] {
            let file = "/etc/ssh/sshd_config.d/contract.conf";
            lab.script("h1", &format!("echo '{setting} no' >{file} && systemctl reload ssh"));
            let error = refused_by(lab, setting).await;
            lab.script("h1", &format!("rm {file} && systemctl reload ssh"));
            assert!(matches!(error, HostError::ForwardingRefused { .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    });
}

/// What is said once sshd has read its changed configuration.
async fn refused_by(lab: &Lab, setting: &str) -> HostError {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        // An sshd that is still at its last reading may not hear of the next.
        lab.script("h1", "systemctl reload ssh");
        let result = async {
            let (host, _) = Ssh::connect(options(lab, "root")).await?;
            if setting == "AllowTcpForwarding" {
                host.open_tcp("127.0.0.1", 22).await.map(|_| ())
            } else {
                host.look(&LookRequest::default()).await.map(|_| ())
            }
        };
        match result.await {
            Err(error) if matches!(error, HostError::ForwardingRefused { .. }) || Instant::now() > end => return error,
            result => assert!(Instant::now() < end, "{setting} has no effect: {result:?}"),
        }
    }
}

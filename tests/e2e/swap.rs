//! Components replaced on a real host: a good one takes the place, a bad one does not, and whoever is killed at whatever
//! moment, one of the two is left.

mod power_cut;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use provision::base::{Digest, Epoch};
use provision::host::{
    Change, ClientFiles, HostError, LookRequest, Payload, Probe, Proof, ReadHost as _, Replacement, Ssh, Swap,
    Transfer, WriteHost as _,
};
use provision::state::{
    Component, ContainerSpec, Content, FileSpec, ImageIdentity, ImageReference, ImageStore, LinkSpec, ObservedSwap,
    Owner,
};
use tokio::runtime::Runtime;

use crate::harness::{AGNHOST, Lab, SECOND, V1_34, cache, until};
use crate::ssh::options;

const NAME: &str = "swap-test";
const RECORD: &str = "/etc/kubernetes/swap-test.yaml";
const PORT: u16 = 18080;
/// What the program that replaces a component changes something with.
const COMMANDS: &str = "docker systemctl mv cp rm sync";

/// An image that the lab has built, as an archive.
fn built(reference: &str) -> (ImageIdentity, Transfer) {
    let (name, version) = reference.rsplit('/').next().unwrap().split_once(':').unwrap();
    let folder = std::fs::read_dir(cache().join(format!("parts/image-{name}-{version}"))).unwrap().next().unwrap();
    let folder: PathBuf = folder.unwrap().path();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
    let archive = folder.join("image.tar");
    let image = ImageIdentity { reference: ImageReference(reference.into()), id: Digest::parse(&read("id")).unwrap() };
    let transfer = Transfer {
        size: std::fs::metadata(&archive).unwrap().len(),
        digest: Digest::parse(&read("sha256")).unwrap(),
        source: Payload::File(archive),
    };
    (image, transfer)
}

fn spec(arguments: &[&str]) -> ContainerSpec {
    ContainerSpec {
        name: NAME.into(),
        image: built(AGNHOST).0,
        entrypoint: vec!["/agnhost".into()],
        arguments: arguments.iter().map(ToString::to_string).collect(),
        first_start_arguments: Vec::new(),
        user: "0:0".into(),
        mounts: Vec::new(),
        privileged: false,
        capabilities: Vec::new(),
        read_only_root: true,
        tmpfs: Vec::new(),
        oom_score_adj: 0,
        cgroup_parent: String::new(),
        stop_timeout_seconds: 1,
    }
}

/// One that answers; the number makes it another one.
fn good(number: u16) -> ContainerSpec {
    spec(&["netexec", &format!("--http-port={PORT}"), &format!("--udp-port={number}")])
}

fn swap(spec: ContainerSpec, patience_seconds: u32, stays_seconds: u32) -> Change {
    let record = FileSpec {
        path: RECORD.into(),
        component: Component::Base,
        owner: Owner::ROOT,
        mode: 0o600,
        content: Content::Text(spec.arguments.join(" ")),
    };
    let probes = vec![Probe::Http { port: PORT, path: "/healthz".into() }];
    let proof = Proof { probes, stays_seconds };
    let replacement = Replacement::Container(Box::new(spec));
    Change::Swap(Box::new(Swap { replacement, reads: Vec::new(), files: vec![record], proof, patience_seconds }))
}

/// Tells the arguments of the only container of the component, which answers, and those in the record.
fn the_container() -> String {
    format!(
        "set -- $(docker ps -aq --filter name={NAME}); [ $# = 1 ]; [ ! -e /var/lib/provision/swap/{NAME}/intent ]
         state=$(docker inspect -f '{{{{.Name}}}} {{{{.State.Running}}}} {{{{.HostConfig.RestartPolicy.Name}}}}' $1)
         [ \"$state\" = '/{NAME} true always' ] || {{ echo \"$state\" >&2; exit 1; }}
         printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' | socat -t 5 - TCP:127.0.0.1:{PORT},shut-none | grep -q '^HTTP/1.. 200 '
         docker inspect -f '{{{{join .Args \" \"}}}}' $1; cat {RECORD}"
    )
}

struct Subject {
    lab: Arc<Lab>,
    runtime: Runtime,
}

impl Subject {
    /// A host with Docker, and nothing else of ours.
    fn with_docker() -> Self {
        let subject = Self { lab: Arc::new(Lab::empty("1", V1_34)), runtime: Runtime::new().unwrap() };
        let packages = ["docker.io", "socat"].map(String::from).to_vec();
        subject.make(&Change::InstallPackages(packages)).unwrap();
        subject.lab.script("h1", "mkdir -p /etc/kubernetes");
        subject
    }

    /// Puts an image on it that the lab builds.
    fn load(&self, reference: &str) {
        for bundle in ["workload", V1_34] {
            self.lab.bundle(bundle);
        }
        let (image, payload) = built(reference);
        let (reference, id) = (image.reference, Some(image.id));
        self.make(&Change::LoadImage { store: ImageStore::Docker, reference, id, payload }).unwrap();
    }

    /// Starts the first container of the component.
    fn run(&self, spec: ContainerSpec) {
        self.lab.script("h1", &format!("printf %s '{}' >{RECORD}", spec.arguments.join(" ")));
        let name = spec.name.clone();
        self.make(&Change::CreateContainer(Box::new(spec))).unwrap();
        self.make(&Change::StartContainer(name)).unwrap();
    }

    fn make(&self, change: &Change) -> Result<(), HostError> {
        let started = Instant::now();
        let result = self.runtime.block_on(async {
            let (host, _) = Ssh::connect(options(&self.lab, "root")).await?;
            host.change(Epoch::FIRST, change, &|_| {}).await
        });
        eprintln!("{:?} in {:?}", result.as_ref().map_err(ToString::to_string), started.elapsed());
        result
    }

    /// The only container of the component, which runs and answers, with its own record.
    #[track_caller]
    fn the_one_that_runs(&self) -> String {
        self.what_runs(&the_container()).unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// What a script finds in each place that tells which of both is there: the same everywhere.
    fn what_runs(&self, script: &str) -> Result<String, String> {
        let said = self.lab.try_script("h1", script).result()?.stdout;
        let mut places = said.lines();
        let first = places.next().ok_or("nothing is told")?;
        if places.all(|place| place == first) { Ok(first.to_owned()) } else { Err(format!("of both:\n{said}")) }
    }

    fn reverted(&self, change: &Change) -> (String, Vec<String>) {
        match self.make(change) {
            Err(HostError::Reverted { reason, log, .. }) => (reason, log),
            other => panic!("{other:?}"),
        }
    }

    fn seen(&self) -> Option<ObservedSwap> {
        self.runtime.block_on(async {
            let (host, _) = Ssh::connect(options(&self.lab, "root")).await.unwrap();
            host.look(&LookRequest::default()).await.unwrap().swaps.remove(NAME)
        })
    }
}

#[test]
#[ignore = "two minutes; its program is cut at every command in a namespace, and `heal` shows it on a cluster"]
fn a_container_is_replaced_or_its_old_one_is_back() {
    let subject = Subject::with_docker();
    subject.load(AGNHOST);
    subject.run(good(1));

    subject.make(&swap(good(2), 20, 1)).unwrap();
    assert!(subject.the_one_that_runs().ends_with("--udp-port=2"));
    assert_eq!(subject.seen(), None);
    subject.make(&swap(good(2), 20, 1)).unwrap();

    what_fails_is_taken_back(&subject);
    whatever_command_is_killed(&subject);
    a_power_cut_in_the_middle(&subject);
}

fn what_fails_is_taken_back(subject: &Subject) {
    let (reason, log) = subject.reverted(&swap(spec(&["no-such-command"]), 20, 1));
    assert!(reason.contains("it ends by itself, 3 times"), "{reason}");
    assert!(log.iter().any(|line| line.contains("no-such-command")), "{log:?}");
    assert!(matches!(subject.seen(), Some(ObservedSwap::Reverted(_))));
    let (reason, _) = subject.reverted(&swap(spec(&["pause"]), 3, 1));
    assert!(reason.contains(&format!("port {PORT} does not answer")), "{reason}");
    let missing = ContainerSpec { entrypoint: vec!["/no-such-program".into()], ..good(3) };
    let (reason, _) = subject.reverted(&swap(missing, 20, 1));
    assert!(reason.contains("no-such-program"), "{reason}");
    // It answers at first, and ends after ten seconds.
    subject.lab.script(
        "h1",
        &format!(
            "systemd-run -q bash -c 'until [ \"$(docker inspect -f {{{{.State.Running}}}} {NAME}.next)\" = true ]; do sleep 0.1; done
             sleep 10; kill -9 $(docker inspect -f {{{{.State.Pid}}}} {NAME}.next)'"
        ),
    );
    let (reason, _) = subject.reverted(&swap(good(4), 20, 15));
    assert!(reason.contains("it ended by itself"), "{reason}");
    assert!(subject.the_one_that_runs().ends_with("--udp-port=2"));
}

/// Has a script run after the command of the program whose number is in `/run/cut`. Commands that change nothing do not count.
fn hook(at_cut: &str) -> String {
    format!(
        r#"for name in {COMMANDS}; do
    cat >/usr/local/sbin/$name <<END
#!/bin/sh
/usr/bin/$name "\$@"
code=\$?
grep -qs provision-swap-replace /proc/self/cgroup || exit \$code
case $name:\$1 in docker:inspect | docker:version | docker:events | docker:logs | systemctl:show) exit \$code ;; esac
echo "$name \$*" >>/run/commands
[ "\$(wc -l </run/commands)" != "\$(cat /run/cut)" ] || {at_cut}
exit \$code
END
    chmod 755 /usr/local/sbin/$name
done"#
    )
}

/// The program is killed after each of its commands that change something, and what is left is ended at once.
fn whatever_command_is_killed(subject: &Subject) {
    subject.lab.script("h1", &hook(&format!("/usr/bin/systemctl kill -s KILL provision-swap-replace-{NAME}")));
    let (mut current, mut cut) = (2, 0);
    loop {
        cut += 1;
        subject.lab.script("h1", &format!("rm -f /run/commands; echo {cut} >/run/cut"));
        let ended = subject.make(&swap(good(current + 1), 20, 0));
        let replaced = subject.the_one_that_runs().ends_with(&format!("--udp-port={}", current + 1));
        assert_eq!(replaced, ended.is_ok(), "cut {cut}: {ended:?}");
        current += u16::from(replaced);
        let commands: usize = subject.lab.script("h1", "cat /run/commands | wc -l").trim().parse().unwrap();
        if commands < cut {
            assert!(replaced && cut > 10, "{cut} commands");
            eprintln!("killed after each of {commands} commands");
            break;
        }
    }
    subject.lab.script("h1", &format!("cd /usr/local/sbin && rm {COMMANDS}"));
}

fn a_power_cut_in_the_middle(subject: &Subject) {
    let before = subject.the_one_that_runs();
    std::thread::scope(|scope| {
        let cut = scope.spawn(|| subject.make(&swap(spec(&["pause"]), 300, 0)));
        until("the new one runs", 30 * SECOND, || {
            let running = format!("[ $(docker inspect -f '{{{{.State.Running}}}}' {NAME}.next) = true ]");
            subject.lab.try_script("h1", &running).result().map(|_| ())
        });
        assert_eq!(subject.seen(), Some(ObservedSwap::Running));
        subject.lab.command(&["kill", "h1"]).succeeded();
        assert!(cut.join().unwrap().is_err());
    });
    subject.lab.command(&["start", "h1"]).succeeded();
    until("the boot unit has ended the swap", 60 * SECOND, || {
        let ended = format!("grep -q reverted /var/lib/provision/swap/{NAME}/result");
        subject.lab.try_script("h1", &ended).result().map(|_| ())
    });
    assert_eq!(subject.the_one_that_runs(), before);
    subject.make(&Change::Settle(NAME.into())).unwrap();
    assert_eq!(subject.seen(), None);
}

const SSL: &str = "/etc/kubernetes/ssl";

fn files_of(component: &str, certificate: &str, key: &str) -> ClientFiles {
    let path = |name: &str| format!("{SSL}/{component}/{name}");
    ClientFiles { certificate: path(certificate), key: path(key) }
}

/// What each component of a control plane is asked.
fn probe(name: &str) -> Probe {
    let proxy = || Some(files_of("api-proxy", "client.pem", "client.pem"));
    let own = |port| Probe::Https { port, path: "/healthz".into(), authority: None, client: None };
    let api = |port| Probe::Https {
        port,
        path: "/readyz".into(),
        authority: Some(format!("{SSL}/api-proxy/ca.crt")),
        client: proxy(),
    };
    match name {
        "etcd" => Probe::Http { port: 2381, path: "/health".into() },
        "kube-apiserver" => api(6443),
        "api-proxy" => api(6444),
        "kube-controller-manager" => own(10257),
        "kube-scheduler" => own(10259),
        "kube-proxy" => Probe::Http { port: 10256, path: "/healthz".into() },
        _ => panic!("{name}"),
    }
}

#[test]
#[ignore = "the upgrade of four nodes and the repair of edited files replace each of them, and `heal` has them fail"]
fn every_component_of_a_node_is_replaced_and_a_bad_kubelet_is_not() {
    let lab = Arc::new(Lab::prepared("1", V1_34));
    lab.tool().up().succeeded();
    let subject = Subject { lab, runtime: Runtime::new().unwrap() };
    for name in ["api-proxy", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        let mut spec = running(&subject, name);
        spec.oom_score_adj = -500;
        subject.make(&replace(spec.clone(), probe(name), 60)).unwrap();
        spec.arguments.push("--no-such-flag".into());
        let (_, log) = subject.reverted(&replace(spec, probe(name), 60));
        assert!(!log.is_empty());
    }
    kubelet(&subject);
    the_next_up_ends_what_is_left(&subject);
}

/// What a container of the node was made from.
fn running(subject: &Subject, name: &str) -> ContainerSpec {
    let request = LookRequest { containers: vec![name.into()], ..LookRequest::default() };
    subject.runtime.block_on(async {
        let (host, _) = Ssh::connect(options(&subject.lab, "root")).await.unwrap();
        host.look(&request).await.unwrap().containers.remove(name).unwrap().spec
    })
}

fn replace(spec: ContainerSpec, probe: Probe, patience_seconds: u32) -> Change {
    let replacement = match spec.name.as_str() {
        "api-proxy" => Replacement::BesideOld(Box::new(spec)),
        _ => Replacement::Container(Box::new(spec)),
    };
    let proof = Proof { probes: vec![probe], stays_seconds: 1 };
    Change::Swap(Box::new(Swap { replacement, reads: Vec::new(), files: Vec::new(), proof, patience_seconds }))
}

/// The plan tells what was taken back and why, and what is under way; `up` ends it, waits for it, and tries again.
fn the_next_up_ends_what_is_left(subject: &Subject) {
    let tool = subject.lab.tool();
    let plan = tool.plan().expect(2);
    for text in ["replace container kube-scheduler", "replace kubelet.service", "its last replacement was taken back: "]
    {
        assert!(plan.has(text), "{text} is not in {plan}");
    }
    tool.up().succeeded();
    tool.finds_nothing_to_do();

    let name = "kube-scheduler";
    let mut bad = running(subject, name);
    bad.arguments.push("--no-such-flag".into());
    let (reason, _) = subject.reverted(&replace(bad, probe(name), 60));
    tool.plan().expect(2).says(&format!("settle {name}: its last replacement was taken back: {reason}"));
    tool.up().succeeded();
    tool.finds_nothing_to_do();

    std::thread::scope(|scope| {
        // It runs, and never answers where it is asked.
        let mut silent = running(subject, name);
        silent.arguments.push("--secure-port=10300".into());
        let swap = scope.spawn(move || subject.reverted(&replace(silent, probe(name), 20)));
        until("the new one runs", 30 * SECOND, || {
            let script = format!("[ $(docker inspect -f '{{{{.State.Running}}}}' {name}.next) = true ]");
            subject.lab.try_script("h1", &script).result().map(|_| ())
        });
        // Its policy is off while the other is tried.
        tool.plan().expect(2).says(&format!("replace container {name}")).says("its replacement is under way");
        tool.up().succeeded();
        swap.join().unwrap();
    });
    tool.finds_nothing_to_do();
}

fn kubelet(subject: &Subject) {
    let unit = subject.lab.script("h1", "cat /etc/systemd/system/kubelet.service");
    let change = |text: String, version: &str| {
        let path = "/etc/systemd/system/kubelet.service".to_owned();
        let content = Content::Text(text);
        let unit_file = FileSpec { path, component: Component::Kubelet, owner: Owner::ROOT, mode: 0o600, content };
        let path = "/opt/provision/kubelet/current".to_owned();
        let links = vec![LinkSpec { path, component: Component::Kubelet, target: V1_34.into() }];
        let node = Probe::Node {
            name: "h1".into(),
            version: version.into(),
            authority: format!("{SSL}/kubelet/ca.crt"),
            client: files_of("kubelet", "client.crt", "client.key"),
        };
        let probes = vec![Probe::Http { port: 10248, path: "/healthz".into() }, node];
        let replacement = Replacement::Unit { name: "kubelet.service".into(), unit_file, links };
        let proof = Proof { probes, stays_seconds: 3 };
        Change::Swap(Box::new(Swap { replacement, reads: Vec::new(), files: Vec::new(), proof, patience_seconds: 20 }))
    };
    let commented = format!("# Another one.\n{unit}");
    subject.make(&change(commented.clone(), V1_34)).unwrap();
    let bad = commented.replace("--node-ip=", "--no-such-flag=");
    let (reason, log) = subject.reverted(&change(bad, V1_34));
    assert!(log.iter().any(|line| line.contains("no-such-flag")), "{reason}: {log:?}");
    let (reason, _) = subject.reverted(&change(format!("# A third one.\n{unit}"), "v1.99.0"));
    assert!(reason.contains("instead of v1.99.0"), "{reason}");
    assert_eq!(subject.lab.script("h1", "cat /etc/systemd/system/kubelet.service"), commented);
    until("kubelet is healthy", Duration::from_secs(30), || {
        subject.lab.try_script("h1", "systemctl is-active kubelet").result().map(|_| ())
    });
}

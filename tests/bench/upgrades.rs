//! Upgrades of a minor beside the sum of what no upgrade can do without.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::probes::{self, Counted, Probes, Target};
use crate::harness::tool::Tool;
use crate::harness::{Kubectl, Lab, MadeBundle, V1_24, V1_25};
use crate::measured::{Measured, measure};

/// One upgrade and the way back, and what the parts of the upgrade take by hand.
pub struct Upgraded {
    /// The upgrade.
    pub run: Measured,
    /// From its first replacement to its end.
    pub replacing: Duration,
    /// From the start of one apiserver, by hand, until it is ready.
    pub apiserver_start: Duration,
    /// What is needed in any case, one after another: each apiserver's delay and start, controllers, kubelets, and the
    /// drains, in which pods end.
    pub unavoidable: Duration,
    /// The drains alone.
    pub drains: Duration,
    /// What was asked meanwhile.
    pub asked: Asked,
    /// The rollback to where it came from.
    pub back: Duration,
    /// What was asked meanwhile.
    pub asked_back: Asked,
    /// What the same probes count where apiservers end at once; none where there is only one.
    pub asked_broken: Option<Asked>,
}

/// What probers have counted, new and kept connections apart.
#[derive(Default)]
pub struct Asked {
    /// Requests on new connections.
    pub total: u64,
    /// Those of them without an answer of 200.
    pub failed: u64,
    /// The longest time without a success on new connections.
    pub gap: Duration,
    /// Requests on kept connections, and those of them that failed.
    pub kept: (u64, u64),
}

impl Asked {
    fn of(counted: &[Counted]) -> Self {
        let mut asked = Self::default();
        for one in counted {
            if one.kept {
                asked.kept = (asked.kept.0 + one.total, asked.kept.1 + one.failed);
                continue;
            }
            asked.total += one.total;
            asked.failed += one.failed;
            asked.gap = asked.gap.max(Duration::from_millis(one.longest_gap_ms));
        }
        asked
    }
}

/// A cluster of v1.24.17 becomes v1.25.4 and v1.24.17 again, under requests. `hosts` is `1` or `3+1`.
pub fn upgrade(hosts: &str, names: &[&str], targets: &[Target], drain: bool) -> Upgraded {
    let lab = Lab::prepared(hosts, V1_24);
    lab.edit_config("network:\n", &format!("upgrade_strategy:\n  drain: {drain}\nnetwork:\n"));
    lab.tool().up().succeeded();
    let kubectl = Kubectl::operator(&lab);
    kubectl.await_nodes(names);
    probes::prepare(&kubectl);
    lab.edit_config(V1_24, V1_25);
    let tool = lab.tool().with_bundle(&lab.bundle(V1_25));
    let last = names.last().expect("a host");
    let probes = Probes::start(&lab, &kubectl, last, targets);
    let run = measure(&mut tool.start_up());
    let asked = Asked::of(&probes.stop());
    let starts = Starts::by_hand(&lab);
    let probes = Probes::start(&lab, &kubectl, last, targets);
    let back = tool.run(&["rollback", "--yes"]).succeeded().took;
    let asked_back = Asked::of(&probes.stop());
    lab.edit_config(V1_25, V1_24);
    let asked_broken = (names.len() > 1 && !drain).then(|| broken(&lab, &kubectl, last, targets));
    let control_planes = u32::try_from(names.len().min(3)).expect("a few");
    let delay = if control_planes > 1 { SHUTDOWN_DELAY } else { Duration::ZERO };
    let nodes = u32::try_from(names.len()).expect("a few");
    let drains = run.took_by("/drain");
    Upgraded {
        replacing: run.took - run.before("container/kube-apiserver"),
        apiserver_start: starts.apiserver,
        unavoidable: (delay + starts.apiserver + starts.controllers) * control_planes + starts.kubelet * nodes + drains,
        drains,
        asked,
        back,
        asked_back,
        asked_broken,
        run,
    }
}

/// Replaces apiservers that do not serve on after they were told to end: what probes count that see failures.
fn broken(lab: &Lab, kubectl: &Kubectl, host: &str, targets: &[Target]) -> Asked {
    let row = "  \"1.24\":\n";
    let at_once = "    arguments: { kube_apiserver: { added: [--shutdown-delay-duration=0s] } }\n";
    let catalog = fs::read_to_string(Tool::catalog()).expect("the lab's catalog");
    assert!(catalog.contains(row), "{catalog}");
    let path = lab.folder().join("catalog-broken.yml");
    fs::write(&path, catalog.replace(row, &format!("{row}{at_once}"))).expect("a catalog");
    lab.tool().with_catalog(&path).up().succeeded();
    let probes = Probes::start(lab, kubectl, host, targets);
    lab.tool().up().succeeded();
    Asked::of(&probes.stop())
}

/// From the start of a run that brings three nodes an apiserver which exits at once, to its end with the old one back.
pub fn bad_image() -> Duration {
    let lab = Lab::prepared("3", V1_24);
    lab.tool().up().succeeded();
    Kubectl::operator(&lab).await_nodes(&["h1", "h2", "h3"]);
    let mut bundle = MadeBundle::new();
    let image = "registry.k8s.io/kube-apiserver:exits";
    bundle.add_image(image, "/usr/local/bin/kube-apiserver", "#!/bin/sh\nexit 7\n");
    lab.edit_config("network:\n", &format!("system_images:\n  kube_apiserver: {image}\nnetwork:\n"));
    let up = lab.tool().with_bundle(bundle.path()).up().expect(1);
    assert!(up.stderr.contains("the old one is back"), "{up}");
    up.took
}

/// How long an apiserver that is not the only one serves on after it was told to end (`src/desired/kube_apiserver.rs`).
pub const SHUTDOWN_DELAY: Duration = Duration::from_secs(5);

/// From `docker start` or `systemctl start` to the first answer of health, for components that were stopped by hand.
struct Starts {
    apiserver: Duration,
    /// The slower one of controller-manager and scheduler.
    controllers: Duration,
    kubelet: Duration,
}

impl Starts {
    fn by_hand(lab: &Lab) -> Self {
        let program = lab.command(&["prober"]).succeeded();
        lab.send("h1", Path::new(program.text()), "/opt/prober");
        let folder = "/etc/kubernetes/ssl/api-proxy";
        let files = format!("-ca {folder}/ca.crt -cert {folder}/client.pem -key {folder}/client.pem");
        let ready = format!("-url https://127.0.0.1:6443/readyz {files}");
        let apiserver = start(lab, "docker stop -t 1 kube-apiserver", "docker start kube-apiserver", &ready);
        let controller = |name: &str, port: u16| {
            let health = format!("-url https://127.0.0.1:{port}/healthz -unverified");
            start(lab, &format!("docker stop -t 1 {name}"), &format!("docker start {name}"), &health)
        };
        let controllers = controller("kube-controller-manager", 10257).max(controller("kube-scheduler", 10259));
        let health = "-url http://127.0.0.1:10248/healthz";
        let kubelet = start(lab, "systemctl stop kubelet", "systemctl start kubelet", health);
        Self { apiserver, controllers, kubelet }
    }
}

fn start(lab: &Lab, stop: &str, start: &str, question: &str) -> Duration {
    let script = format!(
        "{stop} >/dev/null; from=$(date +%s%N); {start} >/dev/null
         until /opt/prober -for 20ms -timeout 1s {question} | grep -q '\"failed\":0,'; do :; done
         echo $((($(date +%s%N) - from) / 1000000))"
    );
    let text = lab.script("h1", &script);
    Duration::from_millis(text.trim().parse().unwrap_or_else(|error| panic!("{error}: {text}")))
}

//! Replacements that fail on a living cluster, in every way that real ones fail: what ran before runs again, from its own
//! files, and the run says what was put back and why.

use std::fs;

use crate::harness::tool::Tool;
use crate::harness::{Kubectl, Lab, MadeBundle, Picture, Ran, SECOND, V1_24, until};

#[test]
fn what_does_not_get_healthy_is_put_back_with_its_reason_and_stays_so_after_a_reboot() {
    let mut patient = Patient::new();
    for sickness in [
        image_that_exits(),
        argument_that_is_unknown(),
        etcd_that_may_not_read(),
        kubelet_that_crashes_after_ten_seconds(),
    ] {
        patient.suffers(&sickness);
    }
    patient.recovers();
}

/// One way to fail.
#[derive(Default)]
struct Sickness {
    name: &'static str,
    /// What is written behind cluster.yml.
    config: String,
    /// The Kubernetes version of cluster.yml, where it is another.
    version: Option<&'static str>,
    /// Arguments of the catalog's row: component, arguments.
    arguments: Option<(&'static str, &'static [&'static str])>,
    /// Images of a script: name, program, script.
    image: Option<(&'static str, &'static str, &'static str)>,
    /// A script in the place of kubelet's program of a version.
    kubelet: Option<(&'static str, &'static str)>,
    /// What is done on the host before, and what takes it back.
    host: Option<(&'static str, &'static str)>,
    /// What the plan names, before and after.
    planned: &'static str,
    /// What the run says.
    says: &'static [&'static str],
}

fn image_that_exits() -> Sickness {
    let image = "registry.k8s.io/kube-apiserver:exits";
    Sickness {
        name: "an image of kube-apiserver that exits at once",
        config: format!("system_images:\n  kube_apiserver: {image}\n"),
        image: Some((image, "/usr/local/bin/kube-apiserver", "#!/bin/sh\necho 'wrong turn taken' >&2\nexit 7\n")),
        planned: "replace container kube-apiserver",
        says: &["the old one is back", "exit code 7", "| wrong turn taken"],
        ..Sickness::default()
    }
}

fn argument_that_is_unknown() -> Sickness {
    Sickness {
        name: "an argument that kube-controller-manager does not know",
        arguments: Some(("kube_controller_manager", &["--no-such-flag=1"])),
        planned: "replace container kube-controller-manager",
        says: &["the old one is back", "exit code 1", "unknown flag: --no-such-flag"],
        ..Sickness::default()
    }
}

fn etcd_that_may_not_read() -> Sickness {
    Sickness {
        name: "an etcd that lacks access to its data",
        arguments: Some(("etcd", &["--data-dir=/var/lib/etcd/of-root"])),
        host: Some(("install -d -m 700 /var/lib/etcd/of-root", "rmdir /var/lib/etcd/of-root")),
        planned: "replace container etcd",
        says: &["the old one is back", "exit code 1", "permission denied"],
        ..Sickness::default()
    }
}

/// A patch of kubelet that reports itself, and is gone ten seconds later.
fn kubelet_that_crashes_after_ten_seconds() -> Sickness {
    let images = ["kube_apiserver", "kube_controller_manager", "kube_scheduler", "kube_proxy"];
    let image = |key: &str| format!("  {key}: registry.k8s.io/{}:{V1_24}\n", key.replace('_', "-"));
    let drain = "upgrade_strategy:\n  drain: true\n  node_drain_input: {delete_local_data: true}\n";
    Sickness {
        name: "a kubelet that crashes after ten seconds",
        config: format!("system_images:\n{}{drain}", images.map(image).concat()),
        version: Some("v1.24.18"),
        kubelet: Some((
            "v1.24.18",
            "#!/bin/sh
             sed 's/v1\\.24\\.17/v1.24.18/g' /opt/provision/kubelet/v1.24.17/kubelet >/var/tmp/kubelet
             chmod 755 /var/tmp/kubelet
             exec timeout -s KILL 10 /var/tmp/kubelet \"$@\"\n",
        )),
        planned: "replace kubelet.service",
        says: &["the old one is back", "it ended by itself after it was healthy", "exit code", "h1 takes pods again"],
        ..Sickness::default()
    }
}

/// One node with a living cluster that every case leaves as it was.
struct Patient {
    lab: Lab,
    kubectl: Kubectl,
    bundle: MadeBundle,
    config: String,
    healthy: Picture,
}

impl Patient {
    fn new() -> Self {
        let lab = Lab::prepared("1", V1_24);
        lab.tool().up().succeeded();
        let kubectl = Kubectl::operator(&lab);
        let config = fs::read_to_string(lab.config()).expect("cluster.yml");
        let healthy = Picture::of_what_runs(&lab, "h1");
        Self { lab, kubectl, bundle: MadeBundle::new(), config, healthy }
    }

    /// The tool, with what makes it sick.
    fn infect(&mut self, sickness: &Sickness) -> Tool {
        if let Some((name, program, script)) = sickness.image {
            self.bundle.add_image(name, program, script);
        }
        if let Some((version, script)) = sickness.kubelet {
            self.bundle.add_file("kubelet", version, script.as_bytes());
        }
        let config = self.config.replace(V1_24, sickness.version.unwrap_or(V1_24));
        fs::write(self.lab.config(), config + &sickness.config).expect("cluster.yml");
        let mut catalog = fs::read_to_string(Tool::catalog()).expect("the lab's catalog");
        if let Some((component, added)) = sickness.arguments {
            let row = "  \"1.24\":\n";
            let arguments = format!("{row}    arguments: {{ {component}: {{ added: {added:?} }} }}\n");
            assert!(catalog.contains(row), "{catalog}");
            catalog = catalog.replace(row, &arguments);
        }
        let path = self.bundle.path().join("catalog.yml");
        fs::write(&path, catalog).expect("a catalog");
        self.lab.tool().with_bundle(self.bundle.path()).with_catalog(&path)
    }

    /// Fails, and is as before; the plan is the same again.
    fn suffers(&mut self, sickness: &Sickness) -> Ran {
        let tool = self.infect(sickness);
        let (prepare, clear) = sickness.host.unwrap_or_default();
        self.lab.script("h1", prepare);
        let up = tool.up().expect(1);
        println!("{}: {:.1} s to the end of the run", sickness.name, up.took.as_secs_f64());
        for text in sickness.says {
            assert!(up.stderr.contains(text), "{}: {text:?} is not in {up}", sickness.name);
        }
        self.is_healthy();
        tool.plan().expect(2).says(sickness.planned);
        self.lab.script("h1", clear);
        up
    }

    /// What it runs, from which files, and whether it takes pods.
    #[track_caller]
    fn is_healthy(&self) {
        let now = Picture::of_what_runs(&self.lab, "h1").without_new(&self.healthy, is_staged);
        now.is_as(&self.healthy);
        let node = self.kubectl.json(&["get", "node", "h1"]);
        assert!(node["spec"]["unschedulable"].is_null(), "{node}");
        assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], V1_24);
    }

    /// With its own file again nothing is to be done, before a reboot and after it.
    fn recovers(&self) {
        fs::write(self.lab.config(), &self.config).expect("cluster.yml");
        self.lab.tool().up().succeeded();
        self.lab.tool().finds_nothing_to_do();
        self.lab.command(&["reboot", "h1"]).succeeded();
        until("an empty plan after the reboot", 120 * SECOND, || {
            let plan = self.lab.tool().plan().result()?;
            if plan.text() == "Nothing to do." { Ok(()) } else { Err(plan.to_string()) }
        });
        self.is_healthy();
    }
}

/// Files that were brought for the new one: nothing that ran before reads them.
fn is_staged(key: &str) -> bool {
    let folders = ["/opt/provision/kubelet/v", "/etc/kubernetes/kubelet/", "/etc/kubernetes/kube-proxy/"];
    folders.iter().any(|folder| key.contains(folder))
}

use std::io::Read as _;

use super::*;
use crate::base::Digest;
use crate::state::{Component, Content, ImageIdentity, ImageReference};

fn file(path: &str, text: &str) -> FileSpec {
    let content = Content::Text(text.into());
    FileSpec { path: path.into(), component: Component::Kubelet, owner: Owner::ROOT, mode: 0o600, content }
}

fn client() -> ClientFiles {
    ClientFiles { certificate: "/c/client.crt".into(), key: "/c/client.key".into() }
}

fn kubelet() -> Swap {
    let node =
        Probe::Node { name: "h1".into(), version: "v1.34.1".into(), authority: "/c/ca.crt".into(), client: client() };
    Swap {
        replacement: Replacement::Unit {
            name: "kubelet.service".into(),
            unit_file: file("/etc/systemd/system/kubelet.service", "[Service]\n"),
            links: vec![LinkSpec {
                path: "/opt/provision/kubelet/current".into(),
                component: Component::Kubelet,
                target: "v1.34.1".into(),
            }],
        },
        reads: vec![file("/etc/kubernetes/ssl/kubelet/client.crt", "renewed")],
        files: vec![file("/etc/kubernetes/kubelet.conf", "a copy")],
        proof: Proof { probes: vec![Probe::Http { port: 10248, path: "/healthz".into() }, node], stays_seconds: 15 },
        patience_seconds: 90,
    }
}

fn beside(probes: Vec<Probe>) -> Swap {
    let spec = ContainerSpec {
        name: "api-proxy".into(),
        image: ImageIdentity { reference: ImageReference("example.org/haproxy:1".into()), id: Digest::of("image") },
        entrypoint: vec!["haproxy".into()],
        arguments: Vec::new(),
        first_start_arguments: Vec::new(),
        user: "0:0".into(),
        mounts: Vec::new(),
        privileged: false,
        capabilities: Vec::new(),
        read_only_root: true,
        tmpfs: Vec::new(),
        oom_score_adj: 0,
        cgroup_parent: String::new(),
        stop_timeout_seconds: 35,
    };
    let proof = Proof { probes, stays_seconds: 0 };
    let replacement = Replacement::BesideOld(Box::new(spec));
    Swap { replacement, reads: Vec::new(), files: Vec::new(), proof, patience_seconds: 30 }
}

/// What the archive of a request holds: each entry's path with its text or its target.
fn entries(request: &[u8], head: &str) -> Vec<(String, String)> {
    let archive = request.strip_prefix(head.as_bytes()).unwrap();
    let mut found = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut text = entry.link_name().unwrap().map(|target| target.display().to_string()).unwrap_or_default();
        if text.is_empty() {
            entry.read_to_string(&mut text).unwrap();
        }
        found.push((path, text));
    }
    found
}

#[test]
fn a_service_that_reads_other_files_brings_them_and_no_unit() {
    let proof = Proof { probes: vec![Probe::Runtime], stays_seconds: 2 };
    let replacement = Replacement::Service("containerd.service".into());
    let reads = vec![file("/etc/containerd/config.toml", "version = 2")];
    let swap = Swap { replacement, reads, files: Vec::new(), proof, patience_seconds: 30 };
    let request = encode(Epoch::FIRST, &swap).unwrap();
    let found = entries(&request, &format!("{}\nswap\nreplace\ncontainerd\n", Epoch::FIRST.0));
    let intent = found.iter().find(|(path, _)| path.ends_with("/intent")).map(|(_, text)| text.as_str());
    let wanted = "name containerd\nkind unit\nunit containerd.service\npatience 30\nstays 2\nprobe runtime\n\
                  early 0 /etc/containerd/config.toml\n";
    assert_eq!(intent, Some(wanted));
}

#[test]
fn a_unit_brings_what_it_starts_with_and_what_tells_of_it() {
    let request = encode(Epoch::FIRST, &kubelet()).unwrap();
    let found = entries(&request, &format!("{}\nswap\nreplace\nkubelet\n", Epoch::FIRST.0));
    let text = |name: &str| {
        let path = format!("var/lib/provision/swap/.new/{name}");
        found.iter().find(|(seen, _)| *seen == path).map(|(_, text)| text.as_str())
    };
    assert_eq!(
        text("intent"),
        Some(
            "name kubelet\nkind unit\nunit kubelet.service\npatience 90\nstays 15\nprobe http 10248 /healthz\n\
             probe node h1 v1.34.1 /c/ca.crt /c/client.crt /c/client.key\n\
             early 0 /etc/systemd/system/kubelet.service\nearly 1 /opt/provision/kubelet/current\n\
             early 2 /etc/kubernetes/ssl/kubelet/client.crt\nlate 3 /etc/kubernetes/kubelet.conf\n"
        )
    );
    let files = ["files/0", "files/1", "files/2", "files/3", "program", "provision-settle.service"].map(text);
    assert_eq!(
        files,
        [Some("[Service]\n"), Some("v1.34.1"), Some("renewed"), Some("a copy"), Some(PROGRAM), Some(UNIT)]
    );
}

#[test]
fn a_container_beside_another_waits_on_the_port_of_its_first_probe() {
    let path = || "/readyz".to_owned();
    let https = Probe::Https { port: 6444, path: path(), authority: None, client: Some(client()) };
    let intent = intent(&beside(vec![https]), &[]).unwrap();
    let wanted = "name api-proxy\nkind beside\nport 6444\npatience 30\nstays 0\n\
                  probe https 6444 /readyz - /c/client.crt /c/client.key\n";
    assert_eq!(intent, wanted);
    assert!(encode(Epoch::FIRST, &beside(Vec::new())).is_err());
}

#[test]
fn words_that_would_be_other_words_are_refused() {
    for word in ["", "a b", "a\nb", "a,verify=0", "a:b", "a\"b", "-a", "../a", "$(a)"] {
        assert!(encode_settle(Epoch::FIRST, word).is_err(), "{word:?}");
        let probe = Probe::Http { port: 1, path: word.into() };
        assert!(encode(Epoch::FIRST, &beside(vec![probe])).is_err(), "{word:?}");
        let mut swap = kubelet();
        swap.files[0].path = format!("/etc/{word}");
        assert!(encode(Epoch::FIRST, &swap).is_err() || word == "-a", "{word:?}");
    }
}

#[test]
fn every_end_is_told_with_its_reason_and_last_lines() {
    let (reason, log) = ("it ends".to_owned(), vec!["one".to_owned(), "two".to_owned()]);
    assert_eq!(outcome(b"done\n\n"), Ok(Outcome::Done));
    let reverted = Outcome::Reverted { reason: reason.clone(), log: log.clone() };
    assert_eq!(outcome(b"reverted\nit ends\none\ntwo\n"), Ok(reverted));
    let neither = Outcome::Neither { reason: reason.clone(), log };
    assert_eq!(outcome(b"neither\nit ends\none\ntwo\n"), Ok(neither));
    assert_eq!(outcome(b"unfinished\nit ends\n"), Ok(Outcome::Unfinished { reason }));
    for output in ["", "finished\n", "\ndone\n"] {
        assert!(outcome(output.as_bytes()).is_err(), "{output:?}");
    }
}

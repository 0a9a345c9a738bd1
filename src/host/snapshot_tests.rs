use std::time::Duration;

use super::*;

/// What the script printed on a host of the lab, odd file names and a file that looks like a section included.
const RECORDED: &[u8] = include_bytes!("recorded/look.bin");
const CLOCK: u64 = 1_795_644_844;

fn request() -> LookRequest {
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    LookRequest { packages: list(&["docker.io", "no-such-package"]), etcd_uid: 52034, ..LookRequest::default() }
}

fn read(output: &[u8]) -> Result<Gathered, Problem> {
    let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    parse(output, &request(), time(CLOCK - 12), time(CLOCK - 8))
}

/// The recording with a text in it replaced.
fn altered(from: &str, to: &str) -> Vec<u8> {
    let at = RECORDED.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    [&RECORDED[..at], to.as_bytes(), &RECORDED[at + from.len()..]].concat()
}

#[test]
fn facts_are_read() {
    let gathered = read(RECORDED).unwrap();
    let facts = gathered.snapshot.facts;
    assert_eq!((facts.hostname.as_str(), facts.kernel.as_str()), ("h1", "6.18.44-fc-v782"));
    assert_eq!((facts.architecture.as_str(), facts.cgroup_version, facts.swap), ("x86_64", 1, false));
    assert_eq!(facts.operating_system.name, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!((facts.operating_system.id.as_str(), facts.operating_system.version.as_str()), ("debian", "12"));
    assert_eq!(facts.memory_bytes, 24_683_656 << 10);
    assert_eq!(facts.cores, 5);
    assert_eq!(facts.disks["/var/lib/etcd"], (54_804_877_312, 270_553_174_016));
    assert_eq!(facts.disks.len(), 4);
    assert_eq!(facts.resolvers, ["10.255.255.53"]);
    assert!(facts.default_route);
    let addresses: Vec<_> = facts.addresses.iter().map(|(address, on)| (address.to_string(), on.as_str())).collect();
    assert_eq!(addresses, [("127.0.0.1".to_owned(), "lo"), ("172.30.0.11".to_owned(), "eth0")]);
    assert_eq!(facts.links, [("eth0".to_owned(), 1500), ("lo".to_owned(), 65536)].into());
    assert_eq!(facts.routes, [("172.30.0.0/24".parse().unwrap(), "eth0".to_owned())].into());
    assert_eq!(facts.etcd_user, Some((52034, 52034)));
    assert_eq!(facts.etcd_uid_holder.as_deref(), Some("etcd"));
    assert_eq!(facts.containerd_version.as_deref(), Some("1.6.20"));
    assert_eq!(gathered.docker.as_deref(), Some("20.10.24"));
    assert!(gathered.docker_listens);
}

#[test]
fn a_host_without_a_default_route_is_known() {
    let seen = read(&altered("default via 172.30.0.1 dev eth0 \n", "")).unwrap().snapshot.facts;
    assert!(!seen.default_route);
    let line = "7: net1@if8    inet 10.0.0.9/32 scope global net1";
    assert_eq!(address(line), Some(("10.0.0.9".parse().unwrap(), "net1".to_owned())));
    assert_eq!(address("7: net1    inet6 fe80::1/64 scope link"), None);
}

#[test]
fn links_and_routes_are_read() {
    assert_eq!(link("8: cali1@if2: <UP> mtu 1450 qdisc noqueue"), Some(("cali1".to_owned(), 1450)));
    assert_eq!(link("8: cali1@if2: <UP> qdisc noqueue"), None);
    let network = |text: &str| text.parse::<Ipv4Net>().unwrap();
    let through = |text: &str, interface: &str| Some((network(text), interface.to_owned()));
    assert_eq!(route("10.42.1.0/24 via 10.42.1.0 dev flannel.1 onlink"), through("10.42.1.0/24", "flannel.1"));
    assert_eq!(route("10.42.0.9 dev cali1 scope link"), through("10.42.0.9/32", "cali1"));
    assert_eq!(route("default via 10.0.0.1 dev eth0"), None);
    assert_eq!(route("unreachable 10.9.0.0/16"), None);
}

#[test]
fn the_clock_is_compared_with_the_middle_of_the_round_trip() {
    assert_eq!(read(RECORDED).unwrap().snapshot.facts.clock_offset_seconds, 10);
}

#[test]
fn what_was_asked_for_is_found_and_the_rest_is_missing() {
    let seen = read(RECORDED).unwrap().snapshot;
    assert_eq!(
        seen.packages.into_iter().collect::<Vec<_>>(),
        [("docker.io".to_owned(), "20.10.24+dfsg1-1+deb12u1+b6".to_owned())]
    );
    assert_eq!(seen.modules, ["overlay"]);
    assert_eq!(seen.sysctls["net.ipv4.ip_local_port_range"], "32768\t60999");
    assert_eq!(seen.units.keys().collect::<Vec<_>>(), ["docker.service", "ssh.service"]);
    assert_eq!(seen.units["docker.service"], ObservedUnit { enabled: true, active: "active".into() });
    let image = ImageReference("registry.k8s.io/pause:3.10.1".into());
    let digest = "sha256:00c7b55ce599f08b52ab7b2a84beae29421b9a5a891510baa8daea1ea7d5feb6";
    assert_eq!(seen.containerd_images[&image].as_str(), digest);
    assert_eq!(seen.listeners.len(), 5);
    let sshd = Listener { protocol: "tcp".into(), port: 22, process: "sshd (process 80)".into() };
    assert!(seen.listeners.contains(&sshd));
    assert_eq!(seen.listeners[0].process, "an unknown process");
}

#[test]
fn a_file_that_looks_like_a_section_is_a_file() {
    let seen = read(RECORDED).unwrap().snapshot;
    assert_eq!(seen.merged_files["/etc/docker/daemon.json"], "7 /x\n\u{1e}images\n");
    assert!(seen.merged_files["/etc/containerd/config.toml"].starts_with("version = 2\n"));
}

#[test]
fn names_may_hold_anything() {
    let seen = read(RECORDED).unwrap().snapshot.entries;
    let entry = |name: &str| &seen[&format!("/etc/kubernetes/rec/{name}")];
    let file = |uid, mode, bytes: &str| ObservedEntry::File {
        owner: Owner { uid, gid: uid },
        mode,
        digest: Digest::of(bytes),
    };
    assert_eq!(*entry("with space"), file(52034, 0o640, "one\n"));
    assert_eq!(*entry("new\nline\u{1e}end"), file(0, 0o644, "odd"));
    assert_eq!(*entry("link"), ObservedEntry::Link { target: "a\ttab and\nbreak".into() });
    assert_eq!(*entry("fifo"), ObservedEntry::Other);
    assert_eq!(seen["/etc/kubernetes"], ObservedEntry::Directory { owner: Owner::ROOT, mode: 0o755 });
    assert_eq!(seen.len(), 9);
}

#[test]
fn a_large_file_has_the_digest_that_was_noted_as_long_as_it_is_untouched() {
    let seen = read(RECORDED).unwrap().snapshot.entries;
    let digest = |name: &str| match &seen[&format!("/etc/kubernetes/rec/{name}")] {
        ObservedEntry::File { digest, .. } => digest.hexadecimal().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(digest("large-known"), "1".repeat(64));
    assert_eq!(digest("large-unknown"), Digest::of(vec![0; 1_500_000]).hexadecimal());
}

#[test]
fn an_answer_that_was_cut_anywhere_is_refused() {
    for length in 0..RECORDED.len() {
        assert!(read(&RECORDED[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn nonsense_is_refused() {
    for (from, to) in [
        ("1795644844.", "soon."),
        ("MemTotal:       ", "MemTotal:  many "),
        ("13 /etc", "14 /etc"),
        ("d 755 0", "d 799 0"),
        ("f 640 52034 ", "f 640 -1 "),
        ("2c8b08da5ce6", "2c8b08da5cXX"),
        ("\u{1e}units", "\u{1e}unit"),
    ] {
        assert!(read(&altered(from, to)).is_err(), "{to}");
    }
}

#[test]
fn versions_of_packages_lose_what_the_distribution_adds() {
    for (package, version) in [
        ("20.10.24+dfsg1-1+deb12u1+b2", "20.10.24"),
        ("5:27.3.1-1~debian.12~bookworm", "27.3.1"),
        ("1.6.20~ds1-1+deb12u1", "1.6.20"),
        ("1.7.22-1", "1.7.22"),
    ] {
        assert_eq!(upstream_version(package), version);
    }
}

#[test]
fn requests_are_lines_and_values_cannot_be_two_of_them() {
    let list = |name: &str| vec![name.to_owned()];
    let asked =
        LookRequest { folders: list("/etc/a b"), units: list("x.service"), etcd_uid: 7, ..LookRequest::default() };
    assert_eq!(encode(&asked).unwrap(), "folder /etc/a b\nunit x.service\netcd-uid 7\nend\n");
    for name in ["/a\nend", "", "-x", "/a\0"] {
        assert!(encode(&LookRequest { paths: list(name), ..LookRequest::default() }).is_err(), "{name:?}");
    }
}

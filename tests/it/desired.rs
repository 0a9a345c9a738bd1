//! A node's wanted state as files, and the rules that hold for every node of every release.
//!
//! `UPDATE_EXPECTED=1` writes the files anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use provision::base::{Digest, KubernetesVersion, NodeName, Secret};
use provision::cluster::{
    Cluster, Network, NetworkPlugin, Node, OWNED_KUBE_PROXY_KEYS, OWNED_KUBELET_KEYS, Overlay, PodSecurity, Roles,
    SshTarget, Taint, UpgradeStrategy,
};
use provision::desired::{
    Desired, DesiredError, DesiredHost, Input, PayloadPin, Pins, images, look_request, predicted_cgroup_driver, render,
};
use provision::pki::{
    Bundle, ControlPlaneIdentities, EncryptionKey, EtcdIdentities, Identity, NodeIdentities, ServiceAccountKey,
};
use provision::release::{Catalog, Release};
use provision::state::{
    CgroupDriver, Component, Content, DockerFacts, FileSpec, HostFacts, ImageStore, OperatingSystem, Owner,
};
use serde_json::{Map, Value, json};

pub const ALL: Roles = Roles { control_plane: true, etcd: true, worker: true };
const WORKER: Roles = Roles { control_plane: false, etcd: false, worker: true };
const CONTROL_PLANE: Roles = Roles { control_plane: true, etcd: false, worker: false };
const ETCD: Roles = Roles { control_plane: false, etcd: true, worker: false };
const VERSIONS: [&str; 2] = ["v1.24.17", "v1.34.1"];

fn name(number: usize) -> NodeName {
    NodeName::new(format!("h{number}")).unwrap()
}

fn node(number: usize, roles: Roles) -> Node {
    Node {
        name: name(number),
        address: format!("192.0.2.{number}"),
        internal_address: [10, 0, 0, u8::try_from(number).unwrap()].into(),
        roles,
        ssh: SshTarget { port: 22, user: "root".into(), key_path: None, agent: false },
        labels: BTreeMap::from([("zone".into(), "a".into())]),
        taints: Vec::new(),
    }
}

pub fn cluster(version: &str, roles: &[Roles]) -> Cluster {
    Cluster {
        name: "expected".into(),
        version: KubernetesVersion::parse(version).unwrap(),
        nodes: roles.iter().enumerate().map(|(index, roles)| node(index + 1, *roles)).collect(),
        network: Network {
            plugin: NetworkPlugin::Flannel(Overlay::default()),
            pod_cidr: "10.42.0.0/16".parse().unwrap(),
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            dns_ip: [10, 43, 0, 10].into(),
            domain: "cluster.local".into(),
            mtu: 0,
        },
        sans: Vec::new(),
        pod_security: PodSecurity::Restricted,
        etcd_user: (52034, 52034),
        node_port_range: (30000, 32767),
        kubelet_config: Map::new(),
        kube_proxy_config: Map::new(),
        fail_swap_on: true,
        ignore_docker_version: false,
        supply: Default::default(),
        addons: Vec::new(),
        dns: Some(Default::default()),
        metrics: Some(Default::default()),
        upgrade: UpgradeStrategy::default(),
    }
}

fn facts(hostname: &str) -> HostFacts {
    HostFacts {
        hostname: hostname.into(),
        operating_system: OperatingSystem { id: "debian".into(), version: "12".into(), name: "Debian 12".into() },
        architecture: "x86_64".into(),
        kernel: "6.1.0".into(),
        cgroup_version: 2,
        memory_bytes: 8 << 30,
        cores: 4,
        swap: false,
        disks: BTreeMap::new(),
        clock_offset_seconds: 0,
        resolvers: vec!["192.0.2.53".into()],
        upstream_resolvers: Vec::new(),
        default_route: true,
        addresses: BTreeMap::new(),
        links: BTreeMap::new(),
        routes: BTreeMap::new(),
        docker: None,
        containerd_version: None,
        etcd_user: None,
        etcd_uid_holder: None,
    }
}

fn identity(what: &str) -> Identity {
    Identity { certificate: format!("certificate of {what}\n"), key: Secret::new(format!("key of {what}\n")) }
}

fn identities(node: &Node) -> NodeIdentities {
    let of = |what: &str| identity(&format!("{} {what}", node.name));
    let etcd = || EtcdIdentities { server: of("etcd server"), peer: of("etcd peer") };
    let control_plane = || ControlPlaneIdentities {
        apiserver: of("apiserver"),
        apiserver_kubelet_client: of("kubelet client of the apiserver"),
        apiserver_etcd_client: of("etcd client of the apiserver"),
        front_proxy_client: of("front proxy client"),
        controller_manager: of("controller manager"),
        scheduler: of("scheduler"),
        local_admin: of("local admin"),
    };
    NodeIdentities {
        kubelet_client: of("kubelet client"),
        kubelet_server: of("kubelet server"),
        kube_proxy: of("kube-proxy"),
        api_proxy: of("api proxy"),
        etcd: node.roles.etcd.then(etcd),
        control_plane: node.roles.control_plane.then(control_plane),
    }
}

fn bundle(cluster: &Cluster) -> Bundle {
    Bundle {
        cluster_authority: "certificate of the cluster's authority\n".into(),
        etcd_authority: "certificate of etcd's authority\n".into(),
        front_proxy_authority: "certificate of the front proxy's authority\n".into(),
        service_account: ServiceAccountKey {
            private: Secret::new("key of service accounts\n"),
            public: "public key of service accounts\n".into(),
        },
        encryption: EncryptionKey { name: "k20261123".into(), key: Secret::new([7; 32]) },
        metrics_server: cluster.metrics.as_ref().map(|_| identity("metrics-server")),
        nodes: cluster.nodes.iter().map(|node| (node.name.clone(), identities(node))).collect(),
    }
}

fn pins(cluster: &Cluster, release: &Release) -> Pins {
    let docker = images(cluster, release).into_iter().filter(|(store, _)| *store == ImageStore::Docker);
    let file = |name: &&str| (name.to_string(), PayloadPin { digest: Digest::of(name), size: 1000 });
    let files = ["kubelet", "cni/bridge", "cni/host-local", "cni/loopback", "cni/portmap"];
    Pins {
        images: docker.map(|(store, reference)| ((store, reference.clone()), Digest::of(&reference.0))).collect(),
        files: files.iter().map(file).collect(),
    }
}

fn release(cluster: &Cluster) -> Release {
    Catalog::shipped().unwrap().release(&cluster.version).unwrap()
}

fn try_render(cluster: &Cluster, facts: &BTreeMap<NodeName, HostFacts>) -> Result<Desired, DesiredError> {
    render_with(cluster, facts, &BTreeMap::new())
}

/// With certificates of registries' authorities.
pub fn rendered_with(cluster: &Cluster, registry_authorities: &BTreeMap<String, String>) -> Desired {
    render_with(cluster, &all_facts(cluster), registry_authorities).unwrap()
}

fn render_with(
    cluster: &Cluster,
    facts: &BTreeMap<NodeName, HostFacts>,
    registry_authorities: &BTreeMap<String, String>,
) -> Result<Desired, DesiredError> {
    let release = release(cluster);
    render(&Input {
        cluster,
        facts,
        bundle: &bundle(cluster),
        release: &release,
        pins: &pins(cluster, &release),
        etcd_token: "expected-0123456789ab",
        registry_authorities,
    })
}

fn all_facts(cluster: &Cluster) -> BTreeMap<NodeName, HostFacts> {
    cluster.nodes.iter().map(|node| (node.name.clone(), facts(node.name.as_str()))).collect()
}

fn rendered(cluster: &Cluster) -> Desired {
    try_render(cluster, &all_facts(cluster)).unwrap()
}

/// Hosts of every kind of node, by release.
fn hosts() -> Vec<(Release, NodeName, DesiredHost)> {
    let mut hosts = Vec::new();
    for version in VERSIONS {
        for roles in [&[ALL][..], &[ALL, ALL, WORKER], &[CONTROL_PLANE, ETCD, WORKER]] {
            let cluster = cluster(version, roles);
            let release = release(&cluster);
            hosts.extend(rendered(&cluster).hosts.into_iter().map(|(name, host)| (release.clone(), name, host)));
        }
    }
    hosts
}

fn text(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Secret(secret) => String::from_utf8_lossy(secret.expose()).into_owned(),
        Content::Payload { digest, size } => format!("{size} bytes, {digest}\n"),
    }
}

/// Everything of a host in one text, in the order in which it stands there.
fn shown(host: &DesiredHost) -> String {
    let mut out = String::new();
    let who = |owner: &Owner, mode: u32| format!("{}:{} {mode:04o}", owner.uid, owner.gid);
    writeln!(out, "packages: {}", host.packages.join(" ")).unwrap();
    writeln!(out, "modules: {}", host.modules.join(" ")).unwrap();
    for (name, value) in &host.sysctls {
        writeln!(out, "sysctl: {name} = {value}").unwrap();
    }
    for user in &host.users {
        writeln!(out, "user: {} {}:{}", user.name, user.owner.uid, user.owner.gid).unwrap();
    }
    for image in &host.images {
        let id = image.id.as_ref().map_or("any", Digest::short);
        writeln!(out, "image: {} {} ({id})", image.store, image.reference).unwrap();
    }
    for file in &host.merged_files {
        writeln!(out, "merged: {} for {}\n{:#}", file.path, file.unit, file.wanted).unwrap();
    }
    for directory in &host.directories {
        let who = who(&directory.owner, directory.mode);
        writeln!(out, "directory: {} {who} ({})", directory.path, directory.component).unwrap();
    }
    for link in &host.links {
        writeln!(out, "link: {} -> {} ({})", link.path, link.target, link.component).unwrap();
    }
    for unit in &host.units {
        writeln!(out, "unit: {} ({})", unit.name, unit.component).unwrap();
    }
    for (component, spec) in &host.containers {
        writeln!(out, "\n=== container {component}\n{}", serde_yaml::to_string(spec).unwrap()).unwrap();
    }
    for file in &host.files {
        let who = who(&file.owner, file.mode);
        writeln!(out, "\n=== {} {who} ({})", file.path, file.component).unwrap();
        // The records repeat what stands above; their digests are enough to see a change.
        let record = file.path.starts_with("/etc/kubernetes/manifests/");
        out.push_str(if record { "(record)\n" } else { "" });
        out.push_str(&if record { String::new() } else { text(&file.content) });
    }
    out
}

fn check(case: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/desired").join(case);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; UPDATE_EXPECTED=1 writes it anew", path.display());
}

#[test]
fn nodes_are_those_of_the_files() {
    for (minor, version) in [("1.24", "v1.24.17"), ("1.34", "v1.34.1")] {
        let one = rendered(&cluster(version, &[ALL]));
        check(&format!("{minor}/one-node.txt"), &shown(&one.hosts[&name(1)]));
        let several = rendered(&cluster(version, &[ALL, ALL, ALL, WORKER]));
        check(&format!("{minor}/second-of-three.txt"), &shown(&several.hosts[&name(2)]));
        check(&format!("{minor}/worker.txt"), &shown(&several.hosts[&name(4)]));
    }
}

#[test]
fn equal_input_gives_equal_hosts() {
    for version in VERSIONS {
        let cluster = cluster(version, &[ALL, ALL, WORKER]);
        let (first, second) = (rendered(&cluster), rendered(&cluster));
        let texts = |desired: &Desired| desired.hosts.values().map(shown).collect::<Vec<_>>();
        assert_eq!(texts(&first), texts(&second));
    }
}

#[test]
fn what_a_container_mounts_is_made_by_us_before_it() {
    for (_, node, host) in hosts() {
        let made: BTreeSet<&str> = host.directories.iter().map(|directory| directory.path.as_str()).collect();
        for (component, spec) in &host.containers {
            for mount in &spec.mounts {
                // The one folder that is the system's.
                let system = *component == Component::KubeProxy && mount.path == "/run";
                assert!(system || made.contains(mount.path.as_str()), "{node} {component}: {}", mount.path);
            }
        }
    }
}

#[test]
fn every_file_that_an_argument_names_is_mounted_into_that_container() {
    for (_, node, host) in hosts() {
        for (component, spec) in &host.containers {
            for argument in &spec.arguments {
                let value = argument.split_once('=').map_or(argument.as_str(), |(_, value)| value);
                if !value.starts_with("/etc/kubernetes/") {
                    continue;
                }
                assert!(host.files.iter().any(|file| file.path == value), "{node} {component}: no file {value}");
                let mounted = spec.mounts.iter().any(|mount| value.starts_with(&format!("{}/", mount.path)));
                assert!(mounted, "{node} {component}: {value} is not mounted");
            }
        }
    }
}

/// Whether a path has the digest of what lies there in it.
fn is_sealed(path: &str) -> bool {
    path.split('/').any(|part| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[test]
fn nothing_that_a_container_mounts_is_rewritten_but_certificates() {
    for (_, node, host) in hosts() {
        for (component, spec) in &host.containers {
            for file in host
                .files
                .iter()
                .filter(|file| spec.mounts.iter().any(|mount| file.path.starts_with(&format!("{}/", mount.path))))
            {
                let certificates = ["/etc/kubernetes/ssl/", "/etc/kubernetes/etcd/"];
                let may_change = certificates.iter().any(|folder| file.path.starts_with(folder));
                assert!(may_change || is_sealed(&file.path), "{node} {component}: {}", file.path);
            }
        }
    }
}

#[test]
fn another_option_is_another_folder_and_leaves_the_old_one_alone() {
    let before = cluster("v1.34.1", &[ALL]);
    let mut after = before.clone();
    after.pod_security = PodSecurity::Baseline;
    after.kubelet_config.insert("maxPods".into(), json!(50));
    let (before, after) = (rendered(&before), rendered(&after));
    let sealed = |desired: &Desired| -> BTreeMap<String, Digest> {
        let files = desired.hosts[&name(1)].files.iter().filter(|file| is_sealed(&file.path));
        files.map(|file| (file.path.clone(), file.content.digest())).collect()
    };
    let (before, after) = (sealed(&before), sealed(&after));
    assert_ne!(before, after);
    for (path, digest) in &before {
        assert!(after.get(path).is_none_or(|other| other == digest), "{path}");
    }
}

#[test]
fn parents_come_before_children_and_nothing_is_written_twice() {
    for (_, node, host) in hosts() {
        let given =
            ["/etc", "/etc/modules-load.d", "/etc/sysctl.d", "/etc/systemd/system", "/opt", "/var/lib", "/var/log"];
        let mut made: BTreeSet<&str> = given.into();
        for directory in &host.directories {
            let parent = directory.path.rsplit_once('/').unwrap().0;
            assert!(made.contains(parent), "{node}: {} before its parent", directory.path);
            assert!(made.insert(&directory.path), "{node}: {} twice", directory.path);
        }
        let links = host.links.iter().map(|link| &link.path);
        let mut paths = BTreeSet::new();
        for path in host.files.iter().map(|file| &file.path).chain(links) {
            let parent = path.rsplit_once('/').unwrap().0;
            assert!(made.contains(parent), "{node}: {path} has no folder");
            assert!(paths.insert(path), "{node}: {path} twice");
        }
    }
}

#[test]
fn everything_that_is_written_is_looked_at() {
    for (release, node, host) in hosts() {
        let request = look_request(&cluster(&release.version.to_string(), &[ALL]), &release);
        let seen = |path: &str| {
            request.paths.iter().any(|seen| seen == path)
                || request.folders.iter().any(|folder| path == folder || path.starts_with(&format!("{folder}/")))
        };
        let files = host.files.iter().map(|file| &file.path);
        let directories = host.directories.iter().map(|directory| &directory.path);
        for path in files.chain(directories).chain(host.links.iter().map(|link| &link.path)) {
            assert!(seen(path), "{node}: {path}");
        }
        assert!(host.merged_files.iter().all(|file| request.texts.contains(&file.path)));
        assert!(host.packages.iter().all(|package| request.packages.contains(package)));
        assert!(host.modules.iter().all(|module| request.modules.contains(module)));
        assert!(host.sysctls.keys().all(|sysctl| request.sysctls.contains(sysctl)));
        assert!(host.units.iter().all(|unit| request.units.contains(&unit.name)));
        assert!(host.containers.iter().all(|(_, spec)| request.containers.contains(&spec.name)));
    }
}

/// CIS sections 1.1 and 4.1: paths, owners and modes.
#[test]
fn fixed_paths_are_those_of_the_benchmark() {
    let desired = rendered(&cluster("v1.34.1", &[ALL]));
    let host = &desired.hosts[&name(1)];
    let fixed = [
        "manifests/kube-apiserver.yaml",
        "manifests/kube-controller-manager.yaml",
        "manifests/kube-scheduler.yaml",
        "manifests/etcd.yaml",
        "scheduler.conf",
        "controller-manager.conf",
        "kubelet.conf",
        "proxy.conf",
        "admin.conf",
        "kubelet-config.yaml",
        "audit-policy.yaml",
        "admission.yaml",
        "encryption.yaml",
    ];
    let find = |path: &str| host.files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}"));
    let private = |file: &FileSpec| (file.owner, file.mode) == (Owner::ROOT, 0o600);
    assert!(fixed.iter().all(|path| private(find(&format!("/etc/kubernetes/{path}")))));
    assert!(private(find("/etc/systemd/system/kubelet.service")));
    assert!(host.links.iter().any(|link| link.path == "/etc/kubernetes/pki" && link.target == "ssl"));
    let etcd = Owner { uid: 52034, gid: 52034 };
    for directory in &host.directories {
        let wanted = match directory.path.as_str() {
            "/var/lib/etcd" | "/etc/kubernetes/etcd" => Some((etcd, 0o700)),
            "/var/log/kube-audit" | "/etc/kubernetes/ssl" | "/etc/kubernetes/manifests" => Some((Owner::ROOT, 0o700)),
            _ => None,
        };
        assert!(wanted.is_none_or(|wanted| wanted == (directory.owner, directory.mode)), "{}", directory.path);
    }
}

#[test]
fn only_etcd_owns_anything_but_root_and_nothing_below_ssl() {
    for (_, node, host) in hosts() {
        for file in host.files.iter().filter(|file| file.owner != Owner::ROOT) {
            assert_eq!(file.component, Component::Etcd, "{node}: {}", file.path);
            assert!(file.path.starts_with("/etc/kubernetes/etcd/"), "{node}: {}", file.path);
        }
        for file in host.files.iter().filter(|file| matches!(file.content, Content::Secret(_))) {
            assert_eq!(file.mode, 0o600, "{node}: {}", file.path);
        }
    }
}

#[test]
fn containers_hold_no_more_rights_than_they_need() {
    for (_, node, host) in hosts() {
        for (component, spec) in &host.containers {
            let proxy = *component == Component::KubeProxy;
            assert_eq!(spec.privileged, proxy, "{node} {component}");
            assert_eq!(spec.read_only_root, !proxy, "{node} {component}");
            assert!(spec.capabilities.is_empty(), "{node} {component}");
            let user = if *component == Component::Etcd { "52034:52034" } else { "0:0" };
            assert_eq!(spec.user, user, "{node} {component}");
            assert_eq!((spec.oom_score_adj, spec.cgroup_parent.as_str()), (-997, "provision.slice"));
            assert_eq!(spec.name, component.as_str());
        }
    }
}

#[test]
fn no_component_gets_a_flag_that_its_version_refuses_nor_one_twice() {
    for (release, node, host) in hosts() {
        let containers = host.containers.iter().map(|(component, spec)| (*component, spec.arguments.clone()));
        let unit = host.files.iter().find(|file| file.path.ends_with("/kubelet.service")).unwrap();
        let kubelet =
            text(&unit.content).split_whitespace().filter(|word| word.starts_with("--")).map(str::to_owned).collect();
        for (component, arguments) in containers.chain([(Component::Kubelet, kubelet)]) {
            let Some(changes) = release.arguments.of(component) else { continue };
            let flags: Vec<&str> = arguments.iter().map(|argument| argument.split('=').next().unwrap()).collect();
            assert!(!flags.is_empty(), "{node} {component}");
            for flag in &flags {
                let refused = changes.removed.iter().any(|removed| removed == flag);
                assert!(!refused, "{node} {component} of {}: {flag}", release.version);
                assert_eq!(flags.iter().filter(|other| *other == flag).count(), 1, "{node} {component}: {flag} twice");
            }
            let unfilled = arguments.iter().find(|argument| argument.contains('{'));
            assert_eq!(unfilled, None, "{node} {component}");
        }
    }
}

#[test]
fn no_authority_key_reaches_a_host_and_no_node_gets_another_nodes_keys() {
    for (_, node, host) in hosts() {
        for file in &host.files {
            let text = text(&file.content);
            assert!(!text.contains("key of the"), "{node}: {}", file.path);
            for other in (1..=4).map(name).filter(|other| *other != node) {
                assert!(!text.contains(&format!("key of {other} ")), "{node}: {} is of {other}", file.path);
            }
        }
    }
}

fn spec_of(desired: &Desired, number: usize, component: Component) -> provision::state::ContainerSpec {
    let containers = &desired.hosts[&name(number)].containers;
    containers.iter().find(|(found, _)| *found == component).unwrap().1.clone()
}

fn has(spec: &provision::state::ContainerSpec, argument: &str) -> bool {
    spec.arguments.iter().any(|given| given == argument)
}

#[test]
fn an_apiserver_waits_for_its_clients_only_where_there_is_another() {
    // v1.25.4 stays in the Service `kubernetes` until its lease is over.
    let slow = [("v1.25.4", 1, 0, 1), ("v1.25.4", 3, 28, 29), ("v1.25.5", 3, 5, 6)];
    let usual = [("v1.24.17", 1, 0, 1), ("v1.24.17", 3, 5, 6), ("v1.34.1", 1, 0, 15), ("v1.34.1", 3, 5, 20)];
    let cases = usual.into_iter().chain(slow);
    for (version, nodes, delay, stop) in cases {
        let spec = spec_of(&rendered(&cluster(version, &vec![ALL; nodes])), 1, Component::KubeApiserver);
        assert!(has(&spec, &format!("--shutdown-delay-duration={delay}s")), "{version}");
        assert_eq!(spec.stop_timeout_seconds, stop, "{version} with {nodes}");
        assert_eq!(has(&spec, "--shutdown-watch-termination-grace-period=5s"), version == "v1.34.1");
    }
}

#[test]
fn an_apiserver_asks_the_member_beside_it_first() {
    let spec = spec_of(&rendered(&cluster("v1.34.1", &[ALL, ALL, ALL])), 2, Component::KubeApiserver);
    assert!(has(&spec, "--etcd-servers=https://10.0.0.2:2379,https://10.0.0.1:2379,https://10.0.0.3:2379"));
}

#[test]
fn a_member_that_comes_later_changes_no_running_one() {
    let three = rendered(&cluster("v1.34.1", &[ALL, ALL, ALL]));
    let five = rendered(&cluster("v1.34.1", &[ALL, ALL, ALL, ALL, ALL]));
    let (before, after) = (spec_of(&three, 1, Component::Etcd), spec_of(&five, 1, Component::Etcd));
    assert_ne!(before.first_start_arguments, after.first_start_arguments);
    assert_eq!(before.digest(), after.digest());
    let record = |desired: &Desired| {
        let files = &desired.hosts[&name(1)].files;
        files.iter().find(|file| file.path == "/etc/kubernetes/manifests/etcd.yaml").unwrap().clone()
    };
    assert_eq!(record(&three), record(&five));
    assert!(before.first_start_arguments.iter().all(|argument| argument.starts_with("--initial-")));
    assert!(!before.arguments.iter().any(|argument| argument.starts_with("--initial-")));
}

fn yaml(desired: &Desired, number: usize, path: &str) -> Value {
    let file = desired.hosts[&name(number)].files.iter().find(|file| file.path == path).unwrap();
    serde_yaml::from_str(&text(&file.content)).unwrap()
}

#[test]
fn pod_security_is_enforced_by_what_the_version_has() {
    let defaults = |version: &str, level| {
        let cluster = Cluster { pod_security: level, ..cluster(version, &[ALL]) };
        let admission = yaml(&rendered(&cluster), 1, "/etc/kubernetes/admission.yaml");
        let plugin = &admission["plugins"][1];
        assert_eq!(plugin["name"], "PodSecurity");
        assert_eq!(plugin["configuration"]["exemptions"]["namespaces"], json!(["kube-system"]));
        plugin["configuration"]["defaults"].clone()
    };
    assert_eq!(defaults("v1.34.1", PodSecurity::Restricted)["enforce"], "restricted");
    assert_eq!(defaults("v1.34.1", PodSecurity::Privileged)["enforce"], "privileged");
    let beside_policies = defaults("v1.24.17", PodSecurity::Restricted);
    assert_eq!((&beside_policies["enforce"], &beside_policies["warn"]), (&json!("privileged"), &json!("restricted")));
}

#[test]
fn the_operators_fields_lie_over_ours() {
    let mut cluster = cluster("v1.34.1", &[ALL]);
    let object = |value: Value| value.as_object().unwrap().clone();
    cluster.kubelet_config = object(json!({ "failSwapOn": false, "systemReserved": { "cpu": "1" } }));
    cluster.kube_proxy_config = object(json!({ "conntrack": { "maxPerCore": 0 } }));
    let desired = rendered(&cluster);
    let kubelet = yaml(&desired, 1, "/etc/kubernetes/kubelet-config.yaml");
    assert_eq!(kubelet["failSwapOn"], false);
    assert_eq!(kubelet["systemReserved"], json!({ "cpu": "1", "memory": "1280Mi" }));
    assert_eq!(kubelet["authentication"]["anonymous"]["enabled"], false);
    let proxy = desired.hosts[&name(1)]
        .files
        .iter()
        .find(|file| file.component == Component::KubeProxy && file.path.ends_with("/config.yaml"));
    let proxy: Value = serde_yaml::from_str(&text(&proxy.unwrap().content)).unwrap();
    assert_eq!(proxy["conntrack"]["maxPerCore"], 0);
}

/// Fields that the operator may not set and that we leave out on purpose.
const LEFT_OUT: [&str; 13] = [
    "bindAddressHardFail",
    "cgroupRoot",
    "enableDebuggingHandlers",
    "enableServer",
    "imageServiceEndpoint",
    "podCIDR",
    "registerNode",
    // Only on nodes without the worker role.
    "registerWithTaints",
    "rotateCertificates",
    "serverTLSBootstrap",
    "staticPodPath",
    "staticPodURL",
    "staticPodURLHeader",
];

#[test]
fn fields_that_the_operator_may_not_set_are_set_by_us_or_left_out_on_purpose() {
    let desired = rendered(&cluster("v1.34.1", &[ALL]));
    let find = |component: Component| {
        let is_it = |file: &&FileSpec| file.component == component && file.path.ends_with("/config.yaml");
        let file = desired.hosts[&name(1)].files.iter().find(is_it).unwrap();
        serde_yaml::from_str::<Map<String, Value>>(&text(&file.content)).unwrap()
    };
    for (component, owned) in [(Component::Kubelet, OWNED_KUBELET_KEYS), (Component::KubeProxy, OWNED_KUBE_PROXY_KEYS)]
    {
        let written = find(component);
        for key in owned {
            assert!(written.contains_key(*key) || LEFT_OUT.contains(key), "{component}: {key}");
        }
    }
}

#[test]
fn what_the_host_is_decides_what_depends_on_it() {
    let cluster = cluster("v1.34.1", &[ALL]);
    let docker = DockerFacts { version: "26.1.5".into(), cgroup_driver: CgroupDriver::Cgroupfs, running: true };
    let other = HostFacts {
        docker: Some(docker),
        containerd_version: Some("2.1.4".into()),
        resolvers: vec!["127.0.0.53".into()],
        upstream_resolvers: vec!["192.0.2.53".into()],
        ..facts("vm-17")
    };
    assert_eq!(predicted_cgroup_driver(&other), CgroupDriver::Cgroupfs);
    assert_eq!(predicted_cgroup_driver(&facts("h1")), CgroupDriver::Systemd);
    let desired = try_render(&cluster, &BTreeMap::from([(name(1), other)])).unwrap();
    let host = &desired.hosts[&name(1)];
    assert!(!host.packages.iter().any(|package| package == "docker.io"));
    let containerd = &host.merged_files[1].wanted;
    assert_eq!(containerd["version"], 3);
    assert_eq!(containerd["plugins"]["io.containerd.cri.v1.runtime"]["cni"]["bin_dirs"], json!(["/opt/cni/bin"]));
    assert_eq!(spec_of(&desired, 1, Component::Etcd).cgroup_parent, "/provision.slice");
    let kubelet = yaml(&desired, 1, "/etc/kubernetes/kubelet-config.yaml");
    assert_eq!(
        (&kubelet["cgroupDriver"], &kubelet["resolvConf"]),
        (&json!("cgroupfs"), &json!("/run/systemd/resolve/resolv.conf"))
    );
    let unit = host.files.iter().find(|file| file.path.ends_with("/kubelet.service")).unwrap();
    assert!(text(&unit.content).contains("--hostname-override=h1"));
}

#[test]
fn nodes_without_the_worker_role_keep_workloads_away() {
    let desired = rendered(&cluster("v1.34.1", &[CONTROL_PLANE, ETCD, WORKER]));
    let taint = |key: &str, effect: &str| Taint { key: key.into(), value: "true".into(), effect: effect.into() };
    assert_eq!(desired.nodes[0].taints, [taint("node-role.kubernetes.io/controlplane", "NoSchedule")]);
    assert_eq!(desired.nodes[1].taints, [taint("node-role.kubernetes.io/etcd", "NoExecute")]);
    assert!(desired.nodes[2].taints.is_empty());
    let kubelet = yaml(&desired, 2, "/etc/kubernetes/kubelet-config.yaml");
    assert_eq!(kubelet["registerWithTaints"][0]["key"], "node-role.kubernetes.io/etcd");
    assert_eq!(desired.nodes[2].labels["node-role.kubernetes.io/worker"], "true");
    assert_eq!(desired.nodes[2].labels["zone"], "a");
}

#[test]
fn hosts_that_were_not_reached_are_left_out() {
    let cluster = cluster("v1.34.1", &[ALL, WORKER]);
    let desired = try_render(&cluster, &BTreeMap::from([(name(2), facts("h2"))])).unwrap();
    assert_eq!(desired.hosts.keys().collect::<Vec<_>>(), [&name(2)]);
    assert_eq!(desired.nodes.len(), 2);
}

#[test]
fn everything_that_nobody_knows_is_named_at_once() {
    let cluster = cluster("v1.34.1", &[ALL]);
    let release = release(&cluster);
    let input = Input {
        cluster: &cluster,
        facts: &all_facts(&cluster),
        bundle: &bundle(&cluster),
        release: &release,
        pins: &Pins::default(),
        etcd_token: "token",
        registry_authorities: &BTreeMap::new(),
    };
    let error = render(&input).unwrap_err().to_string();
    for item in [
        "kube-apiserver:v1.34.1",
        "etcd:3.6.14-0",
        "haproxy",
        "file kubelet v1.34.1",
        "file cni-plugins v1.6.2",
        "--bundle",
    ] {
        assert!(error.contains(item), "{item}: {error}");
    }
}

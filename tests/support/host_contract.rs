//! What every host must do. The same cases are asked of the fake and of a real one.
//!
//! Each takes a [`Subject`], a host with Docker on it; `contract_cases!` names them all.

use std::collections::BTreeMap;

use provision::base::{Digest, Epoch};
use provision::host::{
    Change, HostError, LogSource, LookRequest, Payload, Proof, Replacement, SharedHost, Swap, Transfer,
};
use provision::state::{
    Component, ContainerSpec, Content, DirectorySpec, FileSpec, HostSnapshot, ImageIdentity, ImageReference,
    ImageStore, LinkSpec, ObservedEntry, Owner,
};

/// Hands that reach a host past the tool.
pub trait Hands: Send + Sync {
    /// Makes a file of root's, or gives one that is there other bytes.
    fn put(&self, path: &str, bytes: &[u8]);
}

/// A host under test and what can be done to it.
pub struct Subject {
    pub host: SharedHost,
    pub hands: Box<dyn Hands>,
    /// An image whose program runs until it is stopped, and its program.
    pub image: ImageIdentity,
    pub archive: Transfer,
    pub entrypoint: Vec<String>,
}

/// Every case writes below a folder of its own here.
const ROOT: &str = "/etc/kubernetes";

pub fn transfer(bytes: Vec<u8>) -> Transfer {
    Transfer { size: bytes.len() as u64, digest: Digest::of(&bytes), source: Payload::Bytes(bytes.into()) }
}

pub async fn make(subject: &Subject, change: Change) -> Result<(), HostError> {
    subject.host.change(Epoch::FIRST, &change, &|_| {}).await
}

pub async fn look(subject: &Subject, request: LookRequest) -> HostSnapshot {
    subject.host.look(&request).await.unwrap()
}

async fn entries(subject: &Subject, folder: &str) -> BTreeMap<String, ObservedEntry> {
    look(subject, LookRequest { folders: vec![folder.to_owned()], ..LookRequest::default() }).await.entries
}

fn folder(path: &str, mode: u32) -> DirectorySpec {
    DirectorySpec { path: path.to_owned(), component: Component::Base, owner: Owner::ROOT, mode }
}

fn file(path: &str, owner: Owner, mode: u32, text: &str) -> FileSpec {
    let content = Content::Text(text.to_owned());
    FileSpec { path: path.to_owned(), component: Component::Base, owner, mode, content }
}

fn link(path: &str, target: &str) -> LinkSpec {
    LinkSpec { path: path.to_owned(), component: Component::Base, target: target.to_owned() }
}

fn seen_file(owner: Owner, mode: u32, bytes: impl AsRef<[u8]>) -> ObservedEntry {
    ObservedEntry::File { owner, mode, digest: Digest::of(bytes) }
}

const OTHER: Owner = Owner { uid: 52034, gid: 52034 };

pub async fn a_look_tells_what_the_host_is(subject: Subject) {
    let missing = format!("{ROOT}/contract-not-there");
    let request = LookRequest {
        folders: vec![missing.clone()],
        paths: vec![format!("{missing}/file")],
        texts: vec![format!("{missing}/text")],
        packages: vec!["docker.io".into(), "no-such-package".into()],
        units: vec!["docker.service".into(), "no-such.service".into()],
        sysctls: vec!["net.ipv4.ip_forward".into(), "no.such.setting".into()],
        containers: vec!["no-such-container".into()],
        ..LookRequest::default()
    };
    let seen = look(&subject, request).await;
    assert_eq!(seen.facts.operating_system.id, "debian");
    assert_eq!(seen.facts.architecture, "x86_64");
    assert!(seen.facts.memory_bytes > 1 << 28);
    assert_eq!(seen.facts.disks.len(), 4);
    assert!(seen.facts.disks.values().all(|(free, total)| free <= total && *total > 0));
    assert!(seen.facts.clock_offset_seconds.abs() <= 2, "{}", seen.facts.clock_offset_seconds);
    assert_eq!(seen.facts.etcd_uid_holder.as_deref(), Some("root"));
    let docker = seen.facts.docker.unwrap();
    assert!(docker.running);
    assert!(docker.version.starts_with("20."), "{}", docker.version);
    assert_eq!(seen.facts.containerd_version.as_deref(), Some("1.6.20"));
    assert!(seen.entries.is_empty() && seen.merged_files.is_empty());
    assert_eq!(seen.packages.keys().collect::<Vec<_>>(), ["docker.io"]);
    assert_eq!(seen.units.keys().collect::<Vec<_>>(), ["docker.service"]);
    assert!(seen.units["docker.service"].enabled);
    assert_eq!(seen.units["docker.service"].active, "active");
    assert_eq!(seen.sysctls.keys().collect::<Vec<_>>(), ["net.ipv4.ip_forward"]);
    assert!(!seen.containers.contains_key("no-such-container"));
}

pub async fn files_folders_and_links_are_as_they_were_written(subject: Subject) {
    let root = format!("{ROOT}/contract-write");
    let (text, target) = (format!("{root}/deep/a file"), format!("{root}/link"));
    let change = Change::Write {
        directories: vec![folder(ROOT, 0o755), folder(&root, 0o750), folder(&format!("{root}/deep"), 0o700)],
        files: vec![file(&text, OTHER, 0o640, "one\ntwo"), file(&format!("{root}/empty"), Owner::ROOT, 0o600, "")],
        links: vec![link(&target, "deep/a file")],
    };
    // Once more does no harm.
    for _ in 0..2 {
        make(&subject, change.clone()).await.unwrap();
        let wanted: BTreeMap<String, ObservedEntry> = [
            (root.clone(), ObservedEntry::Directory { owner: Owner::ROOT, mode: 0o750 }),
            (format!("{root}/deep"), ObservedEntry::Directory { owner: Owner::ROOT, mode: 0o700 }),
            (text.clone(), seen_file(OTHER, 0o640, "one\ntwo")),
            (format!("{root}/empty"), seen_file(Owner::ROOT, 0o600, "")),
            (target.clone(), ObservedEntry::Link { target: "deep/a file".into() }),
        ]
        .into();
        assert_eq!(entries(&subject, &root).await, wanted);
    }
    let request = LookRequest { texts: vec![text.clone()], paths: vec![target.clone()], ..LookRequest::default() };
    let seen = look(&subject, request).await;
    assert_eq!(seen.merged_files[&text], "one\ntwo");
    assert_eq!(seen.entries.keys().collect::<Vec<_>>(), [&target]);
}

pub async fn a_write_replaces_content_owner_and_mode(subject: Subject) {
    let root = format!("{ROOT}/contract-replace");
    let path = format!("{root}/file");
    let write = |owner, mode, text: &str| Change::Write {
        directories: vec![folder(&root, 0o755)],
        files: vec![file(&path, owner, mode, text)],
        links: Vec::new(),
    };
    make(&subject, write(Owner::ROOT, 0o600, "old")).await.unwrap();
    make(&subject, write(OTHER, 0o644, "new")).await.unwrap();
    assert_eq!(entries(&subject, &root).await[&path], seen_file(OTHER, 0o644, "new"));
    let links = |target: &str| Change::Write {
        directories: Vec::new(),
        files: Vec::new(),
        links: vec![link(&path, target), link(&format!("{root}/to-folder"), target)],
    };
    make(&subject, links("/etc")).await.unwrap();
    make(&subject, links("/opt")).await.unwrap();
    let seen = entries(&subject, &root).await;
    assert_eq!(seen[&path], ObservedEntry::Link { target: "/opt".into() });
    assert_eq!(seen[&format!("{root}/to-folder")], ObservedEntry::Link { target: "/opt".into() });
}

pub async fn a_folder_in_the_place_of_a_file_stays(subject: Subject) {
    let root = format!("{ROOT}/contract-folder");
    let path = format!("{root}/place");
    let change = Change::Write { directories: vec![folder(&path, 0o700)], files: Vec::new(), links: Vec::new() };
    make(&subject, change).await.unwrap();
    let write = Change::Write {
        directories: Vec::new(),
        files: vec![file(&path, Owner::ROOT, 0o600, "text")],
        links: Vec::new(),
    };
    assert!(matches!(make(&subject, write).await, Err(HostError::Refused { .. })));
    assert!(matches!(make(&subject, Change::Remove(vec![path.clone()])).await, Err(HostError::Refused { .. })));
    let send = Change::Send { path: path.clone(), owner: Owner::ROOT, mode: 0o600, payload: transfer(vec![1]) };
    assert!(matches!(make(&subject, send).await, Err(HostError::Refused { .. })));
    let seen = entries(&subject, &root).await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), [&root, &path]);
}

pub async fn values_that_would_be_other_values_are_refused(subject: Subject) {
    let refused = [
        Change::Remove(vec!["/etc/a\n/etc/b".into()]),
        Change::Remove(vec!["relative".into()]),
        Change::Remove(vec![format!("{ROOT}/../passwd")]),
        Change::LoadModules(vec!["-r".into()]),
        Change::InstallPackages(vec!["--purge".into()]),
        Change::StartContainer("../images".into()),
        Change::SetSysctls([("net.ipv4.ip_forward".to_owned(), "1\nkernel.panic = 1".to_owned())].into()),
    ];
    for change in refused {
        assert!(matches!(make(&subject, change.clone()).await, Err(HostError::Refused { .. })), "{change:?}");
    }
}

pub async fn a_sent_file_is_there_or_not_at_all(subject: Subject) {
    let root = format!("{ROOT}/contract-send");
    let path = format!("{root}/bin/program");
    let send = |payload| Change::Send { path: path.clone(), owner: OTHER, mode: 0o755, payload };
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| (number >> 3) as u8).collect();
    make(&subject, send(transfer(bytes.clone()))).await.unwrap();
    let wrong = Transfer { digest: Digest::of("other"), ..transfer(vec![1; 3_000_000]) };
    assert!(matches!(make(&subject, send(wrong.clone())).await, Err(HostError::LocalContent { .. })));
    let short = Transfer { size: 3_000_001, ..transfer(vec![1; 3_000_000]) };
    assert!(matches!(make(&subject, send(short)).await, Err(HostError::LocalContent { .. })));
    let elsewhere = Change::Send { path: format!("{root}/bin/other"), owner: OTHER, mode: 0o755, payload: wrong };
    assert!(matches!(make(&subject, elsewhere).await, Err(HostError::LocalContent { .. })));
    // Until the host has noticed that its sender has gone.
    let seen = entries(&subject, &format!("{root}/bin")).await;
    assert_eq!(seen.len(), 2, "{:?}", seen.keys());
    assert_eq!(seen[&path], seen_file(OTHER, 0o755, &bytes));
}

pub async fn one_changed_byte_shows_in_files_of_any_size(subject: Subject) {
    let root = format!("{ROOT}/contract-byte");
    for size in [100, 3_000_000] {
        let path = format!("{root}/file");
        let mut bytes = vec![7; size];
        let payload = transfer(bytes.clone());
        make(&subject, Change::Send { path: path.clone(), owner: Owner::ROOT, mode: 0o644, payload }).await.unwrap();
        assert_eq!(entries(&subject, &root).await[&path], seen_file(Owner::ROOT, 0o644, &bytes));
        bytes[size / 2] = 8;
        subject.hands.put(&path, &bytes);
        assert_eq!(entries(&subject, &root).await[&path], seen_file(Owner::ROOT, 0o644, &bytes));
    }
}

pub async fn an_account_is_made_once(subject: Subject) {
    let change = Change::MakeUser { name: "etcd".into(), owner: OTHER };
    for _ in 0..2 {
        make(&subject, change.clone()).await.unwrap();
        let seen = look(&subject, LookRequest { etcd_uid: OTHER.uid, ..LookRequest::default() }).await;
        assert_eq!(seen.facts.etcd_user, Some((OTHER.uid, OTHER.gid)));
        assert_eq!(seen.facts.etcd_uid_holder.as_deref(), Some("etcd"));
    }
}

pub async fn a_unit_is_enabled_and_started(subject: Subject) {
    let name = "provision-contract.service".to_owned();
    let path = format!("/etc/systemd/system/{name}");
    let text = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    let files = vec![file(&path, Owner::ROOT, 0o644, text)];
    make(&subject, Change::Write { directories: Vec::new(), files, links: Vec::new() }).await.unwrap();
    let request = || LookRequest { units: vec![name.clone()], ..LookRequest::default() };
    let units = Change::Units { enable: vec![name.clone()], start: vec![name.clone()], restart: Vec::new() };
    make(&subject, units).await.unwrap();
    let restart = Change::Units { enable: Vec::new(), start: Vec::new(), restart: vec![name.clone()] };
    make(&subject, restart).await.unwrap();
    let seen = look(&subject, request()).await.units;
    assert!(seen[&name].enabled && seen[&name].active == "active", "{seen:?}");
    let lines = subject.host.log_tail(&LogSource::Unit(name.clone()), 5).await.unwrap();
    assert!(!lines.is_empty() && lines.len() <= 5);
    let missing = vec!["no-such.service".to_owned()];
    let change = Change::Units { enable: Vec::new(), start: missing, restart: Vec::new() };
    assert!(matches!(make(&subject, change).await, Err(HostError::Refused { .. })));
}

pub async fn sysctls_are_set_and_read_back(subject: Subject) {
    let wanted: BTreeMap<String, String> = [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into();
    make(&subject, Change::SetSysctls(wanted.clone())).await.unwrap();
    let request = LookRequest { sysctls: wanted.keys().cloned().collect(), ..LookRequest::default() };
    assert_eq!(look(&subject, request).await.sysctls, wanted);
}

pub async fn files_and_links_are_removed(subject: Subject) {
    let root = format!("{ROOT}/contract-remove");
    let paths = [format!("{root}/file"), format!("{root}/link")];
    let change = Change::Write {
        directories: vec![folder(&root, 0o700)],
        files: vec![file(&paths[0], Owner::ROOT, 0o600, "text")],
        links: vec![link(&paths[1], "/etc")],
    };
    make(&subject, change).await.unwrap();
    for _ in 0..2 {
        make(&subject, Change::Remove(paths.to_vec())).await.unwrap();
        assert_eq!(entries(&subject, &root).await.keys().collect::<Vec<_>>(), [&root]);
    }
}

pub fn spec(subject: &Subject, name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: subject.image.clone(),
        entrypoint: subject.entrypoint.clone(),
        arguments: Vec::new(),
        first_start_arguments: Vec::new(),
        user: "65535:65535".into(),
        mounts: vec![provision::state::Mount { path: "/etc".into(), writable: false }],
        privileged: false,
        capabilities: vec!["NET_BIND_SERVICE".into()],
        read_only_root: true,
        tmpfs: vec!["/run".into()],
        oom_score_adj: -997,
        cgroup_parent: String::new(),
        stop_timeout_seconds: 3,
    }
}

pub fn load_change(subject: &Subject) -> Change {
    Change::LoadImage {
        store: ImageStore::Docker,
        reference: subject.image.reference.clone(),
        id: Some(subject.image.id.clone()),
        payload: subject.archive.clone(),
    }
}

async fn load(subject: &Subject) {
    make(subject, load_change(subject)).await.unwrap();
}

pub async fn images_are_loaded_into_both_stores(subject: Subject) {
    let reference = subject.image.reference.clone();
    load(&subject).await;
    let change = Change::LoadImage {
        store: ImageStore::Containerd,
        reference: reference.clone(),
        id: None,
        payload: subject.archive.clone(),
    };
    make(&subject, change).await.unwrap();
    let seen = look(&subject, LookRequest::default()).await;
    assert_eq!(seen.docker_images.get(&reference), Some(&subject.image.id));
    assert!(seen.containerd_images.contains_key(&reference));
    let wrong = Change::LoadImage {
        store: ImageStore::Docker,
        reference: ImageReference("example.org/other:1".into()),
        id: None,
        payload: Transfer { digest: Digest::of("other"), ..subject.archive.clone() },
    };
    assert!(matches!(make(&subject, wrong).await, Err(HostError::LocalContent { .. })));
    let seen = look(&subject, LookRequest::default()).await;
    assert!(!seen.docker_images.contains_key(&ImageReference("example.org/other:1".into())));
}

pub async fn a_container_is_made_started_and_removed(subject: Subject) {
    let name = "contract-container";
    load(&subject).await;
    let wanted = spec(&subject, name);
    let request = || LookRequest { containers: vec![name.into()], ..LookRequest::default() };
    make(&subject, Change::CreateContainer(Box::new(wanted.clone()))).await.unwrap();
    let made = look(&subject, request()).await.containers.remove(name).unwrap();
    assert_eq!(made.spec, wanted);
    assert_eq!(made.irregularities, Vec::<String>::new());
    assert_eq!(made.label.as_deref(), Some(wanted.digest().as_str()));
    assert_eq!((made.status.as_str(), made.running, made.exit_code), ("created", false, None));
    // The same once more is kept, another of the same name is not touched.
    make(&subject, Change::CreateContainer(Box::new(wanted.clone()))).await.unwrap();
    let other = ContainerSpec { oom_score_adj: -500, ..wanted.clone() };
    assert!(matches!(make(&subject, Change::CreateContainer(Box::new(other))).await, Err(HostError::Refused { .. })));
    for _ in 0..2 {
        make(&subject, Change::StartContainer(name.into())).await.unwrap();
        let started = look(&subject, request()).await.containers.remove(name).unwrap();
        assert!(started.running && started.id == made.id && started.spec == wanted);
    }
    subject.host.log_tail(&LogSource::Container(name.into()), 10).await.unwrap();
    let remove = Change::RemoveContainer(name.into());
    assert!(matches!(make(&subject, remove.clone()).await, Err(HostError::Refused { .. })));
    let stop = Change::StopContainer(name.into());
    for _ in 0..2 {
        make(&subject, stop.clone()).await.unwrap();
        let stopped = look(&subject, request()).await.containers.remove(name).unwrap();
        assert!(!stopped.running && stopped.status == "exited" && stopped.exit_code.is_some(), "{stopped:?}");
    }
    for _ in 0..2 {
        make(&subject, remove.clone()).await.unwrap();
        assert!(!look(&subject, request()).await.containers.contains_key(name));
    }
    make(&subject, stop).await.unwrap();
}

/// A swap whose proof asks nothing: that it can be started is enough.
pub fn swap_change(wanted: &ContainerSpec, record: &str) -> Change {
    Change::Swap(Box::new(Swap {
        replacement: Replacement::Container(Box::new(wanted.clone())),
        reads: Vec::new(),
        files: vec![file(record, Owner::ROOT, 0o600, &wanted.oom_score_adj.to_string())],
        proof: Proof { probes: Vec::new(), stays_seconds: 0 },
        patience_seconds: 10,
    }))
}

pub async fn a_running_container_is_replaced_by_another(subject: Subject) {
    let (name, root) = ("contract-swap", format!("{ROOT}/contract-swap"));
    let record = format!("{root}/record");
    load(&subject).await;
    let old = spec(&subject, name);
    let new = ContainerSpec { oom_score_adj: -500, ..old.clone() };
    let swap = swap_change(&new, &record);
    let change = Change::Write { directories: vec![folder(&root, 0o700)], files: Vec::new(), links: Vec::new() };
    make(&subject, change).await.unwrap();
    assert!(matches!(make(&subject, swap.clone()).await, Err(HostError::Refused { .. })), "there is none to replace");
    make(&subject, Change::Settle(name.into())).await.unwrap();
    make(&subject, Change::CreateContainer(Box::new(old))).await.unwrap();
    make(&subject, Change::StartContainer(name.into())).await.unwrap();
    let mut ids = Vec::new();
    // Once more does no harm.
    for _ in 0..2 {
        make(&subject, swap.clone()).await.unwrap();
        let mut seen = look(&subject, LookRequest::default()).await;
        assert!(!seen.swaps.contains_key(name));
        assert!(!seen.containers.contains_key("contract-swap.next"));
        let seen = seen.containers.remove(name).unwrap();
        assert!(seen.running && seen.spec == new && seen.irregularities.is_empty(), "{seen:?}");
        ids.push(seen.id);
        assert_eq!(entries(&subject, &root).await[&record], seen_file(Owner::ROOT, 0o600, "-500"));
    }
    assert_eq!(ids[0], ids[1]);
    for change in [Change::StopContainer(name.into()), Change::RemoveContainer(name.into())] {
        make(&subject, change).await.unwrap();
    }
}

pub async fn a_container_needs_its_image(subject: Subject) {
    let mut wanted = spec(&subject, "contract-no-image");
    wanted.image.reference = ImageReference("example.org/no-such-image:1".into());
    let create = Change::CreateContainer(Box::new(wanted.clone()));
    assert!(matches!(make(&subject, create).await, Err(HostError::Refused { .. })));
    load(&subject).await;
    wanted.image = ImageIdentity { id: Digest::of("other bytes"), ..subject.image.clone() };
    let create = Change::CreateContainer(Box::new(wanted));
    assert!(matches!(make(&subject, create).await, Err(HostError::Refused { .. })));
    let start = Change::StartContainer("contract-no-image".into());
    assert!(matches!(make(&subject, start).await, Err(HostError::Refused { .. })));
}

pub async fn a_port_where_nobody_listens_is_refused(subject: Subject) {
    assert!(matches!(subject.host.open_tcp("127.0.0.1", 1).await, Err(HostError::Refused { .. })));
    let missing = LogSource::Container("no-such-container".into());
    assert!(matches!(subject.host.log_tail(&missing, 10).await, Err(HostError::Refused { .. })));
}

/// Hands the names of all cases to a macro.
macro_rules! contract_cases {
    ($use:ident) => {
        $use! {
            a_look_tells_what_the_host_is,
            files_folders_and_links_are_as_they_were_written,
            a_write_replaces_content_owner_and_mode,
            a_folder_in_the_place_of_a_file_stays,
            values_that_would_be_other_values_are_refused,
            a_sent_file_is_there_or_not_at_all,
            one_changed_byte_shows_in_files_of_any_size,
            an_account_is_made_once,
            a_unit_is_enabled_and_started,
            sysctls_are_set_and_read_back,
            files_and_links_are_removed,
            images_are_loaded_into_both_stores,
            a_container_is_made_started_and_removed,
            a_running_container_is_replaced_by_another,
            a_container_needs_its_image,
            a_port_where_nobody_listens_is_refused
        }
    };
}
pub(crate) use contract_cases;

use super::*;

const OURS: &str = include_str!("recorded/container.json");
const BY_HAND: &str = include_str!("recorded/container_by_hand.json");
const IMAGE: &str = include_str!("recorded/image.json");
const IMAGE_ID: &str = "sha256:d16383c77244e72a540fe0fbccafe8cd0924baaa41a3491690ddecd68e2d2f3a";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What the recorded container was made from.
fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "rec-ours".into(),
        image: ImageIdentity {
            reference: ImageReference("registry.k8s.io/pause:3.10.1".into()),
            id: Digest::parse(IMAGE_ID).unwrap(),
        },
        entrypoint: vec!["/pause".into()],
        arguments: vec!["-a".into(), "b c".into()],
        first_start_arguments: vec!["--initial-cluster=x".into()],
        user: "65535:65535".into(),
        mounts: vec![Mount { path: "/etc".into(), writable: false }],
        privileged: false,
        capabilities: vec!["NET_BIND_SERVICE".into()],
        read_only_root: true,
        tmpfs: vec!["/run".into()],
        oom_score_adj: -997,
        cgroup_parent: "/provision".into(),
        stop_timeout_seconds: 3,
    }
}

/// The recorded container with one of Docker's values changed.
fn with(pointer: &str, value: Value) -> ObservedContainer {
    let mut inspected = json(OURS);
    *inspected.pointer_mut(pointer).unwrap() = value;
    observed(&inspected, Some(&json(IMAGE))).unwrap()
}

#[test]
fn a_container_of_ours_is_read_back_as_it_was_asked_for() {
    let seen = observed(&json(OURS), Some(&json(IMAGE))).unwrap();
    let mut wanted = spec();
    wanted.arguments.append(&mut wanted.first_start_arguments);
    assert_eq!(seen.spec, wanted);
    assert_eq!(seen.irregularities, Vec::<String>::new());
    assert_eq!(seen.label.as_deref(), Some(spec().digest().as_str()));
    assert_eq!((seen.status.as_str(), seen.running, seen.exit_code, seen.started_at), ("created", false, None, None));
}

#[test]
fn a_container_made_by_hand_shows_all_that_is_odd_and_no_value_of_its_environment() {
    let seen = observed(&json(BY_HAND), Some(&json(IMAGE))).unwrap();
    assert_eq!(seen.label, None);
    assert_eq!((seen.status.as_str(), seen.exit_code), ("exited", Some(0)));
    assert_eq!(seen.started_at.as_deref(), Some("2026-11-25T22:13:44.126296701Z"));
    assert_eq!(seen.spec.capabilities, ["SYS_ADMIN"]);
    let odd = seen.irregularities.join("\n");
    for part in [
        "network mode: none",
        "restart policy: on-failure",
        "dropped capabilities: null",
        "init: true",
        "PidMode: host",
        "Devices: [",
        "Memory: 104857600",
        "security option missing: no-new-privileges",
        "security option: seccomp=unconfined",
        "environment variable GODEBUG",
        "mount /etc:/host-etc",
        "mount /opt:/opt:ro,rshared",
        "tmpfs /x with options size=1m",
    ] {
        assert!(odd.contains(part), "{part} is missing in\n{odd}");
    }
    assert!(!odd.contains("secret"), "{odd}");
}

#[test]
fn each_change_by_hand_shows() {
    let changes = [
        ("/HostConfig/NetworkMode", json!("bridge")),
        ("/HostConfig/RestartPolicy/Name", json!("no")),
        ("/HostConfig/SecurityOpt", json!([])),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges:false"])),
        ("/HostConfig/CapDrop", json!(["NET_RAW"])),
        ("/HostConfig/Init", json!(true)),
        ("/HostConfig/MaskedPaths", json!([])),
        ("/HostConfig/ReadonlyPaths", json!([])),
        ("/HostConfig/IpcMode", json!("host")),
        ("/HostConfig/PidsLimit", json!(5)),
        ("/HostConfig/PortBindings", json!({ "80/tcp": [] })),
        ("/HostConfig/Ulimits", json!([{ "Name": "nofile" }])),
        ("/HostConfig/Tmpfs", json!({ "/run": "exec" })),
        ("/HostConfig/Binds", json!(["/etc:/elsewhere:ro"])),
        ("/HostConfig/Runtime", json!("other")),
        ("/Config/Env", json!(["LD_PRELOAD=/x"])),
        ("/Config/Tty", json!(true)),
    ];
    for (pointer, value) in changes {
        let seen = with(pointer, value.clone());
        assert!(!seen.irregularities.is_empty(), "{pointer} = {value}");
    }
    let changes = [
        ("/Config/Cmd", json!(["-a"])),
        ("/Config/Entrypoint", json!(["/sh"])),
        ("/Config/User", json!("0:0")),
        ("/Config/StopTimeout", json!(null)),
        ("/Image", json!(Digest::of("other").as_str())),
        ("/HostConfig/Binds", json!(["/etc:/etc"])),
        ("/HostConfig/CapAdd", json!(null)),
        ("/HostConfig/Privileged", json!(true)),
        ("/HostConfig/ReadonlyRootfs", json!(false)),
        ("/HostConfig/OomScoreAdj", json!(0)),
        ("/HostConfig/CgroupParent", json!("")),
    ];
    let untouched = observed(&json(OURS), Some(&json(IMAGE))).unwrap();
    for (pointer, value) in changes {
        assert_ne!(with(pointer, value.clone()).spec, untouched.spec, "{pointer} = {value}");
    }
}

#[test]
fn a_privileged_container_drops_and_masks_nothing() {
    let request = create_request(&ContainerSpec { privileged: true, ..spec() });
    assert_eq!(request["HostConfig"]["CapDrop"], Value::Null);
    assert_eq!(request["HostConfig"]["SecurityOpt"], json!(["no-new-privileges"]));
    let mut inspected = json(OURS);
    for (name, value) in [("Privileged", json!(true)), ("CapDrop", Value::Null), ("MaskedPaths", Value::Null)] {
        inspected["HostConfig"][name] = value;
    }
    assert_eq!(observed(&inspected, Some(&json(IMAGE))).unwrap().irregularities, Vec::<String>::new());
}

#[test]
fn an_answer_without_what_every_container_has_is_none() {
    for name in ["Id", "Name", "Image"] {
        let mut inspected = json(OURS);
        inspected[name] = Value::Null;
        assert!(observed(&inspected, None).is_none(), "{name}");
    }
}

#[test]
fn images_are_listed_by_each_name() {
    let list = json!([
        { "Id": IMAGE_ID, "RepoTags": ["a:1", "b:2"] },
        { "Id": IMAGE_ID, "RepoTags": ["<none>:<none>"] },
        { "Id": IMAGE_ID, "RepoTags": null },
    ]);
    let names: Vec<String> = images(&list).into_keys().map(|reference| reference.0).collect();
    assert_eq!(names, ["a:1", "b:2"]);
}

#[test]
fn log_frames_become_lines() {
    let frame =
        |text: &str| [&[1, 0, 0, 0][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let mut stream = [frame("one\ntw"), frame("o\n"), frame("three")].concat();
    assert_eq!(log_lines(&stream), ["one", "two", "three"]);
    stream.truncate(stream.len() - 2);
    assert_eq!(log_lines(&stream), ["one", "two", "thr"]);
    assert!(log_lines(&[1, 0, 0]).is_empty());
}

#[test]
fn names_that_would_lead_elsewhere_are_not_plain() {
    for name in ["kube-apiserver", "registry.k8s.io/pause:3.10", "registry:5000/a@sha256:00"] {
        assert!(is_plain(name), "{name}");
    }
    for name in ["", "a b", "../images", "a?force=true", "a#b", "a%2e", "a\n"] {
        assert!(!is_plain(name), "{name:?}");
    }
}

#[test]
fn images_of_dockers_hub_are_listed_by_short_names_and_known_by_their_full_ones() {
    let id = Digest::of(b"image");
    let list = json!([{"Id": id, "RepoTags": ["haproxy:2.6.12", "site/tool:1", "registry.k8s.io/pause:3.10", "localhost/own:1"]}]);
    let names: Vec<String> = images(&list).into_keys().map(|name| name.0).collect();
    let full =
        ["docker.io/library/haproxy:2.6.12", "docker.io/site/tool:1", "localhost/own:1", "registry.k8s.io/pause:3.10"];
    assert_eq!(names, full);
}

#[test]
fn what_docker_adds_to_a_privileged_container_is_not_irregular() {
    let options = json!(["no-new-privileges", "label=disable"]);
    assert_eq!(security_options(&options, true), Vec::<String>::new());
    assert_eq!(security_options(&options, false), ["security option: label=disable"]);
}

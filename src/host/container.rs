//! Containers in Docker's words: what is asked for, and what is read back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::base::Digest;
use crate::state::{ContainerSpec, ImageIdentity, ImageReference, Mount, ObservedContainer};

/// Label with the digest of the spec that a container was made from.
pub(super) const DIGEST_LABEL: &str = "dev.provision.digest";

/// The body of a request that makes a container.
pub(super) fn create_request(spec: &ContainerSpec) -> Value {
    let arguments: Vec<&String> = spec.arguments.iter().chain(&spec.first_start_arguments).collect();
    let bind = |mount: &Mount| format!("{0}:{0}:{1}", mount.path, if mount.writable { "rw" } else { "ro" });
    let tmpfs: BTreeMap<&String, &str> = spec.tmpfs.iter().map(|path| (path, "")).collect();
    let mut host = json!({
        "NetworkMode": "host",
        "RestartPolicy": { "Name": "always" },
        "Binds": spec.mounts.iter().map(bind).collect::<Vec<_>>(),
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only_root,
        "Tmpfs": tmpfs,
        "SecurityOpt": ["no-new-privileges"],
        "OomScoreAdj": spec.oom_score_adj,
        "CgroupParent": spec.cgroup_parent,
        // Or the daemon's configuration would decide.
        "Init": false,
    });
    // Privileged means all capabilities; taking them away at the same time is no clear request.
    if !spec.privileged {
        host["CapDrop"] = json!(["ALL"]);
        host["CapAdd"] = json!(spec.capabilities);
    }
    json!({
        "Image": spec.image.reference,
        "Entrypoint": spec.entrypoint,
        "Cmd": arguments,
        "User": spec.user,
        "Labels": { DIGEST_LABEL: spec.digest() },
        "StopTimeout": spec.stop_timeout_seconds,
        "HostConfig": host,
    })
}

/// The id of the image that a container runs, from what Docker says about the container.
pub(super) fn image_id(inspected: &Value) -> Option<&str> {
    inspected["Image"].as_str()
}

/// Reads a container back. `image` is what Docker says about its image, where it was asked: what comes from there is
/// not irregular. None when the answer lacks what every container has.
pub(super) fn observed(inspected: &Value, image: Option<&Value>) -> Option<ObservedContainer> {
    let (config, host, state) = (&inspected["Config"], &inspected["HostConfig"], &inspected["State"]);
    let name = inspected["Name"].as_str()?.trim_start_matches('/').to_owned();
    let mut irregularities = irregularities(config, host, image);
    let mounts = mounts(host, &mut irregularities);
    // To Docker a container between two starts of a crash loop runs.
    let running = state["Running"] == true && state["Restarting"] != true;
    let spec = ContainerSpec {
        name: name.clone(),
        image: ImageIdentity {
            reference: ImageReference(text(&config["Image"])),
            id: Digest::parse(image_id(inspected)?)?,
        },
        entrypoint: texts(&config["Entrypoint"]),
        arguments: texts(&config["Cmd"]),
        first_start_arguments: Vec::new(),
        user: text(&config["User"]),
        mounts,
        privileged: host["Privileged"].as_bool().unwrap_or(false),
        capabilities: capabilities(&host["CapAdd"]),
        read_only_root: host["ReadonlyRootfs"].as_bool().unwrap_or(false),
        tmpfs: tmpfs(&host["Tmpfs"], &mut irregularities),
        oom_score_adj: host["OomScoreAdj"].as_i64().unwrap_or(0),
        cgroup_parent: text(&host["CgroupParent"]),
        // Docker's own default, seconds.
        stop_timeout_seconds: config["StopTimeout"].as_i64().unwrap_or(10),
    };
    let started = state["StartedAt"].as_str().filter(|time| !time.starts_with("0001-")).map(str::to_owned);
    Some(ObservedContainer {
        id: inspected["Id"].as_str()?.to_owned(),
        name,
        spec,
        irregularities,
        status: text(&state["Status"]),
        running,
        exit_code: state["ExitCode"].as_i64().filter(|_| !running && started.is_some()),
        started_at: started,
        label: config["Labels"][DIGEST_LABEL].as_str().map(str::to_owned),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// Docker takes capabilities with and without their prefix, and keeps what it was given.
fn capabilities(value: &Value) -> Vec<String> {
    let bare = |name: String| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name);
    let sorted: BTreeSet<String> = texts(value).into_iter().map(bare).collect();
    sorted.into_iter().collect()
}

fn mounts(host: &Value, irregularities: &mut Vec<String>) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for bind in texts(&host["Binds"]) {
        let mut parts = bind.splitn(3, ':');
        let (outside, inside) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let options = parts.next().unwrap_or("rw");
        match options {
            "rw" | "ro" if outside == inside => mounts.push(Mount { path: outside.into(), writable: options == "rw" }),
            _ => irregularities.push(format!("mount {bind}")),
        }
    }
    mounts.sort();
    mounts
}

fn tmpfs(value: &Value, irregularities: &mut Vec<String>) -> Vec<String> {
    let mut paths = Vec::new();
    for (path, options) in value.as_object().into_iter().flatten() {
        match options.as_str() {
            None | Some("") => {}
            Some(options) => irregularities.push(format!("tmpfs {path} with options {options}")),
        }
        paths.push(path.clone());
    }
    paths.sort();
    paths
}

/// Settings that no spec of ours can have, as Docker's names; present and not empty means irregular.
const UNWANTED: [&str; 27] = [
    "Mounts",
    "VolumesFrom",
    "Devices",
    "DeviceRequests",
    "DeviceCgroupRules",
    "PortBindings",
    "PublishAllPorts",
    "Links",
    "ExtraHosts",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "GroupAdd",
    "Sysctls",
    "Ulimits",
    "UTSMode",
    "UsernsMode",
    "PidMode",
    "StorageOpt",
    "VolumeDriver",
    "AutoRemove",
    "OomKillDisable",
    "Memory",
    "NanoCpus",
    "CpuShares",
    "CpuQuota",
    "CpusetCpus",
];

fn irregularities(config: &Value, host: &Value, image: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |name: &str, seen: &Value, wanted: bool| {
        if !wanted {
            found.push(format!("{name}: {}", shown(seen)));
        }
    };
    expect("network mode", &host["NetworkMode"], host["NetworkMode"] == "host");
    expect("restart policy", &host["RestartPolicy"]["Name"], host["RestartPolicy"]["Name"] == "always");
    let privileged = host["Privileged"] == true;
    expect("dropped capabilities", &host["CapDrop"], privileged || drops_all(&host["CapDrop"]));
    expect("init", &host["Init"], host["Init"] != true);
    expect("runtime", &host["Runtime"], matches!(host["Runtime"].as_str(), None | Some("" | "runc")));
    expect("IPC mode", &host["IpcMode"], matches!(host["IpcMode"].as_str(), None | Some("" | "private" | "shareable")));
    let limit = host["PidsLimit"].as_i64().unwrap_or(0);
    expect("process limit", &host["PidsLimit"], limit <= 0);
    // Docker fills these in where nothing else was asked for; an empty list lays everything open.
    let masked = |paths: &Value| privileged || paths.as_array().is_none_or(|paths| !paths.is_empty());
    expect("masked paths", &host["MaskedPaths"], masked(&host["MaskedPaths"]));
    expect("read-only paths", &host["ReadonlyPaths"], masked(&host["ReadonlyPaths"]));
    for name in ["Tty", "OpenStdin"] {
        expect(name, &config[name], config[name] != true);
    }
    for name in UNWANTED {
        expect(name, &host[name], is_empty(&host[name]));
    }
    found.extend(security_options(&host["SecurityOpt"], privileged));
    found.extend(beyond_image(config, image));
    found
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn drops_all(value: &Value) -> bool {
    texts(value).iter().any(|name| matches!(name.as_str(), "ALL" | "CAP_ALL"))
}

fn security_options(value: &Value, privileged: bool) -> Vec<String> {
    let mut options = texts(value);
    // Docker adds it to every privileged container by itself.
    options.retain(|option| !(privileged && option == "label=disable"));
    let is_ours = |option: &String| {
        matches!(option.as_str(), "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
    };
    let missing = (!options.iter().any(is_ours)).then(|| "security option missing: no-new-privileges".to_owned());
    let others = options.iter().filter(|option| !is_ours(option)).map(|option| format!("security option: {option}"));
    others.chain(missing).collect()
}

/// Environment, working directory and health check that are not the image's.
fn beyond_image(config: &Value, image: Option<&Value>) -> Vec<String> {
    let Some(image) = image.map(|image| &image["Config"]) else { return Vec::new() };
    let (ours, theirs) = (texts(&config["Env"]), texts(&image["Env"]));
    // Only names: what stands behind them may be a secret.
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let added = ours.iter().filter(|entry| !theirs.contains(entry));
    let mut found: Vec<String> = added.map(|entry| format!("environment variable {}", name(entry))).collect();
    for field in ["WorkingDir", "Healthcheck", "StopSignal"] {
        let (ours, theirs) = (&config[field], &image[field]);
        if ours != theirs && !(is_empty(ours) && is_empty(theirs)) {
            found.push(format!("{field}: {} instead of the image's {}", shown(ours), shown(theirs)));
        }
    }
    found
}

/// Names of the images in Docker's list, each with the id that the engine's store reports.
pub(super) fn images(list: &Value) -> BTreeMap<ImageReference, Digest> {
    let mut found = BTreeMap::new();
    for image in list.as_array().into_iter().flatten() {
        let Some(id) = image["Id"].as_str().and_then(Digest::parse) else { continue };
        for tag in texts(&image["RepoTags"]).into_iter().filter(|tag| !tag.starts_with("<none>")) {
            found.insert(full_name(&tag), id.clone());
        }
    }
    found
}

/// Docker lists images of its own hub by their short names: `haproxy:2.8` is `docker.io/library/haproxy:2.8`.
fn full_name(listed: &str) -> ImageReference {
    let is_registry = |first: &str| first.contains(['.', ':']) || first == "localhost";
    ImageReference(match listed.split_once('/') {
        Some((first, _)) if is_registry(first) => listed.to_owned(),
        Some(_) => format!("docker.io/{listed}"),
        None => format!("docker.io/library/{listed}"),
    })
}

/// Names in a list of containers.
pub(super) fn names(list: &Value) -> Vec<String> {
    let first = |container: &Value| texts(&container["Names"]).first().map(|name| name.trim_start_matches('/').into());
    list.as_array().into_iter().flatten().filter_map(first).collect()
}

/// Whether a text can stand in the path of a request without being quoted.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:@".contains(&byte);
    !text.is_empty() && text.bytes().all(plain) && !text.contains("..")
}

/// The `filters` parameter that selects containers of ours.
pub(super) fn our_label_filter() -> String {
    // `{"label":["dev.provision.digest"]}`, quoted for a query.
    format!("%7B%22label%22%3A%5B%22{DIGEST_LABEL}%22%5D%7D")
}

/// Lines out of Docker's log stream: frames of a header (stream, three zeros, length) and text that may hold several
/// lines or parts of one.
pub(super) fn log_lines(bytes: &[u8]) -> Vec<String> {
    let mut text = Vec::new();
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_at_checked(8) {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let (frame, after) = after.split_at(length.min(after.len()));
        text.extend_from_slice(frame);
        rest = after;
    }
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;

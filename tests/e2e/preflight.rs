//! What makes a run impossible is found on all hosts at once, before anything is changed.

use std::fs;

use crate::harness::{Kubectl, Lab, Picture, V1_34};

#[test]
fn everything_wrong_with_all_hosts_is_reported_together_and_nothing_is_changed() {
    let lab = Lab::empty("3", V1_34);
    let nobody = format!(
        "  - address: {}\n    hostname_override: h9\n    user: root\n    role: [worker]\nservices:",
        lab.address("h9")
    );
    lab.edit_config("services:", &nobody);
    lab.edit_config("plugin: flannel", "plugin: flannel\n  mtu: 9000");
    another_host_key(&lab, "h1");
    lab.script("h2", "rm /root/.ssh/authorized_keys");
    lab.script(
        "h3",
        "/usr/sbin/sshd -p 6443; echo nameserver 127.0.0.53 >/etc/resolv.conf; mkdir -p /etc/kubernetes/pki /var/lib/etcd/member; \
         echo another >/etc/kubernetes/pki/ca.crt; ip route add 10.42.7.0/24 dev eth0",
    );
    let before = Picture::of_hosts(&lab, &["h1", "h2", "h3"]);

    for command in [&["plan"][..], &["up", "--yes"]] {
        let ran = lab.tool().run(&[command, &["--connect-timeout", "10"]].concat()).expect(4);
        for (host, words) in [
            ("h9", &["unreachable"][..]),
            ("h1", &["key", "changed"]),
            ("h2", &["root"]),
            ("h3", &["6443", "sshd"]),
            ("h3", &["127.0.0.53", "resolvConf"]),
            ("h3", &["mtu-too-large", "9000", "eth0"]),
            ("h3", &["range-overlap", "pod range", "10.42.7.0/24"]),
            ("h3", &["another cluster", "/etc/kubernetes/pki/ca.crt"]),
        ] {
            let is_told = paragraphs(&ran.stderr, host).any(|text| words.iter().all(|word| text.contains(word)));
            assert!(is_told, "nothing about {host} with {words:?} in {ran}");
        }
    }
    Picture::of_hosts(&lab, &["h1", "h2", "h3"]).is_as(&before);
    assert!(!lab.state().join("keys").exists(), "a refused run made keys");
}

#[test]
fn a_user_with_sudo_brings_up_a_cluster_and_one_without_is_told_what_is_missing() {
    let lab = Lab::prepared("1", V1_34);
    lab.edit_config("user: root", "user: ops");
    lab.script("h1", "mv /etc/sudoers.d/ops /root/sudoers");
    lab.tool().up().expect(4).says("sudo").says("ops");
    lab.script("h1", "mv /root/sudoers /etc/sudoers.d/ops");
    lab.tool().up().succeeded();
    Kubectl::operator(&lab).await_nodes(&["h1"]);
    lab.tool().finds_nothing_to_do();
    let groups = lab.script("h1", "id -nG ops");
    assert!(!groups.contains("docker"), "the user was added to {groups}");
}

#[test]
fn a_first_host_key_is_recorded_and_shown_unless_strict() {
    let lab = Lab::empty("1", V1_34);
    let known_hosts = lab.folder().join("cluster.known_hosts");
    let real = fs::read_to_string(&known_hosts).expect("known hosts");
    fs::remove_file(&known_hosts).expect("known hosts");
    lab.tool().run(&["plan", "--strict-host-keys"]).expect(4).says("h1").says("key");
    assert!(!known_hosts.exists(), "a strict run recorded a key");
    lab.tool().plan().expect(2).says("SHA256:");
    let recorded = fs::read_to_string(&known_hosts).expect("known hosts");
    let keys = |text: &str| {
        text.split_whitespace().filter(|word| word.starts_with("AAAA")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(
        !keys(&recorded).is_empty() && keys(&recorded).iter().all(|key| keys(&real).contains(key)),
        "{recorded} of {real}"
    );
    lab.tool().run(&["plan", "--strict-host-keys"]).expect(2);
}

/// Makes the known hosts file say that a host had other keys.
fn another_host_key(lab: &Lab, host: &str) {
    let path = lab.folder().join("cluster.known_hosts");
    let text = fs::read_to_string(&path).expect("known hosts");
    let other = fs::read_to_string(lab.folder().join("id_ed25519.pub")).expect("a public key");
    let other = other.split_whitespace().nth(1).expect("a key").to_owned();
    let (address, own) = (lab.address(host), format!("{} ", lab.address(host)));
    let others: String = text.lines().filter(|line| !line.starts_with(&own)).map(|line| format!("{line}\n")).collect();
    fs::write(&path, format!("{others}{address} ssh-ed25519 {other}\n")).expect("known hosts");
}

/// Findings about a host: a line with its name and those that belong to it.
fn paragraphs<'a>(text: &'a str, host: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|at| !lines[*at].starts_with(' ')).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([lines.len()]).collect();
    let found: Vec<String> = starts.iter().zip(ends).map(|(start, end)| lines[*start..end].join("\n")).collect();
    found.into_iter().filter(move |text| text.lines().next().is_some_and(|line| line.contains(host)))
}

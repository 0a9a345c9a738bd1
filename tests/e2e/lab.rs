//! The lab itself: what it hands to the tool is what it says.

use std::process::Command;

use crate::harness::{Lab, V1_24, V1_34, run};

#[test]
fn every_program_of_the_bundles_reports_the_version_of_its_tag() {
    let lab = Lab::none(V1_34);
    for version in [V1_34, V1_24, "workload"] {
        let ran = lab.command(&["verify", version]).succeeded();
        assert!(ran.stdout.lines().count() > usize::from(version != "workload") * 20, "{ran}");
        assert!(!ran.has("WRONG"), "{ran}");
    }
}

#[test]
fn too_little_disk_is_said_before_anything_is_built() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text").to_owned();
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "lab-test", &path])).succeeded();
    let lab = Lab::none(V1_34);
    let ran = lab.command_with(&["bundle", V1_34], &[("PROVISION_LAB_CACHE", &path)]);
    run(Command::new("umount").arg(&path)).succeeded();
    ran.expect(1).says("MiB of disk").says("MiB are free");
}

/// The engine lives longer than the call that starts it: a lock that it held would never be let go. Where another lab keeps
/// the engine running, this call starts none and nothing is shown.
#[test]
fn the_engine_holds_nothing_that_its_caller_had_open() {
    let lab = Lab::none(V1_34);
    lab.command(&["down"]).succeeded();
    let folder = tempfile::tempdir().expect("a folder");
    let lock = folder.path().join("lock");
    // A call under a lock that the call inherits, as operators of a shared machine would have it.
    let call = lab.program(&["hosts", "1"]);
    let mut locked = Command::new("flock");
    locked.arg(&lock).arg(call.get_program()).args(call.get_args());
    locked.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(&mut locked).succeeded();
    run(Command::new("flock").arg("--nonblock").arg(&lock).arg("true")).succeeded();
}

#[test]
fn a_killed_lab_call_is_completed_by_the_next_and_down_leaves_nothing() {
    let lab = Lab::none(V1_34);
    for host in ["h1", "h2"] {
        lab.kill_when(&["hosts", "2"], &format!("host {host} to be made"), || lab.has_host(host));
        lab.command(&["hosts", "2"]).succeeded();
        assert_eq!(lab.script("h2", "uname -n").trim(), "h2");
        lab.kill_when(&["down"], "host h1 to be gone", || !lab.has_host("h1"));
        lab.command(&["down"]).succeeded();
    }
    let name = format!("provision-lab {}", lab.name());
    let rules = run(Command::new("iptables-save").args(["-c"])).succeeded();
    assert!(!rules.has(&name), "{rules}");
    assert!(!lab.folder().exists(), "{} is left", lab.folder().display());
}

//! The state folder against a living cluster.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Lab, Picture, V1_34};

#[test]
fn without_its_state_a_living_cluster_is_left_alone_and_a_damaged_state_stops_everything() {
    let lab = Lab::prepared("1", V1_34);
    lab.tool().up().succeeded();
    let before = Picture::of_host(&lab, "h1");

    let kept = lab.folder().join("kept.state");
    fs::rename(lab.state(), &kept).expect("the state folder");
    lab.tool().up().expect(4).says("other-cluster").says("h1");
    lab.tool().plan().expect(4).says("other-cluster");
    assert!(files(&lab.state()).iter().all(|file| !file.ends_with(".json")), "keys were made for a cluster that lives");
    let _ = fs::remove_dir_all(lab.state());
    fs::rename(&kept, lab.state()).expect("the state folder");
    lab.tool().finds_nothing_to_do();

    let mut damaged = 0;
    for file in files(&lab.state()) {
        let name = file.strip_prefix(lab.state()).expect("a file of the state").to_owned();
        // Neither decides anything: see docs/state.md.
        if name.starts_with("runs") || name == Path::new("LOCK") {
            continue;
        }
        damaged += 1;
        let whole = fs::read(&file).expect("a file of the state");
        fs::write(&file, &whole[..whole.len() / 2]).expect("a file of the state");
        lab.tool().up().expect(5).says(name.file_name().expect("a name").to_str().expect("text"));
        fs::write(&file, &whole).expect("a file of the state");
    }
    assert!(damaged >= 4, "only {damaged} files of the state decide something");
    lab.tool().finds_nothing_to_do();
    Picture::of_host(&lab, "h1").is_as(&before);
}

#[test]
#[ignore = "a minute; the lock is tried beside the code"]
fn a_second_up_at_the_same_time_is_refused_and_told_of_the_first() {
    let lab = Lab::prepared("1", V1_34);
    let mut first = lab.tool().start_up();
    first.read_until(&["\"run-started\""]);
    let process = first.process().to_string();
    lab.tool().up().expect(5).says(&process);
    first.finish();
    lab.tool().finds_nothing_to_do();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

//! The files of examples/ work, and one of them shows every key.

use std::fs;
use std::path::Path;

use provision::config::reference;

use crate::config_cases::load_bytes;

fn example(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
}

#[test]
fn every_example_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let loaded = load_bytes(&fs::read(&path).unwrap());
            let loaded = loaded.unwrap_or_else(|findings| panic!("{}:\n{findings}", path.display()));
            assert_eq!(loaded.advice, Vec::<String>::new(), "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn the_high_availability_example_may_lose_any_one_node() {
    let cluster = load_bytes(&example("ha.yml")).unwrap().cluster;
    assert_eq!((cluster.control_planes().count(), cluster.etcd_members().count(), cluster.nodes.len()), (3, 3, 4));
}

#[test]
fn one_example_shows_every_honoured_key() {
    let text = String::from_utf8(example("every-key.yml")).unwrap();
    let table = reference();
    let honoured = table.split("## Known").next().unwrap();
    let rows: Vec<&str> = honoured.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(rows.len() > 30, "{rows:?}");
    for row in rows {
        let key = row.rsplit('.').next().unwrap().trim_end_matches("[]");
        let written = text.lines().any(|line| line.trim_start_matches([' ', '-']).starts_with(&format!("{key}:")));
        assert!(written, "{row} is missing");
    }
}

#[test]
fn the_files_for_vagrant_name_its_machines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vagrant");
    let machines = fs::read_to_string(folder.join("Vagrantfile")).unwrap();
    for topology in ["single", "ha"] {
        let file = fs::read(folder.join(format!("{topology}.yml"))).unwrap();
        let cluster = load_bytes(&file).unwrap_or_else(|findings| panic!("{topology}:\n{findings}")).cluster;
        let section = machines.split(&format!("\"{topology}\" => {{")).nth(1).unwrap();
        let lines = section.trim_start().lines();
        let made: Vec<(&str, &str)> = lines.map_while(machine).collect();
        let named: Vec<(&str, &str)> =
            cluster.nodes.iter().map(|node| (node.name.as_str(), node.address.as_str())).collect();
        assert_eq!(made, named, "{topology}");
    }
}

/// Name and address in a line such as `"node1" => { address: "192.168.56.11", memory: 3072 },`.
fn machine(line: &str) -> Option<(&str, &str)> {
    let mut quoted = line.split('"').skip(1).step_by(2);
    Some((quoted.next()?, quoted.next()?))
}

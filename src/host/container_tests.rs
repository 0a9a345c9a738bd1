use super::*;

#[test]
fn images_of_dockers_hub_are_listed_by_short_names_and_known_by_their_full_ones() {
    let id = Digest::of(b"image");
    let list = json!([{"Id": id, "RepoTags": ["haproxy:2.6.12", "site/tool:1", "registry.k8s.io/pause:3.10", "localhost/own:1"]}]);
    let names: Vec<String> = images(&list).into_keys().map(|name| name.0).collect();
    let full = ["docker.io/library/haproxy:2.6.12", "docker.io/site/tool:1", "localhost/own:1", "registry.k8s.io/pause:3.10"];
    assert_eq!(names, full);
}

#[test]
fn what_docker_adds_to_a_privileged_container_is_not_irregular() {
    let options = json!(["no-new-privileges", "label=disable"]);
    assert_eq!(security_options(&options, true), Vec::<String>::new());
    assert_eq!(security_options(&options, false), ["security option: label=disable"]);
}

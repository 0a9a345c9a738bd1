//! `up` killed in the middle is completed by the next one.

use crate::harness::{Kubectl, Lab, Picture, V1_34};

#[test]
fn an_up_killed_at_any_of_ten_points_is_completed_by_the_next() {
    killed_at(10);
}

#[test]
#[ignore = "a quarter of an hour; every second of its points is near one of the ten of the case above"]
fn an_up_killed_at_any_of_twenty_points_is_completed_by_the_next() {
    killed_at(20);
    println!("long: 20 points");
}

/// Kills a whole `up` at as many points, which lie evenly between the starts and ends of its steps.
fn killed_at(points: usize) {
    let lab = Lab::prepared("1", V1_34);
    let whole = lab.tool().start_up().finish().iter().filter(|event| is_of_plan(event)).count();
    println!("an undisturbed run has {whole} starts and ends of steps");
    for point in 1..=points {
        lab.again("1");
        killed_after(&lab, whole * point / (points + 1), point % 2 == 1);
    }
}

/// What every run has as often. How much else it tells depends on how long it waits.
fn is_of_plan(event: &str) -> bool {
    event.contains("\"step-started\"") || event.contains("\"step-done\"")
}

/// Kills it right after so many starts and ends, or at whatever it tells next: it may be deep in a wait then.
fn killed_after(lab: &Lab, mut left: usize, later: bool) {
    let mut running = lab.tool().start_up();
    while left > 0 {
        let Some(event) = running.next() else {
            panic!("up ended after {} events instead of being killed", running.seen().len())
        };
        left -= usize::from(is_of_plan(&event));
    }
    if later {
        running.next();
    }
    running.kill();
    lab.tool().up().succeeded();
    Kubectl::operator(lab).await_nodes(&["h1"]);
    let before = Picture::of_host(lab, "h1");
    lab.tool().finds_nothing_to_do();
    Picture::of_host(lab, "h1").is_as(&before);
}

#[test]
#[ignore = "two minutes; a death at every point of three nodes is tried against fakes"]
fn the_first_start_of_three_etcd_members_survives_a_kill_between_any_two() {
    let lab = Lab::prepared("3", V1_34);
    for started in [1, 2] {
        lab.again("3");
        let mut running = lab.tool().start_up();
        for _ in 0..started {
            running.read_until(&["\"step-started\"", "/container/etcd\""]);
        }
        running.kill();
        lab.tool().up().succeeded();
        Kubectl::operator(&lab).await_nodes(&["h1", "h2", "h3"]);
        lab.tool().finds_nothing_to_do();
    }
}

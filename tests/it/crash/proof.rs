//! A workload that was applied over one that ran: what comes back where it does not get ready, and what is said of it.

use provision::base::StepId;
use provision::engine::Outcome;
use provision::host::{FakeProcess, Moment};
use provision::plan::{Action, Plan, Step};
use provision::state::Object;
use serde_json::{Value, json};

use super::drain::{Impatient, run_with};
use super::{Desk, ONE_NODE, Stage};

const IMAGE: &str = "/spec/template/spec/containers/0/image";
const SICK: &str = "example.org/coredns:sick";

/// A living cluster whose CoreDNS was just replaced by one that does not get ready.
struct Trial<'a> {
    stage: Stage<'a>,
    old: Object,
}

impl<'a> Trial<'a> {
    /// `generation` is the new one's; the fake's controllers have seen 0 and no other.
    fn new(desk: &'a Desk, generation: u64) -> Self {
        let (stage, loaded) = ONE_NODE.stage(desk);
        stage.must(&loaded, "the cluster");
        let mut body = stage.world.object("Deployment", "coredns");
        body["metadata"]
            .as_object_mut()
            .expect("an object")
            .retain(|name, _| !["uid", "managedFields"].contains(&name.as_str()));
        let old = Object::new(body.clone()).expect("an object");
        *body.pointer_mut(IMAGE).expect("an image") = json!(SICK);
        body["metadata"]["generation"] = json!(generation);
        stage.world.by_hand(body);
        Self { stage, old }
    }

    fn breaks(self, text: &str) -> Self {
        self.stage.world.broken.lock().unwrap().insert(text.into(), "no such zone".into());
        self
    }

    fn run(&self, process: &FakeProcess, operator: &Impatient) -> Outcome {
        let (addon, key) = ("dns".into(), self.old.key.clone());
        let step = Step {
            id: StepId("cluster/ready/coredns".into()),
            host: None,
            title: "wait for CoreDNS".into(),
            reason: String::new(),
            details: Vec::new(),
            action: Action::Prove { addon, key, before: vec![Vec::new(), vec![self.old.clone()]] },
            after: Vec::new(),
            log: None,
            contained: true,
        };
        let plan = Plan { steps: vec![step], ..Plan::default() };
        run_with(&self.stage.world, &plan, process, operator, &operator.cancellation).0
    }

    /// What is said of it, where it may take its time.
    fn fails(&self, process: &FakeProcess) -> String {
        let patient = Impatient { awaited: "nothing that is ever said", ..Impatient::default() };
        self.run(process, &patient).failed.remove(0).1
    }

    fn image(&self) -> Value {
        self.stage.world.object("Deployment", "coredns").pointer(IMAGE).expect("an image").clone()
    }

    fn old_image(&self) -> &Value {
        self.old.body.pointer(IMAGE).expect("an image")
    }
}

#[test]
fn the_old_one_comes_back_and_is_awaited() {
    let desk = Desk::new();
    let trial = Trial::new(&desk, 0).breaks("coredns:sick");
    let text = trial.fails(&FakeProcess::new());
    let start = "the old one is back, since the new one failed: add-on dns is not ready after 300 s: 0 of 1 pods ready";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(&trial.image(), trial.old_image());
}

#[test]
fn an_old_one_that_is_not_ready_either_is_told_with_both_reasons() {
    let desk = Desk::new();
    let trial = Trial::new(&desk, 0).breaks("coredns");
    let text = trial.fails(&FakeProcess::new());
    let start = "the old one was applied again and is not ready either (add-on dns is not ready after 300 s: ";
    assert!(text.starts_with(start) && text.contains("; the new one failed: add-on dns is not ready after"), "{text}");
    assert_eq!(&trial.image(), trial.old_image());
}

#[test]
fn an_old_one_that_the_api_refuses_is_not_said_to_be_back() {
    let desk = Desk::new();
    let trial = Trial::new(&desk, 0).breaks("coredns");
    let process = FakeProcess::new();
    process.dies_at(0, Moment::Before);
    let text = trial.fails(&process);
    assert!(
        text.starts_with("the old one could not be applied again, or not all of it (applying: the process is dead); "),
        "{text}"
    );
    assert_eq!(trial.image(), SICK);
}

#[test]
fn what_no_controller_has_tried_is_not_put_back() {
    let desk = Desk::new();
    let trial = Trial::new(&desk, 1).breaks("coredns:sick");
    let text = trial.fails(&FakeProcess::new());
    assert!(text.starts_with("add-on dns is not ready after 300 s: no controller-manager has seen"), "{text}");
    assert_eq!(trial.image(), SICK);
}

#[test]
fn the_operator_who_stops_the_wait_finds_what_was_applied() {
    let desk = Desk::new();
    let trial = Trial::new(&desk, 0).breaks("coredns:sick");
    let outcome = trial.run(&FakeProcess::new(), &Impatient { awaited: "0 of 1", ..Impatient::default() });
    assert_eq!((outcome.failed, outcome.skipped), (Vec::new(), 1));
    assert_eq!(trial.image(), SICK);
}

#[test]
fn the_operator_who_stops_the_way_back_is_told_that_nobody_has_seen_its_end() {
    let desk = Desk::new();
    let trial = Trial::new(&desk, 0).breaks("coredns");
    let outcome = trial.run(&FakeProcess::new(), &Impatient { awaited: "is put back", ..Impatient::default() });
    let text = &outcome.failed[0].1;
    assert!(text.starts_with("the old one was applied again and not awaited, since the new one failed: "), "{text}");
    assert_eq!(&trial.image(), trial.old_image());
}

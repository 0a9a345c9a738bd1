//! One `up`, with the times of its steps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::tool::Running;

/// What one run took.
pub struct Measured {
    /// From the start of the program to its end.
    pub took: Duration,
    /// The most memory that it had at any time.
    pub peak_kibibytes: u64,
    /// When each step was done.
    steps: BTreeMap<String, Duration>,
    /// When each step began.
    begun: BTreeMap<String, Duration>,
    /// Events with counts of round trips, one for each host.
    trips: Vec<Value>,
}

/// Follows a run to its end, which must be a good one.
pub fn measure(running: &mut Running) -> Measured {
    let (mut steps, mut begun, mut trips, mut peak) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), 0);
    while let Some(line) = running.next() {
        // The system keeps the highest value itself: the last one that can be read counts.
        peak = peak_of(running.process()).max(peak);
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        match (event["event"].as_str(), event["step"].as_str()) {
            (Some("step-done"), Some(step)) => {
                let took = event["milliseconds"].as_f64().unwrap_or_default() / 1000.0;
                println!("{:7.2} s  {step}, after {took:.2} s", running.since_start().as_secs_f64());
                steps.insert(step.to_owned(), running.since_start());
            }
            (Some("step-started"), Some(step)) => {
                begun.insert(step.to_owned(), running.since_start());
            }
            (Some("round-trips"), _) => trips.push(event),
            (Some(phase @ ("phase" | "run-started" | "run-finished")), _) => {
                println!("{:7.2} s  {}", running.since_start().as_secs_f64(), event["text"].as_str().unwrap_or(phase));
            }
            _ => {}
        }
    }
    let took: Duration = running.wait_well();
    Measured { took, peak_kibibytes: peak, steps, begun, trips }
}

fn peak_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.split_whitespace().next()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Measured {
    /// When a step was done, from the start of the program.
    pub fn step(&self, name: &str) -> Duration {
        *self.steps.get(name).unwrap_or_else(|| panic!("no step {name} in {:?}", self.steps.keys()))
    }

    /// How long after the start of the program the first step began whose name ends like this.
    pub fn before(&self, end: &str) -> Duration {
        let begun = self.begun.iter().filter(|(name, _)| name.ends_with(end)).map(|(_, when)| *when);
        begun.min().unwrap_or_else(|| panic!("no step …{end} in {:?}", self.begun.keys()))
    }

    /// What all steps took together whose names end like this.
    pub fn took_by(&self, end: &str) -> Duration {
        let steps = self.steps.iter().filter(|(name, _)| name.ends_with(end));
        steps.map(|(name, done)| *done - self.begun[name]).sum()
    }

    /// A count over all hosts: the highest chain, or the sum.
    pub fn round_trips(&self, field: &str) -> String {
        let counts = self.trips.iter().filter_map(|event| event[field].as_u64());
        let count = if field == "total" { counts.sum() } else { counts.max().unwrap_or(0) };
        if self.trips.is_empty() { "not told".into() } else { count.to_string() }
    }
}

/// A moment, for those who measure around something.
pub fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

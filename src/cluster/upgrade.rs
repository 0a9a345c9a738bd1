//! In which portions nodes are upgraded, and how they are emptied: `upgrade_strategy`.

use std::time::Duration;

use crate::config::{Config, Field, NodeDrainInput, shown};

use super::checks::Checks;
use super::placement::{Amount, amount, count, one_of};

const MOST_CANARIES: u32 = 1000;
/// RKE's bounds and default, in seconds.
const DRAIN_TIMEOUT: (u32, u32, u32) = (1, 120, 10_800);
/// A pod that needs more than a day to end needs another way out.
const LONGEST_SECONDS: u32 = 86_400;

/// `upgrade_strategy`, all defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeStrategy {
    /// `max_unavailable_worker`; never nothing.
    pub max_unavailable_workers: Amount,
    /// `drain`.
    pub draining: Draining,
    /// `node_drain_input`.
    pub drain_options: DrainOptions,
    /// `canary`: workers that go alone and first; 0 for none.
    pub canary: u32,
    /// `soak`: how long the cluster is watched after the canary, in whole seconds.
    pub soak: Duration,
    /// `on_failure`.
    pub on_failure: OnFailure,
}

/// When a node is emptied before its kubelet or runtime changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draining {
    /// Nothing is written: where pods would see the change, as with another minor of kubelet (Kubernetes supports no
    /// other way there).
    WhereNeeded,
    /// `true`.
    Always,
    /// `false`: obeyed, and warned of.
    Never,
}

/// How a node is emptied: `upgrade_strategy.node_drain_input`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainOptions {
    /// `force`: whether pods are evicted that nobody makes anew.
    pub force: bool,
    /// `ignore_daemonsets`: whether pods of DaemonSets stay; where not, they block.
    pub ignore_daemonsets: bool,
    /// `delete_local_data`: whether pods with `emptyDir` volumes are evicted.
    pub delete_local_data: bool,
    /// `grace_period` in seconds; none for what each pod asks for itself.
    pub grace_period: Option<u32>,
    /// `timeout`: from 1 to 10800 seconds.
    pub timeout: Duration,
}

/// What a run does after a step that failed and was put back: `on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends.
    Stop,
    /// It takes back what it has upgraded so far.
    RollBack,
}

impl Default for UpgradeStrategy {
    fn default() -> Self {
        Self {
            max_unavailable_workers: Amount::Percent(10),
            draining: Draining::WhereNeeded,
            drain_options: DrainOptions::default(),
            canary: 0,
            soak: Duration::ZERO,
            on_failure: OnFailure::Stop,
        }
    }
}

/// RKE's.
impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            force: false,
            ignore_daemonsets: true,
            delete_local_data: false,
            grace_period: None,
            timeout: Duration::from_secs(DRAIN_TIMEOUT.1.into()),
        }
    }
}

impl UpgradeStrategy {
    /// How many of so many workers are upgraded at the same time: percentages are rounded down, and it is one at least and
    /// all of them at most.
    pub fn batch(&self, workers: usize) -> usize {
        let wanted = match self.max_unavailable_workers {
            Amount::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Amount::Percent(percent) => usize::try_from(percent).unwrap_or(100).saturating_mul(workers) / 100,
        };
        wanted.clamp(1, workers.max(1))
    }
}

impl Draining {
    /// Whether a node is emptied before a change, where pods see it or not.
    pub fn drains(self, pods_see_it: bool) -> bool {
        match self {
            Self::WhereNeeded => pods_see_it,
            Self::Always => true,
            Self::Never => false,
        }
    }

    /// What the plan says about a change that pods see and for which nodes are not emptied.
    pub fn warning(self) -> Option<&'static str> {
        let text = "`upgrade_strategy.drain: false`: nodes are not emptied, and pods run through a change of kubelet for \
                    which Kubernetes wants them gone; some may be restarted or lose their probes meanwhile";
        (self == Self::Never).then_some(text)
    }
}

/// `upgrade_strategy`, all rules checked.
pub(super) fn strategy(config: &Config, checks: &mut Checks) -> UpgradeStrategy {
    let written = &config.upgrade_strategy;
    let defaults = UpgradeStrategy::default();
    let workers = portion(&written.max_unavailable_worker, "workers", checks);
    let control_planes = portion(&written.max_unavailable_controlplane, "control planes", checks);
    if control_planes.is_some_and(|amount| amount != Amount::Count(1)) {
        let text =
            "`upgrade_strategy.max_unavailable_controlplane` is not used: control planes are upgraded one at a time";
        checks.advise(text.into());
    }
    let canary = count(&written.canary, "number of canaries", 0, MOST_CANARIES, checks).unwrap_or(defaults.canary);
    UpgradeStrategy {
        max_unavailable_workers: workers.unwrap_or(defaults.max_unavailable_workers),
        draining: match written.drain.value() {
            None => Draining::WhereNeeded,
            Some(true) => Draining::Always,
            Some(false) => Draining::Never,
        },
        drain_options: drain_options(&written.node_drain_input, checks),
        canary,
        soak: soak(&written.soak, &written.canary, checks).unwrap_or(defaults.soak),
        on_failure: match one_of(&written.on_failure, "answer to a failure", &["stop", "rollback"], checks) {
            Some("rollback") => OnFailure::RollBack,
            _ => OnFailure::Stop,
        },
    }
}

/// A number or percentage of nodes; not nothing, since no node would ever be upgraded.
fn portion(field: &Field<String>, things: &str, checks: &mut Checks) -> Option<Amount> {
    let amount = amount(field, things, checks)?;
    if !matches!(amount, Amount::Count(0) | Amount::Percent(0)) {
        return Some(amount);
    }
    if let Some(written) = field.written() {
        checks.fail(
            written.at,
            format!("{} of the {things} may be upgraded at the same time: none ever would be", shown(written)),
            "write a number such as 1, or a percentage such as `10%`",
        );
    }
    None
}

fn drain_options(written: &NodeDrainInput, checks: &mut Checks) -> DrainOptions {
    let defaults = DrainOptions::default();
    let flag = |field: &Field<bool>, default: bool| field.value().copied().unwrap_or(default);
    DrainOptions {
        force: flag(&written.force, defaults.force),
        ignore_daemonsets: flag(&written.ignore_daemonsets, defaults.ignore_daemonsets),
        delete_local_data: flag(&written.delete_local_data, defaults.delete_local_data),
        grace_period: grace_period(&written.grace_period, checks),
        timeout: timeout(&written.timeout, checks).unwrap_or(defaults.timeout),
    }
}

fn grace_period(field: &Field<i64>, checks: &mut Checks) -> Option<u32> {
    let written = field.written().filter(|written| written.value != -1)?;
    let seconds = u32::try_from(written.value).ok().filter(|seconds| *seconds <= LONGEST_SECONDS);
    if seconds.is_none() {
        let help = format!("write seconds, 0 to {LONGEST_SECONDS}, or -1 for what each pod asks for itself");
        checks.fail(written.at, format!("{} is no grace period", written.value), help);
    }
    seconds
}

/// Zero means "for ever" to others; a run that never ends tells nobody what it waits for.
fn timeout(field: &Field<i64>, checks: &mut Checks) -> Option<Duration> {
    let (least, default, most) = DRAIN_TIMEOUT;
    let written = field.written()?;
    let seconds = u64::try_from(written.value).ok().filter(|seconds| (least.into()..=most.into()).contains(seconds));
    if seconds.is_none() {
        let message = match written.value {
            0 => "a drain with a time-out of 0 seconds would end before it begins".to_owned(),
            other => format!("{other} is no time-out of a drain"),
        };
        checks.fail(written.at, message, format!("write seconds, {least} to {most}; {default} is the default"));
    }
    seconds.map(Duration::from_secs)
}

fn soak(field: &Field<String>, canary: &Field<i64>, checks: &mut Checks) -> Option<Duration> {
    let written = field.written()?;
    let soak = duration(&written.value).filter(|soak| soak.as_secs() <= LONGEST_SECONDS.into());
    match soak {
        None => {
            let help = "write a number with `s`, `m` or `h` behind it, such as `60s`; at most `24h`";
            checks.fail(written.at, format!("{} is no duration", shown(written)), help);
        }
        Some(soak)
            if !soak.is_zero()
                && matches!(canary, Field::Missing | Field::Written(crate::config::At { value: 0, .. })) =>
        {
            checks.fail(
                written.at,
                "`soak` has no meaning without `canary`: nothing is upgraded before the others",
                "write `canary: 1`, or leave `soak` out",
            );
        }
        Some(_) => {}
    }
    soak
}

/// A whole number of seconds, minutes or hours.
fn duration(text: &str) -> Option<Duration> {
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| digits)?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(amount: Amount, workers: usize) -> usize {
        UpgradeStrategy { max_unavailable_workers: amount, ..UpgradeStrategy::default() }.batch(workers)
    }

    #[test]
    fn a_portion_is_rounded_down_and_never_empty() {
        for (amount, workers, wanted) in [
            (Amount::Percent(10), 0, 1),
            (Amount::Percent(10), 1, 1),
            (Amount::Percent(10), 19, 1),
            (Amount::Percent(10), 20, 2),
            (Amount::Percent(33), 10, 3),
            (Amount::Percent(100), 7, 7),
            (Amount::Count(3), 2, 2),
            (Amount::Count(3), 100, 3),
        ] {
            assert_eq!(batch(amount, workers), wanted, "{amount} of {workers}");
        }
    }

    #[test]
    fn a_node_is_emptied_where_pods_see_the_change_unless_the_file_says_otherwise() {
        assert!(Draining::WhereNeeded.drains(true) && !Draining::WhereNeeded.drains(false));
        assert!(Draining::Always.drains(false) && !Draining::Never.drains(true));
        assert!(Draining::Never.warning().is_some() && Draining::WhereNeeded.warning().is_none());
    }

    #[test]
    fn durations_are_whole_numbers_with_a_unit() {
        for (text, seconds) in [("60s", Some(60)), ("10m", Some(600)), ("1h", Some(3600)), ("0s", Some(0))] {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
        }
        for text in ["", "s", "60", "1.5h", "-1s", "1h30m", "60 s", "99999999999999999999h", "18446744073709551615h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}

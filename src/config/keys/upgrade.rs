//! `upgrade_strategy`: in which portions nodes are upgraded, and how they are emptied.

use crate::config::schema::Shape::{Flag, Integer, Text};
use crate::config::schema::{Key, honoured, ours, section};

pub(super) const UPGRADE_STRATEGY: &[Key] = &[
    honoured(
        "max_unavailable_worker",
        Text,
        "`10%`",
        "Workers that are upgraded at the same time: a number, or a percentage of all workers, rounded down; one at least.",
    ),
    honoured(
        "max_unavailable_controlplane",
        Text,
        "`1`",
        "Control planes are upgraded one at a time; a higher number or a percentage is accepted and not used.",
    ),
    honoured(
        "drain",
        Flag,
        "where it is needed",
        "`true`: nodes are emptied before each change of kubelet or runtime. Left out: before those that change what pods see, such as another minor version. `false`: never; pods then go through the change.",
    ),
    section("node_drain_input", NODE_DRAIN_INPUT),
    ours("canary", Integer, "`0`", "Workers that are upgraded alone, before all others: 0 to 1000."),
    ours(
        "soak",
        Text,
        "`0s`",
        "How long the cluster is watched after the canary before the others follow: `60s`, `10m`, `1h`; at most `24h`.",
    ),
    ours(
        "on_failure",
        Text,
        "`stop`",
        "After an upgrade in which a step failed: `stop`, or `rollback`: all that was upgraded goes back too.",
    ),
];

const NODE_DRAIN_INPUT: &[Key] = &[
    honoured("force", Flag, "`false`", "Evict also pods that nobody makes anew."),
    honoured(
        "ignore_daemonsets",
        Flag,
        "`true`",
        "Leave pods of DaemonSets where they are. `false` lets no node be emptied that has one.",
    ),
    honoured(
        "delete_local_data",
        Flag,
        "`false`",
        "Evict also pods with `emptyDir` volumes, whose data is lost with them.",
    ),
    honoured(
        "grace_period",
        Integer,
        "`-1`",
        "Seconds that a pod gets to end; `-1` is what each pod asks for itself, 0 kills at once.",
    ),
    honoured("timeout", Integer, "`120`", "Seconds in which a node must be empty, 1 to 10800."),
];

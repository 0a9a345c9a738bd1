//! Exit codes, documented in `docs/output.md`.

use crate::ops::{CheckError, OperationError, SnapshotError};

/// Everything is as asked for.
pub const SUCCESS: u8 = 0;
/// Something failed on the way; what was done stays, and the next `up` goes on.
pub const FAILED: u8 = 1;
/// `plan`: there are changes. `status`: something is not healthy. `check`: something does not work. `etcd
/// snapshot`: one is damaged or missing somewhere.
pub const CHANGES: u8 = 2;
/// The input is wrong: arguments, `cluster.yml`, catalog, bundle, key file. No host was touched.
pub const INPUT: u8 = 3;
/// Pre-flight or the plan refuses; no host was changed.
pub const REFUSED: u8 = 4;
/// The state folder is damaged, newer, or held by another run.
pub const STATE: u8 = 5;
/// `up --allow-missing-images`: all was done, and pods wait for images that nobody has.
pub const MISSING_IMAGES: u8 = 6;
/// The operator stopped the run.
pub const CANCELLED: u8 = 130;

/// clap's own code for wrong arguments is ours for wrong input.
pub const USAGE: u8 = INPUT;

/// The code for an error.
pub fn code(error: &OperationError) -> u8 {
    match error {
        OperationError::Input(_) | OperationError::LocalFile { .. } | OperationError::Bundle(_) => INPUT,
        OperationError::Refused(_)
        | OperationError::Preflight(_)
        | OperationError::Supply(_)
        | OperationError::Declined => REFUSED,
        OperationError::Snapshot(error) => snapshot_code(error),
        OperationError::State(_) | OperationError::Keys(_) => STATE,
        OperationError::MissingImages(_) => MISSING_IMAGES,
        OperationError::Cancelled | OperationError::Check(CheckError::Stopped | CheckError::Abandoned(_)) => CANCELLED,
        OperationError::Incomplete { .. }
        | OperationError::Desired(_)
        | OperationError::Endpoint(_)
        | OperationError::Check(_) => FAILED,
    }
}

fn snapshot_code(error: &SnapshotError) -> u8 {
    match error {
        SnapshotError::Unknown { .. } | SnapshotError::Exists(_) => INPUT,
        SnapshotError::NotTaken(_)
        | SnapshotError::NotBegun { .. }
        | SnapshotError::NotRestored { .. }
        | SnapshotError::NotGivenUp { .. } => FAILED,
        SnapshotError::NotVerified(_) => CHANGES,
        SnapshotError::NoCluster
        | SnapshotError::NotUnderWay
        | SnapshotError::TooLate { .. }
        | SnapshotError::NoneOf(_)
        | SnapshotError::Unreachable(_)
        | SnapshotError::NoMember { .. }
        | SnapshotError::Unusable { .. }
        | SnapshotError::Replacing(_)
        | SnapshotError::Unfinished(_) => REFUSED,
    }
}

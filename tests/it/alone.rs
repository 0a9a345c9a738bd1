//! Tests that need a process of their own: each runs itself again in one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ALONE: &str = "PROVISION_TEST_ALONE";

/// Whether this is the process of its own.
pub fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs a test of this program in a process of its own.
pub fn run(test: &str) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", test]).env(ALONE, "1");
    expect_success(program);
}

/// The same, with a small disk that only this process sees; [`small_disk`] tells it where.
pub fn run_with_small_disk(test: &str, kibibytes: u32) {
    let folder = tempfile::TempDir::new().unwrap();
    let mut program = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=\"$1\"k tmpfs \"$2\" && shift 2 && exec \"$@\"";
    program.args(["--map-root-user", "--mount", "sh", "-c", mount, "sh"]);
    program.arg(kibibytes.to_string()).arg(folder.path()).arg(std::env::current_exe().unwrap());
    program.args(["--exact", test]).env(ALONE, folder.path());
    expect_success(program);
}

/// Where the small disk is.
pub fn small_disk() -> PathBuf {
    std::env::var_os(ALONE).unwrap().into()
}

fn expect_success(mut program: Command) {
    let output = program.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// The most memory that this process had beyond what it has now. Drop nothing large in between.
pub struct Peak(u64);

impl Peak {
    /// Begins to look; what was before does not count.
    pub fn begin() -> Self {
        fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(kibibytes("VmRSS:"))
    }

    /// Bytes since then.
    pub fn bytes(&self) -> u64 {
        kibibytes("VmHWM:").saturating_sub(self.0) << 10
    }
}

fn kibibytes(key: &str) -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

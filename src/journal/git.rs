//! Whether secrets are about to be committed.

use std::path::{Path, PathBuf};

use super::disk::Disk;

/// The git work tree around a path, if there is one: private keys in it are one `git add` away from being published.
pub fn git_work_tree(disk: &dyn Disk, path: &Path) -> Option<PathBuf> {
    let has_git = |folder: &&Path| disk.list(folder).is_ok_and(|names| names.iter().any(|name| name == ".git"));
    path.ancestors().skip(1).find(has_git).map(Path::to_owned)
}

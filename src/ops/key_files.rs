//! SSH key files: there, and nobody else's to read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cluster::{Cluster, key_file_positions};
use crate::config::{Config, Findings};

/// Looks at the key file of each node; its content is not read.
///
/// A file is found wrong once, at the first place that names it. `config` is the one that `cluster` was built from.
pub fn check_key_files(cluster: &Cluster, config: &Config) -> Result<(), Findings> {
    let mut findings = Findings::none(config.source().clone());
    let mut seen: Vec<&Path> = Vec::new();
    for (node, at) in cluster.nodes.iter().zip(key_file_positions(config)) {
        let Some(path) = &node.ssh.key_path else { continue };
        // Nodes share files, most often one: one finding for each is enough.
        if seen.contains(&path.as_path()) {
            continue;
        }
        seen.push(path);
        if let Err((message, help)) = check(path) {
            findings.push(at, message, help);
        }
    }
    findings.or(())
}

fn check(path: &Path) -> Result<(), (String, String)> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let help = "name a private key file with `ssh_key_path`, or write `ssh_agent_auth: true` to use an agent";
            (format!("the SSH key file {shown} does not exist"), help.to_owned())
        }
        _ => (
            format!("the SSH key file {shown} cannot be looked at: {error}"),
            "mend that, or name another file".to_owned(),
        ),
    })?;
    if !metadata.is_file() {
        return Err((format!("{shown} is not a file"), "name the private key file itself".to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("the SSH key file {shown} is open to others (mode {mode:04o})");
        return Err((message, format!("run: chmod 600 '{shown}'")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Context, Loaded, load};
    use crate::release::Catalog;

    const YAML: &str = "kubernetes_version: v1.34.1\nssh_key_path: shared\nnetwork: {plugin: none}\nnodes:\n\
        - {address: 10.0.0.1, user: root, role: [etcd, controlplane]}\n\
        - {address: 10.0.0.2, user: root, role: [worker]}\n\
        - {address: 10.0.0.3, user: root, role: [worker], ssh_key_path: own}\n";

    fn loaded(base: &Path) -> Loaded {
        let context = Context { home: "/nonexistent".into(), base: base.into() };
        load(YAML.as_bytes(), "cluster.yml", &Catalog::shipped().unwrap(), &context).unwrap()
    }

    fn findings(base: &Path) -> Vec<(usize, String)> {
        let loaded = loaded(base);
        let Err(findings) = check_key_files(&loaded.cluster, &loaded.config) else { return Vec::new() };
        findings.iter().map(|finding| (finding.at.line, finding.message.clone())).collect()
    }

    fn write(path: &Path, mode: u32) {
        fs::write(path, "key").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn missing_files_are_found_once_where_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let found = findings(folder.path());
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 7]);
        assert!(found.iter().all(|(_, message)| message.contains("does not exist")));
    }

    #[test]
    fn a_file_open_to_others_is_found() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("shared"), 0o644);
        write(&folder.path().join("own"), 0o600);
        let found = findings(folder.path());
        assert_eq!(found.len(), 1);
        assert!(found[0].1.contains("mode 0644"), "{found:?}");
    }

    #[test]
    fn a_folder_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        write(&folder.path().join("own"), 0o400);
        assert!(findings(folder.path())[0].1.contains("is not a file"));
    }
}

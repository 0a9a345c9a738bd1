//! Files with the certificates of private registries' and download sites' authorities.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cluster::Cluster;
use crate::config::{Config, Field, Findings};

/// No authority's certificates are larger.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What the files hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities {
    /// PEM by a private registry's host.
    pub registries: BTreeMap<String, String>,
    /// PEM for download sites.
    pub downloads: Option<String>,
}

/// Reads every file that `cluster.yml` names. `config` is the one that `cluster` was built from.
pub fn read_authorities(cluster: &Cluster, config: &Config) -> Result<Authorities, Findings> {
    let mut findings = Findings::none(config.source().clone());
    let mut read = |path: &Path, field: &Field<String>| match certificates(path) {
        Ok(text) => Some(text),
        Err((message, help)) => {
            if let Some(written) = field.written() {
                findings.push(written.at, message, help);
            }
            None
        }
    };
    let entries = config.private_registries.value().map(Vec::as_slice).unwrap_or_default();
    let mut authorities = Authorities::default();
    for (registry, entry) in cluster.supply.registries.iter().zip(entries) {
        if let Some(text) = registry.ca_file.as_deref().and_then(|path| read(path, &entry.ca_file)) {
            authorities.registries.insert(registry.host.clone(), text);
        }
    }
    let downloads = cluster.supply.downloads.ca_file.as_deref();
    authorities.downloads = downloads.and_then(|path| read(path, &config.downloads.ca_file));
    findings.or(authorities)
}

/// The file's certificates and nothing else of it: what stands beside them, a key for instance, must not reach hosts.
fn certificates(path: &Path) -> Result<String, (String, String)> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        (format!("the file of certificates {shown} cannot be read: {error}"), "name a file that is there".to_owned())
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let no_certificate = || {
        let help = "name a file with PEM certificates (`-----BEGIN CERTIFICATE-----`)".to_owned();
        (format!("{shown} holds no certificate"), help)
    };
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(no_certificate());
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let mut text = String::new();
    for pem in x509_parser::pem::Pem::iter_from_buffer(&bytes) {
        let pem = pem.map_err(|_| no_certificate())?;
        if pem.label != "CERTIFICATE" {
            continue;
        }
        pem.parse_x509().map_err(|_| no_certificate())?;
        text.push_str(&pem_of(&pem.contents));
    }
    if text.is_empty() { Err(no_certificate()) } else { Ok(text) }
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Context, load};
    use crate::release::Catalog;

    const YAML: &str = "network: {plugin: none}\nprivate_registries:\n- {url: 'r.example:5000', ca_file: ca.pem}\n\
        nodes:\n- {address: 10.0.0.1, user: root, role: [etcd, controlplane]}\n";

    fn read(base: &Path) -> Result<Authorities, Findings> {
        let context = Context { home: "/nonexistent".into(), base: base.into() };
        let loaded = load(YAML.as_bytes(), "cluster.yml", &Catalog::shipped().unwrap(), &context).unwrap();
        read_authorities(&loaded.cluster, &loaded.config)
    }

    fn found(base: &Path) -> String {
        let findings = read(base).unwrap_err();
        let finding = findings.iter().next().unwrap();
        format!("{}: {}", finding.at.line, finding.message)
    }

    #[test]
    fn only_certificates_are_taken_out_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["r.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), key.serialize_pem() + &certificate.pem()).unwrap();
        let text = read(folder.path()).unwrap().registries["r.example:5000"].clone();
        assert!(text.starts_with("-----BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY"), "{text}");
        assert_eq!(text, certificate.pem().replace("\r\n", "\n"));
    }

    #[test]
    fn a_file_that_is_missing_or_something_else_is_found_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(found(folder.path()).starts_with("3: the file of certificates"));
        for text in ["", "<html>", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(folder.path().join("ca.pem"), text).unwrap();
            assert!(found(folder.path()).ends_with("holds no certificate"), "{text}");
        }
    }
}

//! Texts of the operator's add-ons: files of this machine, and files at sites, which are fetched before any host is touched.

use std::collections::BTreeMap;
use std::path::Path;

use futures::future::join_all;

use crate::base::Digest;
use crate::cluster::{self, AddonInclude, AddonSource, AddonText, Cluster, Surroundings, UserAddon};
use crate::config::{Config, Findings};
use crate::desired;
use crate::event::{Event, EventSink};
use crate::journal::PinnedAddon;
use crate::release::Release;

use super::suppliers::{Suppliers, WantedFile};
use super::{Loaded, OperationError};

/// No text of an add-on is larger; what is read after it would be no finding in the right place.
const LARGEST: u64 = 4 << 20;

/// What `addons` and `addons_include` name, as far as it has been read.
#[derive(Debug)]
pub struct Addons {
    config: Config,
    includes: Vec<AddonInclude>,
    /// Texts by the entry's name.
    texts: BTreeMap<String, AddonText>,
}

impl Addons {
    /// Reads the files of this machine. Each that cannot be read is a finding at its entry.
    pub(super) fn read(config: Config, includes: Vec<AddonInclude>) -> Result<Self, Findings> {
        let mut findings = Findings::none(config.source().clone());
        let mut texts = BTreeMap::new();
        for include in &includes {
            let AddonSource::File(path) = &include.source else { continue };
            match text(path) {
                Ok(bytes) => {
                    let origin = path.display().to_string();
                    texts.insert(include.name.clone(), AddonText { include: include.clone(), origin, bytes });
                }
                Err((message, help)) => findings.push(include.at, message, help),
            }
        }
        findings.or(Self { config, includes, texts })
    }

    /// Entries whose text is not here yet.
    fn lacking(&self) -> impl Iterator<Item = &AddonInclude> {
        self.includes.iter().filter(|include| !self.texts.contains_key(&include.name))
    }

    /// Whether every text is here. A run without one of them would take its objects for forgotten.
    pub(super) fn are_complete(&self) -> bool {
        self.lacking().next().is_none()
    }

    /// The texts beside `cluster.yml`, for the generation.
    pub(super) fn pinned(&self) -> Vec<PinnedAddon> {
        let pinned =
            |text: &AddonText| PinnedAddon { name: text.include.name.clone(), digest: Digest::of(&text.bytes) };
        self.in_order().iter().map(pinned).collect()
    }

    fn in_order(&self) -> Vec<AddonText> {
        self.includes.iter().filter_map(|include| self.texts.get(&include.name).cloned()).collect()
    }

    /// Checks everything that is here; the findings of all texts come at once.
    pub(super) fn objects(&self, cluster: &Cluster, release: &Release) -> Result<Vec<UserAddon>, OperationError> {
        let bare = Cluster { addons: Vec::new(), ..cluster.clone() };
        let own = desired::object_keys(&bare, release)?;
        let surroundings = Surroundings { own: &own, release: Some(release), plugin: Some(&cluster.network.plugin) };
        cluster::user_addons(&self.config, &self.in_order(), surroundings).map_err(|findings| {
            let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
            OperationError::Input(texts.join("\n\n"))
        })
    }
}

/// Brings the texts of add-ons at sites to this machine, and checks all add-ons together. Asks nobody where all is here.
pub async fn fetch_addons(
    loaded: &mut Loaded,
    suppliers: &dyn Suppliers,
    events: &dyn EventSink,
) -> Result<(), OperationError> {
    let lacking: Vec<AddonInclude> = loaded.addons.lacking().cloned().collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let count = lacking.len();
    events.emit(Event::Phase { text: format!("looking for {count} add-on{}", if count == 1 { "" } else { "s" }) });
    let texts = join_all(lacking.iter().map(|include| fetch(include, suppliers, events))).await;
    let mut problems = Vec::new();
    for text in texts {
        match text {
            Ok(text) => drop(loaded.addons.texts.insert(text.include.name.clone(), text)),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(OperationError::Supply(problems));
    }
    loaded.cluster.addons = loaded.addons.objects(&loaded.cluster, &loaded.release)?;
    Ok(())
}

async fn fetch(include: &AddonInclude, suppliers: &dyn Suppliers, events: &dyn EventSink) -> Result<AddonText, String> {
    let AddonSource::Site { url, digest } = &include.source else {
        return Err(format!("add-on {}: its file was not read", include.name));
    };
    let item = suppliers.file(&WantedFile::Addon(url.clone()), Some(digest.clone()), events).await?;
    let bytes = text(&item.path).map_err(|(message, _)| format!("add-on {url}: {message}"))?;
    Ok(AddonText { include: include.clone(), origin: url.clone(), bytes })
}

fn text(path: &Path) -> Result<Vec<u8>, (String, String)> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        (format!("the add-on {shown} cannot be read: {error}"), "name a file that is there".to_owned())
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err((format!("the add-on {shown} is no file"), "name each of its files".to_owned()));
    }
    if metadata.len() > LARGEST {
        let message = format!("the add-on {shown} has {} bytes; more than {LARGEST} are not read", metadata.len());
        return Err((message, "divide it into several files".to_owned()));
    }
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Context, load};
    use crate::release::Catalog;

    fn read(base: &Path, name: &str) -> Result<Addons, Findings> {
        let yaml = format!(
            "network: {{plugin: flannel}}\nnodes:\n- {{address: 10.0.0.1, user: root, role: [etcd, controlplane]}}\n\
             addons_include: [{name}]\n"
        );
        let context = Context { home: "/nonexistent".into(), base: base.into() };
        let loaded = load(yaml.as_bytes(), "cluster.yml", &Catalog::shipped().unwrap(), &context).unwrap();
        Addons::read(loaded.config, loaded.includes)
    }

    #[test]
    fn a_file_is_relative_to_the_cluster_file_and_recorded_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yml"), "kind: A\n").unwrap();
        let addons = read(folder.path(), "a.yml").unwrap();
        assert_eq!(addons.pinned(), [PinnedAddon { name: "a.yml".into(), digest: Digest::of("kind: A\n") }]);
        assert!(addons.are_complete());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_found_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let large = std::fs::File::create(folder.path().join("large.yml")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        for (name, words) in
            [("missing.yml", "cannot be read"), ("folder", "is no file"), ("large.yml", "are not read")]
        {
            let findings = read(folder.path(), name).unwrap_err();
            let finding = findings.iter().next().unwrap();
            assert_eq!((finding.at.line, finding.message.contains(words)), (4, true), "{}", finding.message);
        }
    }

    #[test]
    fn a_text_at_a_site_is_lacking_until_it_is_fetched() {
        let url = format!("'https://example.org/a.yml#sha256={}'", "0".repeat(64));
        let addons = read(Path::new("/nonexistent"), &url).unwrap();
        assert!(!addons.are_complete());
    }
}

//! What hosts lack and no bundle holds is asked for before anything is planned: the plan then knows every digest.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{join, join_all};

use crate::base::Digest;
use crate::bundle::{Bundles, CNI_PLUGINS};
use crate::desired;
use crate::event::Event;
use crate::journal::{self, Origin, PinnedFile};
use crate::state::{ImageReference, ImageStore, Observed, ObservedHost};

use super::pins::{CNI, everywhere, is_everywhere, store_of};
use super::suppliers::{OfferedImage, WantedFile};
use super::{OperationError, SurveyInput};

/// Images by store and name.
pub type Offered = BTreeMap<(ImageStore, ImageReference), OfferedImage>;

/// What suppliers have brought.
#[derive(Debug, Default)]
pub struct Supplied {
    /// What registries have.
    pub images: Offered,
    /// The bundles, and the files that sites have given.
    pub bundles: Bundles,
}

/// Asks for everything that is lacking, all at once, and names all that cannot be had.
pub async fn supply(
    input: &SurveyInput<'_>,
    observed: &Observed,
    locked: Option<&journal::Pins>,
) -> Result<Supplied, OperationError> {
    let bundles = input.bundles.clone();
    let Some(suppliers) = input.suppliers else { return Ok(Supplied { images: Offered::new(), bundles }) };
    let search = Search { input, observed, locked };
    let images = search.images();
    let files = search.files();
    tell(input, &images, &files);
    let asked = images.iter().map(|(_, reference)| suppliers.image(reference));
    let fetched = files.iter().map(|(file, digest)| suppliers.file(file, digest.clone(), input.events));
    let (answers, fetched) = join(join_all(asked), join_all(fetched)).await;
    let (mut offered, mut problems) = (Offered::new(), Vec::new());
    for (key, answer) in images.into_iter().zip(answers) {
        match answer.and_then(|image| search.compared(&key, image)) {
            Ok(image) => drop(offered.insert(key, image)),
            Err(_) if search.may_lack(&key) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let mut all = bundles;
    for file in fetched {
        match file {
            Ok(item) => all.add_item(item)?,
            Err(problem) => problems.push(problem),
        }
    }
    let problems = folded(problems);
    if problems.is_empty() {
        Ok(Supplied { images: offered, bundles: all })
    } else {
        Err(OperationError::Supply(problems))
    }
}

/// How many names a line has at most.
const NAMES_SHOWN: usize = 3;

/// What is wrong with many images of a registry in the same way is said once.
fn folded(mut problems: Vec<String>) -> Vec<String> {
    problems.sort();
    problems.dedup();
    let parts = |problem: &str| {
        let (name, reason) = problem.strip_prefix("image ")?.split_once(": ")?;
        Some((name.to_owned(), reason.to_owned()))
    };
    let mut groups: Vec<(Vec<String>, String)> = Vec::new();
    let mut lines = Vec::new();
    for problem in problems {
        let Some((name, reason)) = parts(&problem) else {
            lines.push(problem);
            continue;
        };
        match groups.iter_mut().find(|(_, known)| *known == reason) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], reason)),
        }
    }
    lines.extend(groups.into_iter().map(|(names, reason)| match names.as_slice() {
        [name] => format!("image {name}: {reason}"),
        [..] => {
            let more = if names.len() > NAMES_SHOWN { ", ..." } else { "" };
            let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
            format!("{} images ({}{more}): {reason}", names.len(), shown.join(", "))
        }
    }));
    lines
}

fn tell(input: &SurveyInput<'_>, images: &[(ImageStore, ImageReference)], files: &[(WantedFile, Option<Digest>)]) {
    if !images.is_empty() {
        let count = images.len();
        let text = format!("asking registries for {count} image{}", if count == 1 { "" } else { "s" });
        input.events.emit(Event::Phase { text });
    }
    if !files.is_empty() {
        input.events.emit(Event::Phase { text: "looking for files in this machine's cache and at their sites".into() });
    }
}

struct Search<'a> {
    input: &'a SurveyInput<'a>,
    observed: &'a Observed,
    locked: Option<&'a journal::Pins>,
}

impl Search<'_> {
    /// Images that some host needs and lacks, or has with other bytes than those that are locked.
    fn images(&self) -> Vec<(ImageStore, ImageReference)> {
        let loaded = self.input.loaded;
        let mut lacking = BTreeSet::new();
        for node in &loaded.cluster.nodes {
            let Some(ObservedHost::Reached(snapshot)) = self.observed.hosts.get(&node.name) else { continue };
            for (store, reference) in desired::images_of(&loaded.cluster, &loaded.release, node) {
                let seen = store_of(snapshot, store).get(&reference);
                let wrong = |seen: &Digest| self.locked_id(store, &reference).is_some_and(|(id, _)| id != seen);
                if seen.is_none_or(wrong) && self.input.bundles.image(&reference).is_none() {
                    lacking.insert((store, reference));
                }
            }
        }
        lacking.into_iter().collect()
    }

    /// Whether a run goes on without an image: it runs in pods, and the operator wants it so.
    fn may_lack(&self, (store, reference): &(ImageStore, ImageReference)) -> bool {
        let is_sandbox = *reference == self.input.loaded.release.images.pause;
        self.input.allow_missing_images && *store == ImageStore::Containerd && !is_sandbox
    }

    fn locked_id(&self, store: ImageStore, reference: &ImageReference) -> Option<(&Digest, &Origin)> {
        let pins = self.locked?.images.iter();
        pins.filter(|pin| pin.store == store && pin.reference == *reference).map(|pin| (&pin.id, &pin.origin)).next()
    }

    /// Every node runs the bytes that were met first.
    fn compared(&self, key: &(ImageStore, ImageReference), image: OfferedImage) -> Result<OfferedImage, String> {
        let (store, reference) = key;
        let offered = offered_id(*store, &image);
        match self.locked_id(*store, reference) {
            Some((id, origin @ Origin::Registry(_))) if id != offered => Err(format!(
                "image {reference}: the tag has moved: {origin} has {offered} there now, and this cluster runs {id}; put the \
                 tag back, or give a bundle that holds what the cluster runs"
            )),
            Some((id, origin)) if id != offered => Err(format!(
                "image {reference}: this cluster runs {id} from {origin}, and its registry has {offered}; give that bundle \
                 again"
            )),
            _ => Ok(image),
        }
    }

    /// Files whose bytes nobody knows yet, or that some host lacks.
    fn files(&self) -> Vec<(WantedFile, Option<Digest>)> {
        let release = &self.input.loaded.release;
        let (version, bundles) = (release.version.to_string(), self.input.bundles);
        let mut wanted = Vec::new();
        let kubelet = self.locked_file("kubelet", &version);
        let path = desired::kubelet_path(&release.version);
        if bundles.file("kubelet", &version).is_none()
            && !kubelet.is_some_and(|file| is_everywhere(self.observed, &path, &file.digest))
        {
            let file = WantedFile::Kubernetes { name: "kubelet", version: release.version.clone() };
            wanted.push((file, kubelet.map(|file| file.digest.clone())));
        }
        let cni = &release.cni_plugins;
        let programs: Vec<PinnedFile> =
            self.locked_files().filter(|file| file.name.starts_with(CNI) && file.version == *cni).cloned().collect();
        let complete = !programs.is_empty() && everywhere(self.observed, &programs);
        if bundles.file(CNI_PLUGINS, cni).is_none() && !complete {
            let archive = self.locked_file(CNI_PLUGINS, cni).map(|file| file.digest.clone());
            wanted.push((WantedFile::CniPlugins(cni.clone()), archive));
        }
        wanted
    }

    fn locked_files(&self) -> impl Iterator<Item = &PinnedFile> {
        self.locked.into_iter().flat_map(|pins| &pins.files)
    }

    fn locked_file(&self, name: &str, version: &str) -> Option<&PinnedFile> {
        self.locked_files().find(|file| file.name == name && file.version == version)
    }
}

/// What a store will call its id.
pub fn offered_id(store: ImageStore, image: &OfferedImage) -> &Digest {
    match store {
        ImageStore::Docker => &image.id,
        ImageStore::Containerd => &image.manifest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fault_of_a_registry_is_one_line() {
        let image = |name: &str| format!("image r.example:5000/{name}:1: the registry refuses user u");
        let other = "kubelet v1: not there".to_owned();
        let lines = folded(vec![image("b"), other.clone(), image("a"), image("d"), image("c")]);
        let names = "r.example:5000/a:1, r.example:5000/b:1, r.example:5000/c:1";
        assert_eq!(lines, [other, format!("4 images ({names}, ...): the registry refuses user u")]);
        assert_eq!(folded(vec![image("a")]), [image("a")]);
    }
}

//! The objects of the operator's add-ons: what can be wrong with them before any host is asked.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Config, Findings, Manifest, Manifests, manifests};
use crate::release::Release;
use crate::state::{Object, ObjectKey, Resource, ResourceKind};

use super::{AddonInclude, NetworkPlugin, UserAddon};

/// What the inline add-on is called.
const INLINE: &str = "addons";
/// Where objects go that name no namespace.
const DEFAULT_NAMESPACE: &str = "default";
/// Bytes that an object may have as JSON: etcd takes requests of 1.5 MiB, and the server adds to what it gets.
const MOST_BYTES: usize = 1 << 20;
/// Objects of all add-ons together; each costs every run a comparison.
const MOST_OBJECTS: usize = 2000;
/// Namespaces that every apiserver makes and lets nobody delete.
const BUILT_IN_NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The text of an entry of `addons_include`, read by whoever may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddonText {
    /// The entry.
    pub include: AddonInclude,
    /// What findings call the text: a path, or an address.
    pub origin: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What add-ons are compared with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// The tool's own objects.
    pub own: &'a [ObjectKey],
    /// The catalog's row, which tells what that version no longer serves.
    pub release: Option<&'a Release>,
    /// The network plugin, which enforces network policy or does not.
    pub plugin: Option<&'a NetworkPlugin>,
}

/// All add-ons, the inline one first, then those with a text in the order of the file. Findings come by text.
pub fn user_addons(
    config: &Config,
    texts: &[AddonText],
    surroundings: Surroundings<'_>,
) -> Result<Vec<UserAddon>, Vec<Findings>> {
    let inline = config.inline_manifests().map(|manifests| (INLINE.to_owned(), manifests));
    let included = texts.iter().map(|text| (text.include.name.clone(), manifests(&text.bytes, &text.origin)));
    let sources: Vec<(String, Manifests)> = inline.into_iter().chain(included).collect();
    let mut reader = Reader { surroundings, seen: BTreeMap::new(), kinds: BTreeMap::new() };
    let mut read: Vec<Source> = sources.into_iter().map(|(name, manifests)| Source::of(name, manifests)).collect();
    for source in &read {
        reader.learn_kinds(source);
    }
    let addons: Vec<UserAddon> = read.iter_mut().map(|source| reader.addon(source)).collect();
    let wrong: Vec<Findings> =
        read.into_iter().map(|source| source.findings).filter(|found| !found.is_empty()).collect();
    if wrong.is_empty() { Ok(addons) } else { Err(wrong) }
}

/// One text being read.
struct Source {
    name: String,
    list: Vec<Manifest>,
    findings: Findings,
}

impl Source {
    fn of(name: String, manifests: Manifests) -> Self {
        let list = manifests.list.into_iter().flat_map(Manifest::unrolled).collect();
        Self { name, list, findings: manifests.findings }
    }
}

/// What names an object in the cluster: no version, since all versions of a kind are one.
type Name = (String, String, String, String);

struct Reader<'a> {
    surroundings: Surroundings<'a>,
    /// Where each object was met first.
    seen: BTreeMap<Name, String>,
    /// Kinds that the add-ons define themselves.
    kinds: BTreeMap<ResourceKind, Resource>,
}

impl Reader<'_> {
    fn learn_kinds(&mut self, source: &Source) {
        self.kinds.extend(source.list.iter().flat_map(|manifest| Resource::defined_by(&manifest.body)));
    }

    fn addon(&mut self, source: &mut Source) -> UserAddon {
        let Source { name, list, findings } = source;
        let mut objects = Vec::new();
        for manifest in list.iter() {
            let mut problems = Problems { manifest, findings: &mut *findings };
            if self.seen.len() >= MOST_OBJECTS {
                let message = format!("the add-ons have more than {MOST_OBJECTS} objects");
                problems.push(&[], message, "apply large sets with a tool of their own");
                break;
            }
            objects.extend(self.object(name, &mut problems));
        }
        UserAddon { name: name.clone(), objects }
    }

    fn object(&mut self, addon: &str, problems: &mut Problems<'_>) -> Option<Object> {
        let mut object = problems.object()?;
        self.set_namespace(&mut object, problems);
        self.check_served(&object.key, problems);
        self.check_policy(&object.key, problems);
        check_kind(&object.key, problems);
        if object.body.to_string().len() > MOST_BYTES {
            let message = format!("{} has more than {MOST_BYTES} bytes", object.key);
            problems.push(&["kind"], message, "the API stores nothing of that size: divide it");
        }
        self.check_met(addon, &object.key, problems);
        Some(object)
    }

    /// Objects of kinds that only the cluster knows keep what they say.
    fn set_namespace(&self, object: &mut Object, problems: &mut Problems<'_>) {
        let kind = ResourceKind { api_version: object.key.api_version.clone(), kind: object.key.kind.clone() };
        let resource = self.kinds.get(&kind).cloned().or_else(|| Resource::built_in(&kind));
        match resource.map(|resource| resource.namespaced) {
            Some(true) if object.key.namespace.is_empty() => {
                object.key.namespace = DEFAULT_NAMESPACE.to_owned();
                object.body["metadata"]["namespace"] = DEFAULT_NAMESPACE.into();
            }
            Some(false) if !object.key.namespace.is_empty() => {
                let message = format!("objects of kind {} lie in no namespace", kind.kind);
                problems.push(&["metadata", "namespace"], message, "take `namespace` out");
            }
            _ => {}
        }
    }

    fn check_served(&self, key: &ObjectKey, problems: &mut Problems<'_>) {
        let Some(release) = self.surroundings.release else { return };
        let Some(instead) = release.removed_apis.get(&format!("{} {}", key.api_version, key.kind)) else { return };
        let message = format!("Kubernetes {} serves no {} of {} any more", release.minor, key.kind, key.api_version);
        let help = if instead.is_empty() {
            "take the object out: nothing takes its place under this name".to_owned()
        } else {
            format!("write it for `{instead}`; `kubectl explain` tells what has changed")
        };
        problems.push(&["apiVersion"], message, &help);
    }

    /// Who writes a policy counts on it: one that nobody enforces is worse than none.
    fn check_policy(&self, key: &ObjectKey, problems: &mut Problems<'_>) {
        let group = key.api_version.split_once('/').map_or("", |(group, _)| group);
        let is_policy = match group {
            "networking.k8s.io" => key.kind == "NetworkPolicy",
            "crd.projectcalico.org" | "projectcalico.org" => key.kind.ends_with("NetworkPolicy"),
            _ => false,
        };
        let ignored = self.surroundings.plugin.is_some_and(|plugin| plugin.enforces_policy() == Some(false));
        if is_policy && ignored {
            let message = format!("{key} would do nothing: flannel enforces no network policy");
            let help = "write `plugin: canal` below `network`, which does, or take the object out";
            problems.push(&["kind"], message, help);
        }
    }

    fn check_met(&mut self, addon: &str, key: &ObjectKey, problems: &mut Problems<'_>) {
        let name = name_of(key);
        if self.surroundings.own.iter().any(|own| name_of(own) == name) {
            let message = format!("{key} is one of provision's own objects");
            problems.push(
                &["metadata", "name"],
                message,
                "give yours another name, or set what you want in cluster.yml",
            );
        } else if let Some(first) = self.seen.get(&name) {
            let message = format!("{key} stands here a second time");
            let help = format!("it is in {first} already: keep one of them");
            problems.push(&["metadata", "name"], message, &help);
        }
        let line = problems.manifest.place(&["metadata", "name"]).line;
        self.seen.entry(name).or_insert_with(|| format!("{addon}, line {line}"));
    }
}

fn name_of(key: &ObjectKey) -> Name {
    let group = key.api_version.split_once('/').map_or("", |(group, _)| group);
    (group.to_owned(), key.kind.clone(), key.namespace.clone(), key.name.clone())
}

/// Objects that are somebody else's to make.
fn check_kind(key: &ObjectKey, problems: &mut Problems<'_>) {
    match (key.api_version.as_str(), key.kind.as_str()) {
        ("v1", "Node") => {
            problems.push(&["kind"], "kubelets make Nodes, not add-ons", "write labels and taints under `nodes`");
        }
        ("v1", "Namespace") if BUILT_IN_NAMESPACES.contains(&key.name.as_str()) => {
            let message = format!("the namespace {} is Kubernetes' own and cannot be an add-on's", key.name);
            let help = "an add-on's objects are deleted when it is taken out of the file; label it with kubectl";
            problems.push(&["metadata", "name"], message, help);
        }
        _ => {}
    }
}

/// Findings about one object.
struct Problems<'a> {
    manifest: &'a Manifest,
    findings: &'a mut Findings,
}

impl Problems<'_> {
    fn push(&mut self, path: &[&str], message: impl Into<String>, help: &str) {
        self.findings.push(self.manifest.place(path), message, help);
    }

    fn text(&mut self, path: &[&str], help: &str) -> Option<String> {
        let value = self.manifest.body.pointer(&format!("/{}", path.join("/")));
        match value {
            Some(Value::String(text)) if !text.is_empty() => return Some(text.clone()),
            Some(Value::Null | Value::String(_)) | None => {
                self.push(path, format!("this object lacks `{}`", path.join(".")), help);
            }
            Some(_) => self.push(path, format!("`{}` must be text", path.join(".")), "write it in quotes"),
        }
        None
    }

    /// An object that has what every object has.
    fn object(&mut self) -> Option<Object> {
        let body = &self.manifest.body;
        if !body.is_object() {
            self.push(&[], "this is no object of the Kubernetes API", "begin with `apiVersion`, `kind` and `metadata`");
            return None;
        }
        let api_version = self.text(&["apiVersion"], "write it as in the API's reference, such as `apps/v1`");
        let kind = self.text(&["kind"], "write the kind, such as `ConfigMap`");
        if !matches!(body.get("metadata"), None | Some(Value::Object(_))) {
            self.push(&["metadata"], "`metadata` must be a map", "write `name` and more below it");
            return None;
        }
        let generated = body.pointer("/metadata/generateName").is_some_and(|value| !value.is_null());
        let name = if generated {
            let help = "write `name`: an object with a new name in each run could never be found again";
            self.push(&["metadata", "generateName"], "an add-on's object has `generateName`", help);
            None
        } else {
            self.text(&["metadata", "name"], "every object of an add-on has a name of its own")
        };
        let namespace = body.pointer("/metadata/namespace").filter(|value| !value.is_null() && !value.is_string());
        if namespace.is_some() {
            self.push(&["metadata", "namespace"], "`metadata.namespace` must be text", "write it in quotes");
            return None;
        }
        api_version.and(kind).and(name)?;
        Object::new(body.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::AddonSource;
    use crate::config::Position;
    use crate::release::Catalog;

    const HEAD: &str = "nodes: []\n";

    fn text(name: &str, yaml: &str) -> AddonText {
        let source = AddonSource::File(name.into());
        let include = AddonInclude { name: name.into(), at: Position::START, source };
        AddonText { include, origin: format!("/site/{name}"), bytes: yaml.into() }
    }

    fn read(inline: &str, texts: &[AddonText]) -> Result<Vec<UserAddon>, Vec<Findings>> {
        let yaml = format!("{HEAD}{inline}");
        let config = crate::config::parse(yaml.as_bytes(), "cluster.yml").unwrap();
        let catalog = Catalog::shipped().unwrap();
        let release = catalog.minors().last().and_then(|minor| catalog.default_version(*minor)).unwrap();
        let release = catalog.release(&release).unwrap();
        let own = [ObjectKey {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: "kube-system".into(),
            name: "coredns".into(),
        }];
        user_addons(&config, texts, Surroundings { own: &own, release: Some(&release), plugin: None })
    }

    fn lines(findings: &Findings) -> Vec<(usize, String)> {
        findings.iter().map(|finding| (finding.at.line, finding.message.clone())).collect()
    }

    fn wrong(yaml: &str) -> Vec<(usize, String)> {
        lines(&read("", &[text("a.yml", yaml)]).unwrap_err()[0])
    }

    #[test]
    fn objects_lie_in_the_namespace_that_they_mean() {
        let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n---\n\
            apiVersion: example.org/v1\nkind: Thing\nmetadata: {name: a}\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: octopodes.example.org}\n\
            spec: {group: example.org, scope: Namespaced, names: {kind: Octopus, plural: octopodes}, versions: [{name: v1, served: true}]}\n---\n\
            apiVersion: example.org/v1\nkind: Octopus\nmetadata: {name: a}\n";
        let addons = read("", &[text("a.yml", yaml)]).unwrap();
        let namespaces: Vec<&str> = addons[0].objects.iter().map(|object| object.key.namespace.as_str()).collect();
        assert_eq!(namespaces, ["default", "", "", "", "default"]);
        assert_eq!(addons[0].objects[0].body["metadata"]["namespace"], "default");
    }

    #[test]
    fn what_every_object_has_is_asked_for() {
        let found = wrong(
            "kind: A\n---\napiVersion: v1\nkind: [x]\nmetadata:\n  name: 5\n---\n- a\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  generateName: a-\n",
        );
        let found: Vec<(usize, &str)> = found.iter().map(|(line, message)| (*line, message.as_str())).collect();
        assert_eq!(
            found,
            [
                (1, "this object lacks `apiVersion`"),
                (1, "this object lacks `metadata.name`"),
                (4, "`kind` must be text"),
                (6, "`metadata.name` must be text"),
                (8, "this is no object of the Kubernetes API"),
                (13, "an add-on's object has `generateName`"),
            ]
        );
    }

    #[test]
    fn an_object_stands_once_in_all_texts_and_is_not_ours() {
        let one = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: default}\n";
        let inline = "addons: |\n  apiVersion: apps/v1\n  kind: Deployment\n  metadata:\n    name: a\n";
        let found = read(inline, &[text("a.yml", one)]).unwrap_err();
        assert_eq!(lines(&found[0]), [(3, "Deployment default/a stands here a second time".to_owned())]);
        let help = &found[0].iter().next().unwrap().help;
        assert_eq!(help, "it is in addons, line 6 already: keep one of them");
        let ours = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: coredns, namespace: kube-system}\n";
        assert!(wrong(ours)[0].1.ends_with("is one of provision's own objects"));
    }

    #[test]
    fn what_the_version_serves_no_more_is_named() {
        let found = wrong("apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\n");
        assert_eq!(found, [(1, "Kubernetes 1.34 serves no Ingress of extensions/v1beta1 any more".to_owned())]);
    }

    #[test]
    fn objects_that_are_not_an_addons_to_make_are_refused() {
        for yaml in [
            "apiVersion: v1\nkind: Node\nmetadata: {name: h1}\n",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system}\n",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}\n",
        ] {
            assert_eq!(wrong(yaml).len(), 1, "{yaml}");
        }
        let large = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {}}}\n",
            "x".repeat(MOST_BYTES)
        );
        assert!(wrong(&large)[0].1.contains("bytes"));
        let many: String = (0..=MOST_OBJECTS)
            .map(|number| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a{number}}}\n"))
            .collect();
        assert!(wrong(&many)[0].1.contains("objects"));
    }
}

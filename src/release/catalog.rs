//! All rows, and the operator's changes over them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::CatalogError;
use super::canal_line::CanalLine;
use super::one_way::OneWay;
use super::row::{Arguments, Configuration, ContainerdRange, Images, PodSecurityMechanism, Proof, Release};
use crate::base::{KubernetesVersion, Minor};

const SHIPPED: &str = include_str!("catalog.yml");
const SHIPPED_NAME: &str = "the shipped catalog";
const OVERLAY_NAME: &str = "the catalog given with --catalog";

/// The rows of all minors that can be installed. Every row was checked when it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    tree: File,
    rows: BTreeMap<Minor, (Row, CanalLine)>,
}

/// A row as written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    proof: Proof,
    default_version: KubernetesVersion,
    images: Images,
    /// Name of a line below `canal`.
    canal: String,
    cni_plugins: String,
    docker_versions: Vec<u64>,
    containerd: ContainerdRange,
    pod_security: PodSecurityMechanism,
    pod_security_configuration: String,
    admission_plugins: Vec<String>,
    apiserver_stop_margin_seconds: i64,
    #[serde(default)]
    stale_endpoint_patches: Vec<KubernetesVersion>,
    #[serde(default)]
    arguments: Arguments,
    #[serde(default)]
    configuration: Configuration,
    #[serde(default)]
    removed_apis: BTreeMap<String, String>,
    #[serde(default)]
    one_way: Vec<OneWay>,
}

/// The file's outermost level; rows stay untyped until they are merged.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    canal: Map<String, Value>,
    #[serde(default)]
    releases: Map<String, Value>,
}

impl Catalog {
    /// The catalog that is part of the program.
    pub fn shipped() -> Result<Self, CatalogError> {
        Self::checked(parse(SHIPPED, SHIPPED_NAME)?, SHIPPED_NAME)
    }

    /// Lays a text of the same form over this catalog: maps are merged key by key, everything else is replaced. A
    /// minor that has no row yet must bring a whole one.
    pub fn with_overlay(self, text: &str) -> Result<Self, CatalogError> {
        let mut tree = self.tree;
        let overlay = parse(text, OVERLAY_NAME)?;
        merge(&mut tree.canal, overlay.canal);
        merge(&mut tree.releases, overlay.releases);
        Self::checked(tree, OVERLAY_NAME)
    }

    fn checked(tree: File, origin: &'static str) -> Result<Self, CatalogError> {
        let canal = tree.canal.iter().map(|(key, value)| line(key, value, origin)).collect::<Result<_, _>>()?;
        let rows =
            tree.releases.iter().map(|(key, value)| row(key, value, &canal, origin)).collect::<Result<_, _>>()?;
        Ok(Self { tree, rows })
    }

    /// The minors that can be installed, oldest first.
    pub fn minors(&self) -> Vec<Minor> {
        self.rows.keys().copied().collect()
    }

    /// The patch that is taken where only the minor matters.
    pub fn default_version(&self, minor: Minor) -> Option<KubernetesVersion> {
        self.rows.get(&minor).map(|(row, _)| row.default_version.clone())
    }

    /// The row of a version. Any patch of a listed minor may be named; an unknown minor's error names the nearest.
    pub fn release(&self, version: &KubernetesVersion) -> Result<Release, CatalogError> {
        self.release_named(version, Images::clone)
    }

    /// The row with other names of images, which also stand in arguments.
    pub fn release_named(
        &self,
        version: &KubernetesVersion,
        names: impl Fn(&Images) -> Images,
    ) -> Result<Release, CatalogError> {
        let minor = version.minor();
        let (row, canal) = self.rows.get(&minor).ok_or_else(|| self.unknown(version))?;
        let images = names(&row.images.of(version));
        Ok(Release {
            version: version.clone(),
            minor,
            proof: row.proof,
            arguments: row.arguments.with(&images),
            images,
            canal: canal.clone(),
            cni_plugins: row.cni_plugins.clone(),
            docker_versions: row.docker_versions.clone(),
            containerd: row.containerd.clone(),
            pod_security: row.pod_security,
            pod_security_configuration: row.pod_security_configuration.clone(),
            admission_plugins: row.admission_plugins.clone(),
            apiserver_stop_margin_seconds: row.apiserver_stop_margin_seconds,
            leaves_stale_endpoint: row.stale_endpoint_patches.contains(version),
            configuration: row.configuration.clone(),
            removed_apis: row.removed_apis.clone(),
            one_way: row.one_way.clone(),
        })
    }

    /// The nearest minor; of two equally near the newer one.
    fn unknown(&self, version: &KubernetesVersion) -> CatalogError {
        let distance = |minor: &&Minor| minor.0.abs_diff(version.minor().0);
        let nearest = self.rows.keys().rev().min_by_key(distance).and_then(|minor| self.default_version(*minor));
        match nearest {
            Some(nearest) => CatalogError::UnknownMinor { version: version.clone(), nearest },
            None => CatalogError::Empty(version.minor()),
        }
    }
}

fn parse(text: &str, origin: &'static str) -> Result<File, CatalogError> {
    let syntax = |error: serde_saphyr::Error| CatalogError::Syntax { origin, reason: error.to_string() };
    serde_saphyr::from_str(text).map_err(syntax)
}

fn line(key: &str, value: &Value, origin: &'static str) -> Result<(String, CanalLine), CatalogError> {
    let wrong =
        |error: serde_json::Error| CatalogError::CanalLine { origin, line: key.into(), reason: error.to_string() };
    Ok((key.to_owned(), serde_json::from_value(value.clone()).map_err(wrong)?))
}

fn row(
    key: &str,
    value: &Value,
    canal: &BTreeMap<String, CanalLine>,
    origin: &'static str,
) -> Result<(Minor, (Row, CanalLine)), CatalogError> {
    let wrong = |reason: String| CatalogError::Row { origin, row: key.to_owned(), reason };
    let minor = Minor::try_from(key.to_owned()).map_err(|_| wrong("rows are named like \"1.34\"".into()))?;
    let row: Row = serde_json::from_value(value.clone()).map_err(|error| wrong(error.to_string()))?;
    if row.default_version.minor() != minor {
        return Err(wrong(format!("default_version {} is of another minor", row.default_version)));
    }
    let line = canal.get(&row.canal).cloned();
    let line = line.ok_or_else(|| wrong(format!("there is no line {} of Calico below `canal`", row.canal)))?;
    Ok((minor, (row, line)))
}

fn merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Component;

    fn version(text: &str) -> KubernetesVersion {
        KubernetesVersion::parse(text).unwrap()
    }

    fn lab() -> Catalog {
        Catalog::shipped().unwrap().with_overlay(include_str!("../../tests/lab/catalog.yml")).unwrap()
    }

    #[test]
    fn every_shipped_row_is_whole() {
        let catalog = Catalog::shipped().unwrap();
        assert_eq!(catalog.minors(), [Minor(24), Minor(25), Minor(34)]);
        for minor in catalog.minors() {
            let release = catalog.release(&catalog.default_version(minor).unwrap()).unwrap();
            assert_eq!(release.minor, minor);
            assert!(!release.docker_versions.is_empty());
        }
    }

    #[test]
    fn any_patch_of_a_listed_minor_may_be_named() {
        let release = Catalog::shipped().unwrap().release(&version("v1.34.7")).unwrap();
        assert_eq!(release.images.kube_apiserver.0, "registry.k8s.io/kube-apiserver:v1.34.7");
        assert_eq!(release.images.etcd.0, "registry.k8s.io/etcd:3.6.14-0");
    }

    #[test]
    fn an_unknown_minor_names_the_nearest() {
        let catalog = Catalog::shipped().unwrap();
        for (asked, nearest) in
            [("v1.23.0", "v1.24.17"), ("v1.26.0", "v1.25.4"), ("v1.99.0", "v1.34.1"), ("v1.30.0", "v1.34.1")]
        {
            let error = catalog.release(&version(asked)).unwrap_err();
            assert_eq!(error, CatalogError::UnknownMinor { version: version(asked), nearest: version(nearest) });
        }
    }

    #[test]
    fn an_overlay_replaces_what_it_names_and_nothing_else() {
        let shipped = Catalog::shipped().unwrap().release(&version("v1.24.17")).unwrap();
        let lab = lab().release(&version("v1.24.17")).unwrap();
        assert_eq!(lab.images.api_proxy.0, "docker.io/library/haproxy:2.6.12");
        let rest = Images {
            api_proxy: shipped.images.api_proxy.clone(),
            flannel_cni: shipped.images.flannel_cni.clone(),
            ..lab.images
        };
        assert_eq!(Release { images: rest, ..lab }, shipped);
    }

    #[test]
    fn mistakes_in_an_overlay_are_named() {
        let overlay = |text: &str| Catalog::shipped().unwrap().with_overlay(text).unwrap_err().to_string();
        assert!(overlay("releases: [").contains("--catalog does not parse"));
        assert!(overlay("releases:\n  \"1.34\":\n    image: x\n").contains("unknown field `image`"));
        assert!(overlay("releases:\n  \"1.33\":\n    proof: lab\n").contains("row 1.33: missing field"));
        assert!(overlay("releases:\n  latest: {}\n").contains("rows are named like"));
        assert!(overlay("releases:\n  \"1.34\":\n    default_version: v1.24.1\n").contains("of another minor"));
    }

    #[test]
    fn a_version_never_gets_a_flag_that_it_refuses() {
        let release = Catalog::shipped().unwrap().release(&version("v1.24.17")).unwrap();
        let changes = release.arguments.of(Component::KubeApiserver).unwrap();
        let arguments = changes.apply(vec!["--insecure-port=0".into(), "--profiling=false".into()]);
        assert_eq!(arguments, ["--profiling=false"]);
    }

    #[test]
    fn distributions_write_more_behind_the_version_of_containerd() {
        let range = Catalog::shipped().unwrap().release(&version("v1.24.17")).unwrap().containerd;
        assert!(range.contains("1.6.20~ds1"));
        assert!(!range.contains("2.1.0"));
        assert!(!range.contains("unknown"));
    }

    #[test]
    fn what_the_lab_builds_is_what_the_rows_name() {
        let script = include_str!("../../tests/lab/versions.sh");
        let setting = |name: &str| {
            let line = script.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches('=').to_owned()
        };
        let choice = |function: &str, minor: Minor| {
            let (_, body) = script.split_once(&format!("{function}() {{")).unwrap();
            let line = body.lines().find(|line| line.contains(&format!("v{minor}.*)"))).unwrap();
            line.split_whitespace().nth(2).unwrap().to_owned()
        };
        let catalog = lab();
        for minor in catalog.minors() {
            let default = catalog.default_version(minor).unwrap();
            assert!(setting("KUBERNETES_KNOWN").contains(&default.to_string()));
            let release = catalog.release(&default).unwrap();
            let images = &release.images;
            assert_eq!(images.etcd.tag(), format!("{}-0", choice("etcd_for", minor)));
            assert_eq!(images.pause.tag(), choice("pause_for", minor));
            assert_eq!(images.coredns.tag(), format!("v{}", setting("COREDNS")));
            assert_eq!(images.metrics_server.tag(), format!("v{}", choice("metrics_server_for", minor)));
            assert_eq!(images.flannel.tag(), format!("v{}", setting("FLANNEL=").trim_start_matches('=')));
            assert_eq!(images.canal_flannel, images.flannel);
            for image in [&images.calico_node, &images.calico_cni] {
                assert_eq!(image.tag(), format!("v{}", choice("calico_for", minor)));
            }
            assert_eq!(images.flannel_cni.tag(), format!("v{}", setting("FLANNEL_CNI")));
            assert_eq!(images.api_proxy.tag(), setting("HAPROXY"));
            assert_eq!(release.cni_plugins, format!("v{}", setting("CNI_PLUGINS")));
        }
        let old = include_str!("../../tests/lab/catalog-etcd-3.5.21.yml");
        let old = Catalog::shipped().unwrap().with_overlay(old).unwrap();
        for minor in catalog.minors() {
            let version = catalog.default_version(minor).unwrap();
            let (mut usual, old) = (catalog.release(&version).unwrap(), old.release(&version).unwrap());
            if minor.to_string() == "1.24" {
                usual.images.etcd.0 = format!("registry.k8s.io/etcd:{}-0", setting("ETCD_OLD"));
            }
            assert_eq!(old, usual);
        }
    }
}

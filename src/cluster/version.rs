//! `kubernetes_version` against the catalog.

use crate::base::{KubernetesVersion, Minor};
use crate::config::{At, Config, Field, shown};
use crate::release::Catalog;

use super::checks::Checks;

/// The version to run: what is written, a minor's default patch, or the newest of the catalog.
pub(super) fn version(config: &Config, catalog: &Catalog, checks: &mut Checks) -> Option<KubernetesVersion> {
    match &config.kubernetes_version {
        Field::Bad => None,
        Field::Missing => {
            let newest = catalog.minors().last().and_then(|minor| catalog.default_version(*minor))?;
            checks.advise(format!(
                "`kubernetes_version` is not written, so it is {newest}; write it, or another release of provision may mean another version"
            ));
            Some(newest)
        }
        Field::Written(written) => self::written(written, catalog, checks),
    }
}

fn written(written: &At<String>, catalog: &Catalog, checks: &mut Checks) -> Option<KubernetesVersion> {
    let named = KubernetesVersion::parse(&written.value).ok();
    let Some(minor) = named.as_ref().map(KubernetesVersion::minor).or_else(|| bare_minor(&written.value)) else {
        let help = format!("write it like v1.34.1; {}", known(catalog));
        checks.fail(written.at, format!("{} is not a Kubernetes version", shown(written)), help);
        return None;
    };
    let Some(default) = catalog.default_version(minor) else {
        let nearest = nearest(minor, catalog).map_or(String::new(), |version| format!("the nearest is {version}; "));
        checks.fail(
            written.at,
            format!("Kubernetes {} is not in the release catalog", shown(written)),
            format!("{nearest}{}", known(catalog)),
        );
        return None;
    };
    Some(named.unwrap_or(default))
}

/// `v1.34` or `1.34`.
fn bare_minor(text: &str) -> Option<Minor> {
    let number = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.")?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { number.parse().ok().map(Minor) } else { None }
}

/// Of two equally near the newer one.
fn nearest(minor: Minor, catalog: &Catalog) -> Option<KubernetesVersion> {
    let minors = catalog.minors();
    let near = minors.iter().rev().min_by_key(|known| known.0.abs_diff(minor.0))?;
    catalog.default_version(*near)
}

fn known(catalog: &Catalog) -> String {
    let minors: Vec<String> = catalog.minors().iter().map(ToString::to_string).collect();
    format!("the catalog has {}", minors.join(", "))
}

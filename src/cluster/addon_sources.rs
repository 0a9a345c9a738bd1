//! Where the operator's add-ons come from: `addons_include`.

use std::path::PathBuf;

use crate::base::Digest;
use crate::config::{At, Config, Findings, Position, shown};

use super::checks::Checks;
use super::{Context, grammar};

/// An entry of `addons_include`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddonInclude {
    /// What it is called in plans and errors: the path as it is written, or the address without its checksum.
    pub name: String,
    /// Where it is written.
    pub at: Position,
    /// Where its text is.
    pub source: AddonSource,
}

/// Where an add-on's text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddonSource {
    /// A file of this machine.
    File(PathBuf),
    /// A file at a site.
    Site {
        /// Its address, without the checksum.
        url: String,
        /// What its bytes must be.
        digest: Digest,
    },
}

/// The word behind an address that begins its checksum.
const CHECKSUM: &str = "#sha256=";

/// All entries, each checked by itself.
pub(super) fn includes(config: &Config, context: &Context) -> Result<Vec<AddonInclude>, Findings> {
    let mut checks = Checks::new(config.source());
    let written = config.addons_include.value().map(Vec::as_slice).unwrap_or_default();
    let mut includes: Vec<AddonInclude> = Vec::new();
    for entry in written.iter().filter(|entry| !entry.value.is_empty()) {
        let Some(include) = include(entry, context, &mut checks) else { continue };
        if includes.iter().any(|other| other.name == include.name) {
            checks.fail(entry.at, format!("{} is included a second time", shown(entry)), "keep one of them");
            continue;
        }
        includes.push(include);
    }
    checks.findings.or(includes)
}

fn include(entry: &At<String>, context: &Context, checks: &mut Checks) -> Option<AddonInclude> {
    let text = &entry.value;
    let (name, source) = if text.contains("://") {
        let (url, digest) = site(entry, checks)?;
        (url.clone(), AddonSource::Site { url, digest })
    } else {
        if let Err(rule) = grammar::path(text) {
            checks.fail(entry.at, format!("{} is no path of a file", shown(entry)), rule);
            return None;
        }
        (text.clone(), AddonSource::File(context.resolve(text)?))
    };
    Some(AddonInclude { name, at: entry.at, source })
}

/// An address is believed only with the digest of what was read there once: what it gives may change at any time.
fn site(entry: &At<String>, checks: &mut Checks) -> Option<(String, Digest)> {
    let (url, digits) = entry.value.split_once('#').unwrap_or((&entry.value, ""));
    if let Err(rule) = grammar::site(url) {
        checks.fail(entry.at, "this is no address of an add-on", rule);
        return None;
    }
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if authority.contains('@') {
        let help = "fetch the file yourself and name its path here";
        // Not shown, for the same reason.
        let at = Position { width: 0, ..entry.at };
        checks.fail(at, "the address of an add-on holds no user and no password", help);
        return None;
    }
    let digest = entry.value.split_once(CHECKSUM).and_then(|(_, digits)| Digest::parse(&digits.to_ascii_lowercase()));
    if digest.is_none() {
        let message = if digits.is_empty() {
            "the address of an add-on lacks its checksum"
        } else {
            "what follows `#` is no checksum"
        };
        let help = format!(
            "read the file, then write `{url}{CHECKSUM}HEX`; `curl -fsSL {url} | sha256sum` prints the 64 digits of HEX"
        );
        checks.fail(entry.at, message, help);
    }
    Some((url.to_owned(), digest?))
}

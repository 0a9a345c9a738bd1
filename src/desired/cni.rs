//! CNI plugins. Their configuration is the network plugin's business.

use super::DesiredError;
use super::input::Site;
use super::part::Part;
use crate::state::{Component, Content, Owner};

/// Where containerd looks for plugins.
pub(super) const PROGRAMS: &str = "/opt/cni/bin";
/// Where containerd looks for configurations; the network plugin's pods write them.
pub(super) const CONFIGURATION: &str = "/etc/cni/net.d";
/// The name below which pins have plugins.
const PREFIX: &str = "cni/";

/// Where a plugin of this name lies on a host.
pub fn cni_program_path(plugin: &str) -> String {
    format!("{PROGRAMS}/{plugin}")
}

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::Cni);
    for path in ["/opt/cni", PROGRAMS, "/etc/cni", CONFIGURATION] {
        part.directory(path, Owner::ROOT, 0o755);
    }
    for (name, pin) in &site.pins.files {
        let Some(plugin) = name.strip_prefix(PREFIX) else { continue };
        let content = Content::Payload { digest: pin.digest.clone(), size: pin.size };
        part.file(cni_program_path(plugin), Owner::ROOT, 0o755, content);
    }
    Ok(part)
}

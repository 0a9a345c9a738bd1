//! Modules and kernel settings, now and after each boot.

use super::DesiredError;
use super::input::Site;
use super::part::Part;
use crate::state::{Component, Content, Owner};

pub(super) const MODULES_FILE: &str = "/etc/modules-load.d/provision.conf";
pub(super) const SYSCTL_FILE: &str = "/etc/sysctl.d/90-provision.conf";

/// What nothing loads by itself: bridged pod traffic must pass the packet filter, and containerd stacks layers. The
/// kernel loads `vxlan` and what the packet filter needs when they are asked for.
pub(super) const MODULES: [&str; 2] = ["br_netfilter", "overlay"];

/// The first six are those that kubelet compares when `protectKernelDefaults` is on, and refuses to start.
pub(super) const SYSCTLS: [(&str, &str); 9] = [
    ("kernel.keys.root_maxbytes", "25000000"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "1"),
    ("net.bridge.bridge-nf-call-iptables", "1"),
    ("net.ipv4.ip_forward", "1"),
];

pub(super) fn part(_: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::Kernel);
    part.modules = MODULES.map(str::to_owned).into();
    part.sysctls = SYSCTLS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut modules = String::from("# Written by provision.\n");
    MODULES.iter().for_each(|module| modules.extend([module, "\n"]));
    let mut sysctls = String::from("# Written by provision.\n");
    SYSCTLS.iter().for_each(|(name, value)| sysctls.extend([name, " = ", value, "\n"]));
    part.file(MODULES_FILE, Owner::ROOT, 0o644, Content::Text(modules));
    part.file(SYSCTL_FILE, Owner::ROOT, 0o644, Content::Text(sysctls));
    Ok(part)
}

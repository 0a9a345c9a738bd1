//! docs/configuration.md holds the table of keys as it is in the code.

use std::fs;
use std::path::Path;

use provision::cluster::{OWNED_KUBE_PROXY_KEYS, OWNED_KUBELET_KEYS};
use provision::config::reference;

const BEGIN: &str = "<!-- keys: written by the test configuration_doc with UPDATE_EXPECTED=1 -->\n";
const END: &str = "<!-- end of keys -->\n";

fn owned(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.join(", ")
}

fn generated() -> String {
    format!(
        "{}\n## Fields that are provision's own\n\n`services.kubelet.config` refuses {}.\n\n`services.kubeproxy.config` refuses {}.\n",
        reference(),
        owned(OWNED_KUBELET_KEYS),
        owned(OWNED_KUBE_PROXY_KEYS)
    )
}

#[test]
fn the_documentation_names_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let wanted = format!("\n{}\n", generated());
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert!(written == wanted, "docs/configuration.md is old; UPDATE_EXPECTED=1 writes its table anew");
}

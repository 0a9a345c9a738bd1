//! Kubeconfigs of components: they name certificates by path, so that a renewed one is read without a new kubeconfig.

use serde_json::json;

use super::DesiredError;
use super::part::yaml;

/// Who speaks to which apiserver.
pub(super) struct Kubeconfig<'a> {
    /// Where the text will lie, for messages.
    pub path: &'a str,
    /// The user's name; only people read it.
    pub user: &'a str,
    /// URL of an apiserver or of the API proxy.
    pub server: &'a str,
    /// Folder with `ca.crt`, `client.crt` and `client.key`.
    pub certificates: &'a str,
}

impl Kubeconfig<'_> {
    /// The text.
    pub fn text(&self) -> Result<String, DesiredError> {
        let Self { user, server, certificates, .. } = self;
        let value = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "local",
                "cluster": { "server": server, "certificate-authority": format!("{certificates}/ca.crt") },
            }],
            "users": [{
                "name": user,
                "user": {
                    "client-certificate": format!("{certificates}/client.crt"),
                    "client-key": format!("{certificates}/client.key"),
                },
            }],
            "contexts": [{ "name": "local", "context": { "cluster": "local", "user": user } }],
            "current-context": "local",
        });
        yaml(self.path, &value)
    }
}

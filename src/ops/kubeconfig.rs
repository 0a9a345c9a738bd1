//! The operator's kubeconfig: one context for each control plane, a healthy one current.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::base::{NodeName, Secret};
use crate::cluster::Cluster;
use crate::entropy::RandomKeyMaker;
use crate::pki::{self, ADMIN_LIFETIME_SECONDS, Authority, Identity, Material, MaterialName, Subject, Validity};

use super::survey::{SurveyInput, endpoints_for};
use super::{OperationError, keys};

/// The user that the written file stands for; group `provision:admins`, never `system:masters`.
const USER: &str = "provision:admin";

/// Signs a new identity and asks every control plane which of them is healthy.
pub async fn kubeconfig(input: &SurveyInput<'_>) -> Result<Secret, OperationError> {
    let cluster = &input.loaded.cluster;
    let material = keys::material(input.state);
    let validity = Validity::starting(input.now, ADMIN_LIFETIME_SECONDS);
    let identity =
        pki::run_identity(&material, Authority::Cluster, Subject::admin(USER), validity, &mut RandomKeyMaker)?;
    let endpoints = endpoints_for(input, &material).await?;
    let names: Vec<NodeName> = cluster.control_planes().map(|node| node.name.clone()).collect();
    let health = join_all(names.iter().map(|name| endpoints.api_health(name))).await;
    let healthy = names.iter().zip(health).find(|(_, health)| health.is_ok()).map(|(name, _)| name.clone());
    let current = healthy.or_else(|| names.first().cloned());
    let value = render(cluster, &authority(&material), &identity, current.as_ref());
    let text = serde_yaml::to_string(&value).map_err(|error| OperationError::Input(error.to_string()))?;
    Ok(Secret::new(text))
}

fn authority(material: &Material) -> String {
    let entry = material.get(&MaterialName::authority(Authority::Cluster));
    entry.and_then(|entry| entry.certificate.clone()).unwrap_or_default()
}

fn render(cluster: &Cluster, authority: &str, identity: &Identity, current: Option<&NodeName>) -> Value {
    let context_name = |node: &NodeName| format!("{}-{node}", cluster.name);
    let clusters: Vec<Value> = cluster
        .control_planes()
        .map(|node| {
            json!({
                "name": context_name(&node.name),
                "cluster": {
                    "server": format!("https://{}:6443", node.address),
                    "certificate-authority-data": STANDARD.encode(authority),
                },
            })
        })
        .collect();
    let contexts: Vec<Value> = cluster
        .control_planes()
        .map(|node| {
            let name = context_name(&node.name);
            json!({ "name": name, "context": { "cluster": name, "user": USER } })
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current.map(context_name).unwrap_or_default(),
        "clusters": clusters,
        "contexts": contexts,
        "users": [{
            "name": USER,
            "user": {
                "client-certificate-data": STANDARD.encode(&identity.certificate),
                "client-key-data": STANDARD.encode(identity.key.expose()),
            },
        }],
    })
}

/// Writes a file that nobody else can read, from its first moment on.
pub fn write_private(path: &Path, content: &Secret) -> Result<(), OperationError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |source| OperationError::LocalFile { operation: "writing", path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let _ = std::fs::remove_file(&temporary);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let mut file = file.map_err(failed)?;
    file.write_all(content.expose()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)
}

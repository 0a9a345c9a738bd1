//! Images that a host's engines pull themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::change::{Pull, RegistryLogin};
use super::door::{Door, Progress};
use super::{HostError, HostStream, LookRequest, cri};
use crate::base::Digest;
use crate::state::{ImageReference, ImageStore};

/// What an engine does without a word: it waits for a registry, or puts a large layer in its place.
const OWN_WORK: Duration = Duration::from_secs(60);
/// A pull has this long, and as long as the slowest line that is worth waiting for needs.
const WHOLE: Duration = Duration::from_secs(300);
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// Pulls, and looks whether the store has what it must have then.
pub(super) async fn pull(door: &Door<'_>, pull: &Pull, progress: Progress<'_>) -> Result<(), HostError> {
    let puller = Puller { door, pull, operation: format!("pulling {} into {}", pull.reference, pull.store) };
    match pull.store {
        ImageStore::Docker => puller.with_docker(progress).await,
        ImageStore::Containerd => puller.with_containerd(progress).await,
    }
}

struct Puller<'a> {
    door: &'a Door<'a>,
    pull: &'a Pull,
    operation: String,
}

impl Puller<'_> {
    async fn with_docker(&self, progress: Progress<'_>) -> Result<(), HostError> {
        let name = &self.pull.reference;
        if self.door.image_id(name, &self.operation).await?.as_ref() == Some(&self.pull.id) {
            return Ok(());
        }
        let plain = self.door.plain(&name.0, &self.operation)?;
        let (repository, tag) = plain.rsplit_once(':').unwrap_or((plain, "latest"));
        let manifest = &self.pull.manifest;
        self.follow(&format!("/images/create?fromImage={repository}&tag={manifest}"), progress).await?;
        self.name(&format!("{repository}@{manifest}"), repository, tag).await?;
        self.check(self.door.image_id(name, &self.operation).await?)
    }

    async fn follow(&self, path: &str, progress: Progress<'_>) -> Result<(), HostError> {
        let ssh = self.door.ssh;
        let login = self.pull.login.as_ref().map(login_header).transpose();
        let login = login.map_err(|reason| self.refused(reason))?;
        let mut layers = Layers::default();
        let mut complaint = None;
        let mut message = |message: &Value| {
            layers.take(message);
            complaint = complaint.take().or(message["error"].as_str().map(str::to_owned));
            progress(layers.bytes().min(self.pull.size));
        };
        let patience = Duration::from_secs(self.pull.timeout_seconds) + OWN_WORK;
        let request = (path, login.as_ref());
        let answer = ssh.docker.follow(&ssh.main, request, patience, &mut message).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer.message()));
        }
        complaint.map_or(Ok(()), |complaint| Err(self.refused(complaint)))
    }

    /// Gives what was pulled by its digest the name that people and containers know.
    async fn name(&self, pulled: &str, repository: &str, tag: &str) -> Result<(), HostError> {
        let path = format!("/images/{pulled}/tag?repo={repository}&tag={tag}");
        let answer = self.door.docker(Method::POST, &path, None).await?;
        if answer.status == StatusCode::CREATED { Ok(()) } else { Err(self.refused(answer.message())) }
    }

    async fn with_containerd(&self, progress: Progress<'_>) -> Result<(), HostError> {
        let name = self.door.plain(&self.pull.reference.0, &self.operation)?;
        let limit = WHOLE + Duration::from_secs(self.pull.size / SLOWEST_BYTES_PER_SECOND);
        let pulled = cri::pull(self.containerd().await?, name, self.pull.login.as_ref(), limit).await;
        pulled.map_err(|reason| self.refused(reason))?;
        progress(self.pull.size);
        let result = self.check(self.containerd_id().await?);
        if result.is_err() {
            // Other bytes under this name would be run by the next pod.
            cri::remove(self.containerd().await?, name, WHOLE).await.map_err(|reason| self.refused(reason))?;
        }
        result
    }

    async fn containerd(&self) -> Result<HostStream, HostError> {
        let ssh = self.door.ssh;
        if ssh.options.is_root() {
            ssh.main.open_socket(cri::SOCKET).await
        } else {
            ssh.main.open_command(cri::DIAL).await
        }
    }

    async fn containerd_id(&self) -> Result<Option<Digest>, HostError> {
        let gathered = self.door.ssh.gather(&LookRequest::default()).await?;
        Ok(gathered.snapshot.containerd_images.get(&self.pull.reference).cloned())
    }

    fn check(&self, seen: Option<Digest>) -> Result<(), HostError> {
        match seen {
            Some(seen) if seen == self.pull.id => Ok(()),
            Some(seen) => Err(self.refused(moved(&self.pull.reference, &seen, &self.pull.id))),
            None => Err(self.refused(format!("{} does not know the name afterwards", self.pull.store))),
        }
    }

    fn refused(&self, reason: String) -> HostError {
        self.door.refused(self.operation.clone(), reason)
    }
}

fn moved(name: &ImageReference, seen: &Digest, wanted: &Digest) -> String {
    format!("the tag has moved: {name} is {seen} there, and this cluster runs {wanted}")
}

/// The header in which Docker takes user and password: neither argument nor file.
fn login_header(login: &RegistryLogin) -> Result<HeaderValue, String> {
    let password = String::from_utf8_lossy(login.password.expose());
    let text = json!({ "username": login.user, "password": password }).to_string();
    let mut value = HeaderValue::from_str(&URL_SAFE.encode(text)).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Bytes of an image's layers so far, out of Docker's messages.
#[derive(Default)]
struct Layers(BTreeMap<String, u64>);

impl Layers {
    fn take(&mut self, message: &Value) {
        let (Some(id), "Downloading") = (message["id"].as_str(), message["status"].as_str().unwrap_or_default()) else {
            return;
        };
        if let Some(current) = message["progressDetail"]["current"].as_u64() {
            self.0.insert(id.to_owned(), current);
        }
    }

    fn bytes(&self) -> u64 {
        self.0.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    #[test]
    fn bytes_of_all_layers_are_added_up_and_unpacking_does_not_count() {
        let mut layers = Layers::default();
        for (id, status, current) in
            [("a", "Downloading", 5), ("b", "Downloading", 7), ("a", "Downloading", 9), ("a", "Extracting", 1)]
        {
            layers.take(&json!({ "id": id, "status": status, "progressDetail": { "current": current } }));
        }
        layers.take(&json!({ "status": "Pulling from x" }));
        assert_eq!(layers.bytes(), 16);
    }

    #[test]
    fn a_login_is_what_docker_decodes_and_is_not_printed() {
        let header = login_header(&RegistryLogin { user: "u\"".into(), password: Secret::new("p?>") }).unwrap();
        let text = URL_SAFE.decode(header.as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), json!({ "username": "u\"", "password": "p?>" }));
        assert!(!format!("{header:?}").contains(header.to_str().unwrap()));
    }
}

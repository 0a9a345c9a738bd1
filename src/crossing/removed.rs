//! APIs that the newer of two minors serves no longer.

use serde::Serialize;

use crate::release::Release;
use crate::state::{Resource, ResourceKind};

/// An API that goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RemovedApi {
    /// Group and version, such as `policy/v1beta1`.
    pub api_version: String,
    /// Kind, such as `PodSecurityPolicy`.
    pub kind: String,
    /// What to write instead; none where nothing takes its place.
    pub instead: Option<String>,
}

impl RemovedApi {
    /// Its kind with the version.
    pub fn resource_kind(&self) -> ResourceKind {
        ResourceKind { api_version: self.api_version.clone(), kind: self.kind.clone() }
    }

    /// Whether a request for this plural is one for it. Kinds that are not in our table are told by their first letters.
    pub(super) fn is(&self, api_version: &str, resource: &str) -> bool {
        let plural = Resource::built_in(&self.resource_kind()).map(|resource| resource.plural);
        let matches = match plural {
            Some(plural) => plural == resource,
            None => resource.starts_with(&self.kind.to_lowercase()),
        };
        self.api_version == api_version && matches
    }
}

/// What the second release serves no longer and the first one does; rows of the catalog name all that went before them too.
pub fn removed_between(current: &Release, target: &Release) -> Vec<RemovedApi> {
    let removed = target.removed_apis.iter().filter(|(api, _)| !current.removed_apis.contains_key(*api));
    let removed = removed.filter_map(|(api, instead)| {
        let (api_version, kind) = api.split_once(' ')?;
        let instead = (!instead.is_empty()).then(|| instead.clone());
        Some(RemovedApi { api_version: api_version.to_owned(), kind: kind.to_owned(), instead })
    });
    removed.collect()
}

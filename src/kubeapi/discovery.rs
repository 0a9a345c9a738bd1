//! What an apiserver serves: kinds, and what lies in a namespace.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use http::Method;
use serde_json::Value;

use super::paths::{encode, group_path};
use super::{KubeApiError, ReadApi};
use crate::state::{ObjectKey, Resident, Resource, ResourceKind};

/// Groups whose objects are answers, not something that is stored.
const COMPUTED_GROUPS: [&str; 3] = ["metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"];

impl ReadApi {
    /// Those of these kinds that it serves: one request for each version of a group, all at once.
    pub async fn served(
        &self,
        kinds: impl IntoIterator<Item = &ResourceKind>,
    ) -> Result<BTreeMap<ResourceKind, Resource>, KubeApiError> {
        let wanted: BTreeSet<&ResourceKind> = kinds.into_iter().collect();
        let versions: BTreeSet<&str> = wanted.iter().map(|kind| kind.api_version.as_str()).collect();
        let asked = versions.into_iter().map(|version| self.group(version));
        let mut served = BTreeMap::new();
        for found in join_all(asked).await {
            served.extend(found?.into_iter().map(|row| (row.kind, row.resource)));
        }
        served.retain(|kind, _| wanted.contains(kind));
        Ok(served)
    }

    /// What a version of a group has; nothing where it is not served.
    async fn group(&self, api_version: &str) -> Result<Vec<Row>, KubeApiError> {
        let answer = self.found(&group_path(api_version), &format!("asking what {api_version} has")).await?;
        Ok(answer.map(|list| rows(api_version, &list)).unwrap_or_default())
    }

    /// Everything that lies in a namespace, by its metadata: what deleting the namespace would delete.
    pub async fn in_namespace(&self, name: &str) -> Result<Vec<Resident>, KubeApiError> {
        let groups = self.json(Method::GET, "/apis", "asking for all groups", None).await?;
        let mut versions = vec!["v1".to_owned()];
        versions.extend(preferred_versions(&groups));
        let mut rows = Vec::new();
        for found in join_all(versions.iter().map(|version| self.group(version))).await {
            rows.extend(found?);
        }
        let listable: Vec<Row> = rows.into_iter().filter(|row| row.listable && row.resource.namespaced).collect();
        let listed = listable.iter().map(|row| self.residents(&row.kind, &row.resource, Some(name)));
        Ok(join_all(listed).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// All objects of a kind, by their metadata: those of one namespace where one is given.
    pub async fn residents(
        &self,
        kind: &ResourceKind,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> Result<Vec<Resident>, KubeApiError> {
        let root = group_path(&kind.api_version);
        let path = match namespace {
            Some(name) => format!("{root}/namespaces/{}/{}", encode(name), resource.plural),
            None => format!("{root}/{}", resource.plural),
        };
        let Some(list) = self.metadata_list(&path, &format!("listing {}", resource.plural)).await? else {
            return Ok(Vec::new());
        };
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(items.iter().map(|item| resident(kind, item)).collect())
    }
}

/// A kind of a group.
struct Row {
    kind: ResourceKind,
    resource: Resource,
    listable: bool,
}

/// Of an `APIResourceList`. Names with a slash are parts of objects.
fn rows(api_version: &str, list: &Value) -> Vec<Row> {
    let row = |entry: &Value| {
        let plural = entry["name"].as_str().filter(|name| !name.contains('/'))?.to_owned();
        let kind = ResourceKind { api_version: api_version.to_owned(), kind: entry["kind"].as_str()?.to_owned() };
        let namespaced = entry["namespaced"] == true;
        let verbs = entry["verbs"].as_array().map(Vec::as_slice).unwrap_or_default();
        Some(Row { kind, resource: Resource { plural, namespaced }, listable: verbs.iter().any(|verb| verb == "list") })
    };
    list["resources"].as_array().into_iter().flatten().filter_map(row).collect()
}

/// One version of each group that stores something: all versions show the same objects.
fn preferred_versions(groups: &Value) -> Vec<String> {
    let groups = groups["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = groups.iter().filter(|group| !COMPUTED_GROUPS.iter().any(|name| group["name"] == *name));
    stored.filter_map(|group| group["preferredVersion"]["groupVersion"].as_str().map(str::to_owned)).collect()
}

fn resident(kind: &ResourceKind, item: &Value) -> Resident {
    let metadata = &item["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let account = metadata["annotations"]["kubernetes.io/service-account.name"].as_str();
    Resident {
        key: ObjectKey {
            api_version: kind.api_version.clone(),
            kind: kind.kind.clone(),
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
        },
        uid: text(&metadata["uid"]),
        owners: owners.iter().map(|owner| text(&owner["uid"])).collect(),
        account: account.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_objects_are_no_kinds() {
        let list = json!({"resources": [
            {"name": "octopodes", "kind": "Octopus", "namespaced": true, "verbs": ["get", "list"]},
            {"name": "octopodes/status", "kind": "Octopus", "namespaced": true, "verbs": ["get"]},
            {"name": "reviews", "kind": "Review", "namespaced": false, "verbs": ["create"]},
        ]});
        let found: Vec<_> = rows("example.org/v1", &list)
            .into_iter()
            .map(|row| (row.kind.kind, row.resource.plural, row.resource.namespaced, row.listable))
            .collect();
        let row = |kind: &str, plural: &str, namespaced, listable| (kind.into(), plural.into(), namespaced, listable);
        assert_eq!(found, [row("Octopus", "octopodes", true, true), row("Review", "reviews", false, false)]);
    }

    #[test]
    fn each_group_is_listed_once_and_computed_ones_never() {
        let group = |name: &str| json!({"name": name, "preferredVersion": {"groupVersion": format!("{name}/v1")}});
        let groups = json!({"groups": [group("apps"), group("metrics.k8s.io")]});
        assert_eq!(preferred_versions(&groups), ["apps/v1"]);
    }
}
